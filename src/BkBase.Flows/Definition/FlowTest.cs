using System.Globalization;
using System.Text;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Definition;

/// <summary>
/// One case of a <c>.test.yaml</c> file: records in at named sources, expected rows and rejections at named nodes.
/// </summary>
/// <param name="Name">What the case claims.</param>
/// <param name="Input">Records per source.</param>
/// <param name="Expect">Expected rows per source or node (or <c>node.port</c>): only the columns that are written are compared.</param>
/// <param name="Rejections">Expected refusals, in any order; null when not compared.</param>
public sealed record FlowTestCase(
    string Name,
    Position At,
    IReadOnlyDictionary<string, IReadOnlyList<FlowTestRecord>> Input,
    IReadOnlyList<FlowTestExpectation> Expect,
    IReadOnlyList<IReadOnlyDictionary<string, string?>>? Rejections);

/// <param name="Payload">Bytes of the record.</param>
/// <param name="AppendTime">Unix milliseconds; 0 when not given.</param>
public sealed record FlowTestRecord(byte[] Payload, int Partition, long AppendTime);

/// <param name="Node">Source, node or <c>node.port</c>.</param>
/// <param name="Rows">Column texts per row; null is a null.</param>
public sealed record FlowTestExpectation(string Node, Position At, IReadOnlyList<IReadOnlyDictionary<string, string?>> Rows);

/// <summary>Reads <c>.test.yaml</c> files.</summary>
public static class FlowTestReader
{
    private static readonly IReadOnlyList<Key> FileKeys =
    [
        new("tests", KeyKind.Sections, "the cases", Required: true)
        {
            Keys =
            [
                new("name", KeyKind.Text, "what the case claims", Required: true),
                new("input", KeyKind.Open, "records per source: texts, JSON mappings, or {record, partition, append_time}", Required: true),
                new("expect", KeyKind.Open, "expected rows per node: lists of mappings of column to value"),
                new("rejections", KeyKind.Open, "expected refusals: lists of mappings with reason, node, path"),
            ],
        },
    ];

    /// <summary>The cases of one text; what is wrong goes to <paramref name="diagnostics"/>.</summary>
    public static IReadOnlyList<FlowTestCase> Read(string text, DiagnosticBag diagnostics)
    {
        if (YamlFile.Root(text, FlowReader.BytesMax, diagnostics) is not { } root)
        {
            return [];
        }

        return [.. new Section(root, FileKeys, diagnostics, "the test file").Children("tests").Select(s => ReadCase(s, diagnostics))];
    }

    private static FlowTestCase ReadCase(Section section, DiagnosticBag diagnostics)
    {
        var input = new Dictionary<string, IReadOnlyList<FlowTestRecord>>(StringComparer.Ordinal);
        foreach (var (name, node) in Pairs(section.Node("input")))
        {
            input[name] = [.. Items(node).Select(ReadRecord)];
        }

        var expect = new List<FlowTestExpectation>();
        foreach (var (name, node) in Pairs(section.Node("expect")))
        {
            expect.Add(new FlowTestExpectation(name, Section.At(node), [.. Items(node).Select(r => ReadRow(r, diagnostics))]));
        }

        var rejections = section.Node("rejections") is { } list ? Items(list).Select(r => ReadRow(r, diagnostics)).ToList() : null;
        if (expect.Count == 0 && rejections is null)
        {
            diagnostics.Error(section.Position, DiagnosticCodes.MissingKey, "a test that expects nothing cannot fail; write 'expect' or 'rejections'");
        }

        return new FlowTestCase(section.Text("name", ""), section.Position, input, expect, rejections);
    }

    private static FlowTestRecord ReadRecord(YamlNode node)
    {
        if (node is YamlMappingNode map && Pairs(map).ToDictionary(p => p.Key, p => p.Value) is var keys && keys.TryGetValue("record", out var record))
        {
            var partition = keys.TryGetValue("partition", out var p) ? int.Parse(Scalar(p) ?? "0", CultureInfo.InvariantCulture) : 0;
            var append = keys.TryGetValue("append_time", out var a) ? Time(Scalar(a)) : 0;
            return new FlowTestRecord(Payload(record), partition, append);
        }

        return new FlowTestRecord(Payload(node), 0, 0);
    }

    private static byte[] Payload(YamlNode node)
    {
        if (node is YamlScalarNode { Value: { } text })
        {
            return Encoding.UTF8.GetBytes(text);
        }

        var json = new StringBuilder();
        WriteJson(node, json);
        return Encoding.UTF8.GetBytes(json.ToString());
    }

    private static void WriteJson(YamlNode node, StringBuilder json)
    {
        switch (node)
        {
            case YamlMappingNode map:
                json.Append('{').AppendJoin(',', map.Children.Select(c =>
                {
                    var pair = new StringBuilder(System.Text.Json.JsonSerializer.Serialize(Scalar(c.Key) ?? "")).Append(':');
                    WriteJson(c.Value, pair);
                    return pair.ToString();
                })).Append('}');
                break;
            case YamlSequenceNode list:
                json.Append('[').AppendJoin(',', list.Children.Select(c =>
                {
                    var item = new StringBuilder();
                    WriteJson(c, item);
                    return item.ToString();
                })).Append(']');
                break;
            case YamlScalarNode { Style: ScalarStyle.Plain, Value: "true" or "false" or "null" } word:
                json.Append(word.Value);
                break;
            case YamlScalarNode { Style: ScalarStyle.Plain } n when double.TryParse(n.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && double.IsFinite(value):
                json.Append(n.Value);
                break;
            case YamlScalarNode scalar:
                json.Append(System.Text.Json.JsonSerializer.Serialize(scalar.Value ?? ""));
                break;
        }
    }

    private static Dictionary<string, string?> ReadRow(YamlNode node, DiagnosticBag diagnostics)
    {
        var row = new Dictionary<string, string?>(StringComparer.Ordinal);
        if (node is not YamlMappingNode)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "an expected row is a mapping of column to value");
        }

        foreach (var (name, value) in Pairs(node))
        {
            row[name] = value is YamlMappingNode map
                ? string.Join(',', map.Children.Select(c => $"{Scalar(c.Key)}={Scalar(c.Value)}").Order(StringComparer.Ordinal))
                : Scalar(value);
        }

        return row;
    }

    /// <summary>Unix milliseconds of a number or a time text.</summary>
    internal static long Time(string? text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var ms) ? ms
        : DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at) ? at.ToUnixTimeMilliseconds() : 0;

    private static IEnumerable<KeyValuePair<string, YamlNode>> Pairs(YamlNode? node) =>
        (node as YamlMappingNode)?.Children.Select(c => new KeyValuePair<string, YamlNode>(Scalar(c.Key) ?? "", c.Value)) ?? [];

    private static IEnumerable<YamlNode> Items(YamlNode node) => (node as YamlSequenceNode)?.Children ?? Enumerable.Empty<YamlNode>();

    private static string? Scalar(YamlNode node) => node is YamlScalarNode s && !(s.Style == ScalarStyle.Plain && s.Value is "null" or "~") ? s.Value : null;
}
