using System.Security.Cryptography;
using System.Text;
using BkBase.Flows.Graph;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Definition;

/// <summary>What reading a flow gave: the definition when there is no error, and all findings.</summary>
public sealed record FlowReading(FlowDefinition? Flow, IReadOnlyList<Diagnostic> Diagnostics);

/// <summary>
/// Reads and checks one flow file: syntax, shape, structure, types, in that order, each as far as the one before
/// allows. Never throws for any text.
/// </summary>
public sealed class FlowReader(FlowCatalog catalog)
{
    /// <summary>Bound of a flow file in bytes.</summary>
    public const int BytesMax = 1 << 20;

    /// <summary>Keys of a flow file.</summary>
    public static IReadOnlyList<Key> FlowKeys { get; } =
    [
        new("flow", KeyKind.Name, "unique name of the flow", Required: true),
        new("biz", KeyKind.Integer, "owner business; tables are named {biz}_{table}", Required: true) { Min = 0, Max = int.MaxValue },
        new("owner", KeyKind.Texts, "teams or people who own the flow"),
        new("description", KeyKind.Text, "what the flow is for"),
        new("sources", KeyKind.Sections, "where records come from", Required: true),
        new("nodes", KeyKind.Sections, "what is done with the rows"),
        new("sinks", KeyKind.Sections, "where rows go", Required: true),
        new("limits", KeyKind.Section, "bounds of the flow") { Keys = LimitKeys },
    ];

    /// <summary>Keys that every source has.</summary>
    public static IReadOnlyList<Key> SourceKeys { get; } =
    [
        new("name", KeyKind.Name, "name of the source", Required: true),
        new("type", KeyKind.Text, "type of the source", Required: true),
        new("start", KeyKind.Text, "where the first start reads from: head, tail, continue or a timestamp") { Synonyms = ["consuming_mode"] },
        new("etl", KeyKind.Section, "how records become rows", Required: true),
    ];

    /// <summary>Keys that every node has.</summary>
    public static IReadOnlyList<Key> NodeKeys { get; } =
    [
        new("name", KeyKind.Name, "name of the node", Required: true),
        new("type", KeyKind.Text, "type of the node", Required: true),
        new("from", KeyKind.Texts, "its inputs: sources, nodes or node.port; the entry above by default"),
    ];

    /// <summary>Keys that every sink has.</summary>
    public static IReadOnlyList<Key> SinkKeys { get; } =
    [
        new("type", KeyKind.Text, "type of the sink", Required: true),
        new("from", KeyKind.Texts, "its input: a source, a node or node.port; the last node by default"),
    ];

    internal static Key TypeKey { get; } = new("type", KeyKind.Text, "ETL format", Required: true);

    private static IReadOnlyList<Key> LimitKeys =>
    [
        new("block_rows", KeyKind.Integer, "rows of one insert at most") { Min = 1, Max = 1_000_000 },
        new("pending", KeyKind.Integer, "inserts under way per table before the source is held back") { Min = 1, Max = 64 },
        new("flush", KeyKind.Duration, "longest wait before an incomplete block is inserted"),
        new("state", KeyKind.Size, "bytes of state"),
        new("keys", KeyKind.Integer, "keys per stateful node") { Min = 1 },
        new("dictionary", KeyKind.Size, "bytes of the string dictionary before it is swapped"),
        new("future", KeyKind.Duration, "how far event time may lie ahead of the append time"),
        new("record", KeyKind.Size, "bytes of one record at most"),
        new("rejected", KeyKind.Number, "share of a source's rows that may be refused before it is paused, such as 0.5; default 1: never") { Min = 0, Max = 1 },
    ];

    /// <summary>Reads one text.</summary>
    /// <param name="file">Path for findings, as the user gave it.</param>
    public FlowReading Read(string file, string text)
    {
        var diagnostics = new DiagnosticBag(file);
        FlowDefinition? flow = null;
        if (YamlFile.Root(text, BytesMax, diagnostics) is { } root)
        {
            flow = Read(root, text, diagnostics);
        }

        return new FlowReading(diagnostics.HasErrors ? null : flow, diagnostics.Sorted());
    }

    private FlowDefinition? Read(YamlMappingNode root, string text, DiagnosticBag diagnostics)
    {
        var section = new Section(root, FlowKeys, diagnostics, "the flow");
        var name = section.Name("flow");
        var biz = section.Integer("biz");
        var sources = section.Mappings("sources").Select(n => ReadSource(n, diagnostics)).ToList();
        var nodes = section.Mappings("nodes").Select(n => ReadNode(n, diagnostics)).ToList();
        var sinks = section.Mappings("sinks").Select(n => ReadSink(n, diagnostics)).ToList();
        RequireSome(section, "sources", sources.Count);
        RequireSome(section, "sinks", sinks.Count);
        var limits = ReadLimits(section.Child("limits"));
        var structure = new FlowChecker(diagnostics).Check(sources, nodes, sinks);
        if (structure is null || name is null || biz is null)
        {
            return null;
        }

        return new FlowDefinition
        {
            Name = name,
            Biz = (int)biz.Value,
            Owner = [.. section.Texts("owner").Select(o => o.Text)],
            Description = section.Text("description", ""),
            File = diagnostics.File,
            Text = text,
            Revision = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..12],
            Sources = structure.Sources,
            Nodes = structure.Nodes,
            Sinks = structure.Sinks,
            Limits = limits,
        };
    }

    private static void RequireSome(Section section, string key, int count)
    {
        if (count == 0 && section.Has(key))
        {
            section.Error(key, DiagnosticCodes.MissingKey, $"'{key}' is empty; a flow needs at least one");
        }
    }

    private SourceDraft ReadSource(YamlMappingNode node, DiagnosticBag diagnostics)
    {
        var (section, entry) = Component(node, catalog.Sources, SourceKeys, "source", diagnostics);
        var settings = entry?.Read(section);
        var etlNode = section.Node("etl") as YamlMappingNode;
        IEtlSettings? etl = null;
        var etlType = "";
        if (section.Has("etl") && etlNode is null)
        {
            section.Error("etl", DiagnosticCodes.WrongShape, "'etl' is a mapping with a 'type'");
        }
        else if (etlNode is not null)
        {
            var (etlSection, etlEntry) = Component(etlNode, catalog.Etls, [TypeKey], "etl", diagnostics);
            etlType = etlEntry?.Name ?? "";
            etl = etlEntry?.Read(etlSection);
        }

        return new SourceDraft(section.Name("name") ?? "", section.PositionOf("name"), entry?.Name ?? "", settings, etlType, etl, ReadStart(section));
    }

    private NodeDraft ReadNode(YamlMappingNode node, DiagnosticBag diagnostics)
    {
        var (section, entry) = Component(node, catalog.Nodes, NodeKeys, "node", diagnostics);
        var settings = entry?.Read(section);
        return new NodeDraft(section.Name("name") ?? "", section.PositionOf("name"), entry?.Name ?? "", settings, section.Texts("from"), section.Position);
    }

    private SinkDraft ReadSink(YamlMappingNode node, DiagnosticBag diagnostics)
    {
        var (section, entry) = Component(node, catalog.Sinks, SinkKeys, "sink", diagnostics);
        var settings = entry?.Read(section);
        return new SinkDraft(entry?.Name ?? "", settings, section.Texts("from"), section.Position);
    }

    private static (Section Section, CatalogEntry<T>? Entry) Component<T>(
        YamlMappingNode node, IReadOnlyDictionary<string, CatalogEntry<T>> entries, IReadOnlyList<Key> common, string kind, DiagnosticBag diagnostics)
    {
        var type = node.Children.FirstOrDefault(c => c.Key is YamlScalarNode { Value: "type" }).Value as YamlScalarNode;
        var entry = type?.Value is { } word ? entries.GetValueOrDefault(word) : null;
        if (type?.Value is { } given && entry is null)
        {
            diagnostics.Error(Section.At(type), DiagnosticCodes.UnknownType,
                $"no {kind} type '{given}'; types are {string.Join(", ", entries.Keys.Order(StringComparer.Ordinal))}.{Suggestion.For(given, entries.Keys)}");
        }

        if (type?.Value is null)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.MissingKey, $"the {kind} needs a 'type'; types are {string.Join(", ", entries.Keys.Order(StringComparer.Ordinal))}");
        }

        var name = (node.Children.FirstOrDefault(c => c.Key is YamlScalarNode { Value: "name" }).Value as YamlScalarNode)?.Value;
        var what = name is null ? $"the {kind}" : $"{kind} '{name}'";

        // Without an entry nobody knows the keys: only the common ones are read, and none is called unknown.
        IReadOnlyList<Key> keys = entry is null ? [] : [.. common, .. entry.Keys];
        return (new Section(node, keys, diagnostics, what), entry);
    }

    private static StartPosition? ReadStart(Section section)
    {
        switch (section.Text("start"))
        {
            case null or "continue": return null;
            case "head" or "from_head": return new StartPosition(StartKind.Head);
            case "tail" or "from_tail": return new StartPosition(StartKind.Tail);
            case var text when DateTimeOffset.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, System.Globalization.DateTimeStyles.AssumeUniversal, out var at):
                return new StartPosition(StartKind.Timestamp, at.ToUnixTimeMilliseconds());
            case var other:
                section.Error("start", DiagnosticCodes.WrongType, $"'{other}' is not a start: write head, tail, continue or a time such as 2026-01-02T03:04:05Z");
                return null;
        }
    }

    private static FlowLimits ReadLimits(Section? section)
    {
        var d = new FlowLimits();
        return section is null ? d : new FlowLimits
        {
            BlockRows = (int)(section.Integer("block_rows") ?? d.BlockRows),
            Pending = (int)(section.Integer("pending") ?? d.Pending),
            Flush = section.Duration("flush") ?? d.Flush,
            State = section.Size("state") ?? d.State,
            Keys = section.Integer("keys") ?? d.Keys,
            Dictionary = section.Size("dictionary") ?? d.Dictionary,
            Future = section.Duration("future") ?? d.Future,
            Record = section.Size("record") ?? d.Record,
            Rejected = section.Number("rejected") ?? d.Rejected,
        };
    }
}

internal sealed record SourceDraft(string Name, Position At, string Type, ISourceSettings? Settings, string EtlType, IEtlSettings? Etl, StartPosition? Start);

internal sealed record NodeDraft(string Name, Position At, string Type, INodeSettings? Settings, IReadOnlyList<Located> From, Position Position);

internal sealed record SinkDraft(string Type, ISinkSettings? Settings, IReadOnlyList<Located> From, Position Position);
