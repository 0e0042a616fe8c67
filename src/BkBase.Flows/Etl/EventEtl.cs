using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Which keys an event may have and which it must have.</summary>
/// <param name="Content">Keys of 'event' that are kept; null for all.</param>
/// <param name="Dimensions">Dimensions that are kept; null for all.</param>
/// <param name="MustHaveContent">Keys of 'event' without which an item is refused.</param>
/// <param name="MustHaveDimensions">Dimensions without which an item is refused.</param>
public sealed record EventRules(
    IReadOnlyList<string>? Content, IReadOnlyList<string>? Dimensions, IReadOnlyList<string> MustHaveContent, IReadOnlyList<string> MustHaveDimensions)
{
    internal static IReadOnlyList<Key> Keys { get; } =
    [
        new("event_content", KeyKind.Texts, "keys of 'event' that are kept, unless allow_new_event; all when absent"),
        new("allow_new_event", KeyKind.Boolean, "whether other keys of 'event' are kept too"),
        new("must_have_event", KeyKind.Texts, "keys of 'event' without which an item is refused"),
        new("event_dimension", KeyKind.Texts, "dimensions that are kept, unless allow_new_dimension; all when absent"),
        new("allow_new_dimension", KeyKind.Boolean, "whether other dimensions are kept too"),
        new("must_have_dimension", KeyKind.Texts, "dimensions without which an item is refused; target and event_name are always needed"),
    ];

    internal static EventRules Read(Section section) => new(
        section.Boolean("allow_new_event") ?? false ? null : Texts(section, "event_content"),
        section.Boolean("allow_new_dimension") ?? false ? null : Texts(section, "event_dimension"),
        Texts(section, "must_have_event") ?? [],
        [.. (Texts(section, "must_have_dimension") ?? []).Where(d => d is not ("target" or "event_name"))]);

    private static string[]? Texts(Section section, string key) => section.Has(key) ? [.. section.Texts(key).Select(t => t.Text)] : null;
}

/// <summary>bk_standard_v2_event: custom events and Kubernetes events. One row per item.</summary>
/// <param name="Dimensions">Dimensions with a column of their own.</param>
/// <param name="Unit">Unit of item times; when it is given, times of another magnitude are refused.</param>
/// <param name="Rules">Keys that events may and must have.</param>
public sealed record EventSettings(IReadOnlyList<string> Dimensions, TimeUnit Unit, EventRules Rules) : IEtlSettings
{
    private static readonly string[] Taken = ["time", "event_name", "target", "dimensions", "content", "count", "event"];

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "bk_standard_v2_event",
        "events in items with event_name, target, event, dimension and timestamp; one row per item",
        "{ type: bk_standard_v2_event, dimensions: [kind, namespace, name] }",
        [
            new("dimensions", KeyKind.Texts, "dimensions that become columns; the others stay in the map 'dimensions'"),
            new("time_unit", KeyKind.Choice, "unit of item times, others are refused; auto tells by magnitude") { Choices = EventTime.Units, Synonyms = ["timestamp_precision"] },
            .. EventRules.Keys,
        ],
        Read);

    public Schema Schema { get; } = new(
    [
        Schema.Time,
        new("event_name", ColumnType.String, FieldRole.Dimension),
        new("target", ColumnType.String, FieldRole.Dimension),
        .. Dimensions.Select(d => new Field(d, ColumnType.String, FieldRole.Dimension)),
        new("dimensions", ColumnType.Map, FieldRole.Dimension),
        new("content", ColumnType.Text),
        new("count", ColumnType.Int64, Nullable: true),
        new("event", ColumnType.Json),
    ]);

    public static EventSettings Read(Section section) =>
        new(MetricOptions.Promoted(section, Taken), EventTime.Unit(section.Choice("time_unit")), EventRules.Read(section));

    public IEtl Create() => new EventEtl(this);
}

/// <summary>Parser of <see cref="EventSettings"/>.</summary>
public sealed class EventEtl(EventSettings settings) : IEtl
{
    private readonly JsonTape _tape = new();
    private readonly DimensionSet _dimensions = new(settings.Dimensions);
    private readonly List<byte> _rest = [];
    private readonly byte[][]? _content = Names(settings.Rules.Content);
    private readonly byte[][]? _kept = Names(settings.Rules.Dimensions);
    private readonly byte[][] _mustHaveContent = Names(settings.Rules.MustHaveContent) ?? [];
    private readonly byte[][] _mustHaveDimensions = Names(settings.Rules.MustHaveDimensions) ?? [];
    private readonly int _map = 3 + settings.Dimensions.Count;

    public Schema Schema => settings.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        var data = root["data"u8];
        if (!data.IsArray && !data.IsNothing)
        {
            output.Reject(RejectReason.WrongType, "data", "'data' is a list of items", payload);
            return;
        }

        var index = 0;
        foreach (var item in data.Elements)
        {
            ParseItem(item, index++, output);
        }

        if (index == 0)
        {
            output.Filtered++;
        }
    }

    private static byte[][]? Names(IReadOnlyList<string>? names) => names is null ? null : [.. names.Select(Encoding.UTF8.GetBytes)];

    private static bool IsKept(byte[][]? names, ReadOnlySpan<byte> name)
    {
        foreach (var kept in names ?? [])
        {
            if (name.SequenceEqual(kept))
            {
                return true;
            }
        }

        return names is null;
    }

    private static (string Reason, string Path, string Message)? Lacks(in JsonItem from, byte[][] names, string path)
    {
        foreach (var name in names)
        {
            if (from[name].IsNothing)
            {
                return (RejectReason.MissingField, $"{path}.{Encoding.UTF8.GetString(name)}", "the configuration asks for this key");
            }
        }

        return null;
    }

    private void ParseItem(in JsonItem item, int index, EtlOutput output)
    {
        if ((Check(item, out var time) ?? Lacks(item["event"u8], _mustHaveContent, ".event") ?? Lacks(item["dimension"u8], _mustHaveDimensions, ".dimension"))
            is var (reason, path, message))
        {
            output.Reject(reason, $"data[{index}]{path}", message, item.Raw);
            return;
        }

        var rows = output.Rows;
        _dimensions.Clear();
        foreach (var value in item["dimension"u8].Properties)
        {
            if (IsKept(_kept, value.Name) && !_dimensions.Add(value.Name, value, rows.Strings))
            {
                output.Reject(RejectReason.WrongType, $"data[{index}].dimension", "a dimension is a text, number or boolean", item.Raw);
                return;
            }
        }

        rows.SetInt64(0, time);
        rows.SetString(1, item["event_name"u8].Text);
        rows.SetString(2, item["target"u8].Text);
        for (var i = 0; i < _dimensions.Promoted.Length; i++)
        {
            rows.SetString(3 + i, _dimensions.Promoted[i]);
        }

        rows.SetMap(_map, _dimensions.Map(rows.Maps));
        SetEvent(item["event"u8], rows);
        rows.CommitRow();
    }

    private void SetEvent(in JsonItem said, BatchBuilder rows)
    {
        // A count that is no whole number stays with the rest of the event.
        var content = said["content"u8];
        rows.SetText(_map + 1, content.IsNothing || !IsKept(_content, "content"u8) ? default : content.Text);
        var hasCount = said["count"u8].TryInt64(out var count);
        if (hasCount && IsKept(_content, "count"u8))
        {
            rows.SetInt64(_map + 2, count);
        }

        _rest.Clear();
        _rest.Add((byte)'{');
        foreach (var value in said.Properties)
        {
            if (value.Name.SequenceEqual("content"u8) || (hasCount && value.Name.SequenceEqual("count"u8)) || !IsKept(_content, value.Name))
            {
                continue;
            }

            if (_rest.Count > 1)
            {
                _rest.Add((byte)',');
            }

            _rest.AddRange(value.RawName);
            _rest.Add((byte)':');
            _rest.AddRange(value.Raw);
        }

        _rest.Add((byte)'}');
        rows.SetText(_map + 3, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_rest));
    }

    private (string Reason, string Path, string Message)? Check(in JsonItem item, out long time)
    {
        time = 0;
        if (!item.IsObject)
        {
            return (RejectReason.WrongType, "", "an item is an object");
        }

        if (Missing(item["event_name"u8], ".event_name") is { } badName)
        {
            return badName;
        }

        if (Missing(item["target"u8], ".target") is { } badTarget)
        {
            return badTarget;
        }

        if (!item["event"u8].IsObject || item["event"u8].IsEmpty)
        {
            return (item["event"u8].IsNothing ? RejectReason.MissingField : RejectReason.WrongType, ".event", "'event' is an object that says something");
        }

        if (item["dimension"u8] is { IsNothing: false, IsObject: false })
        {
            return (RejectReason.WrongType, ".dimension", "'dimension' is an object");
        }

        if (item["timestamp"u8].IsNothing)
        {
            return (RejectReason.MissingField, ".timestamp", "an event needs a timestamp");
        }

        if (!item["timestamp"u8].IsNumber)
        {
            return (RejectReason.WrongType, ".timestamp", "a timestamp is a number");
        }

        return !item["timestamp"u8].TryInt64(out var given) || !EventTime.TryMilliseconds(given, settings.Unit, out time)
            ? (RejectReason.BadTime, ".timestamp", "a timestamp is a time after 1970")
            : settings.Unit != TimeUnit.Auto && EventTime.UnitOf(given) != settings.Unit ? (RejectReason.BadTime, ".timestamp", $"timestamps are in {EventTime.Word(settings.Unit)}; this one is of another magnitude")
            : null;
    }

    private static (string Reason, string Path, string Message)? Missing(in JsonItem value, string path) =>
        value.IsNothing || (value.IsText && value.Text.IsEmpty) ? (RejectReason.MissingField, path, "an event needs a name and a target")
        : value.IsText ? null
        : (RejectReason.WrongType, path, "names of events and targets are texts");
}
