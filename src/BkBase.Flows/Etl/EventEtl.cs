using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>bk_standard_v2_event: custom events and Kubernetes events. One row per item.</summary>
public sealed record EventSettings(IReadOnlyList<string> Dimensions, TimeUnit Unit = TimeUnit.Auto) : IEtlSettings
{
    private static readonly string[] Taken = ["time", "event_name", "target", "dimensions", "content", "count", "event"];

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "bk_standard_v2_event",
        "events in items with event_name, target, event, dimension and timestamp; one row per item",
        "{ type: bk_standard_v2_event, dimensions: [kind, namespace, name] }",
        [
            new("dimensions", KeyKind.Texts, "dimensions that become columns; the others stay in the map 'dimensions'"),
            new("time_unit", KeyKind.Choice, "unit of item times; auto tells by magnitude") { Choices = EventTime.Units },
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
        new(MetricOptions.Promoted(section, Taken), EventTime.Unit(section.Choice("time_unit")));

    public IEtl Create() => new EventEtl(this);
}

/// <summary>Parser of <see cref="EventSettings"/>.</summary>
public sealed class EventEtl(EventSettings settings) : IEtl
{
    private readonly JsonTape _tape = new();
    private readonly DimensionSet _dimensions = new(settings.Dimensions);
    private readonly List<byte> _rest = [];
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

    private void ParseItem(in JsonItem item, int index, EtlOutput output)
    {
        if (Check(item, out var time) is var (reason, path, message))
        {
            output.Reject(reason, $"data[{index}]{path}", message, item.Raw);
            return;
        }

        var rows = output.Rows;
        _dimensions.Clear();
        foreach (var value in item["dimension"u8].Properties)
        {
            if (!_dimensions.Add(value.Name, value, rows.Strings))
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
        var content = said["content"u8];
        rows.SetText(_map + 1, content.IsNothing ? default : content.Text);
        var hasCount = said["count"u8].TryInt64(out var count);
        if (hasCount)
        {
            rows.SetInt64(_map + 2, count);
        }

        _rest.Clear();
        _rest.Add((byte)'{');
        foreach (var value in said.Properties)
        {
            if (value.Name.SequenceEqual("content"u8) || (hasCount && value.Name.SequenceEqual("count"u8)))
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

        return item["timestamp"u8].TryInt64(out var given) && EventTime.TryMilliseconds(given, settings.Unit, out time)
            ? null
            : (RejectReason.BadTime, ".timestamp", "a timestamp is a time after 1970");
    }

    private static (string Reason, string Path, string Message)? Missing(in JsonItem value, string path) =>
        value.IsNothing || (value.IsText && value.Text.IsEmpty) ? (RejectReason.MissingField, path, "an event needs a name and a target")
        : value.IsText ? null
        : (RejectReason.WrongType, path, "names of events and targets are texts");
}
