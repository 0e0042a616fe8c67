using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// bk_flat_batch: log lines in items under the fields of their file. One row per item. A number of another type is null
/// and refused; its row stays.
/// </summary>
/// <param name="Zone">Hours east of UTC of 'datetime', which carries no zone; null for the record's own 'timezone', else 0.</param>
public sealed record FlatBatchSettings(ExtractSettings? Extract, double? Zone = null) : IEtlSettings
{
    private static readonly Field[] Own =
    [
        Schema.Time,
        new("cloudId", ColumnType.Int64, Nullable: true),
        new("serverIp", ColumnType.String, FieldRole.Dimension),
        new("path", ColumnType.String, FieldRole.Dimension),
        new("gseIndex", ColumnType.Int64, Nullable: true),
        new("iterationIndex", ColumnType.Int64, Nullable: true),
        new("log", ColumnType.Text),
        new("ext", ColumnType.Json, Nullable: true),
    ];

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "bk_flat_batch",
        "log lines in items; one row per item",
        "{ type: bk_flat_batch, extract: { type: key_value, fields: { level: string, cost: float64 } } }",
        [
            new("extract", KeyKind.Section, "reads fields out of the line; when that fails they are null and parse_failure is true") { Keys = ExtractSettings.Keys },
            new("time_zone", KeyKind.Number, "hours east of UTC of 'datetime', used when there is neither utctime nor time; the record's 'timezone' when absent, else 0") { Min = -14, Max = 14 },
        ],
        Read);

    public Schema Schema { get; } = new(
    [
        .. Own,
        .. Extract is null ? [] : Extract.Columns,
        .. Extract is null ? Array.Empty<Field>() : [new Field("parse_failure", ColumnType.Bool)],
    ]);

    /// <summary>Position of the first extracted column.</summary>
    internal static int ExtractedAt => Own.Length;

    public static FlatBatchSettings Read(Section section) =>
        new(section.Child("extract") is { } extract ? ExtractSettings.Read(extract, [.. Own.Select(f => f.Name), "parse_failure"]) : null, section.Number("time_zone"));

    public IEtl Create() => new FlatBatchEtl(this);
}

/// <summary>Parser of <see cref="FlatBatchSettings"/>.</summary>
public sealed class FlatBatchEtl(FlatBatchSettings settings) : IEtl
{
    private readonly JsonTape _tape = new();
    private readonly LineExtract? _extract = settings.Extract is { } e ? new LineExtract(e) : null;

    public Schema Schema => settings.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        var items = root["items"u8];
        if (!items.IsArray)
        {
            ParseItem(root, root, "", output);
            return;
        }

        var index = 0;
        foreach (var item in items.Elements)
        {
            ParseItem(item, root, $"items[{index++}]", output);
        }

        if (index == 0)
        {
            output.Filtered++;
        }
    }

    /// <summary>Event time of a message and its item: utctime (UTC), else time in seconds, else datetime in its zone.</summary>
    private bool TryTime(in JsonItem item, in JsonItem root, out long time)
    {
        time = 0;
        return (Pick(item, root, "utctime"u8) is { IsText: true } utc && EventTime.TryText(utc.Text, null, TimeSpan.Zero, out time))
            || (Pick(item, root, "time"u8).TryInt64(out var seconds) && EventTime.TryMilliseconds(seconds, TimeUnit.Auto, out time))
            || (Pick(item, root, "datetime"u8) is { IsText: true } local && EventTime.TryText(local.Text, null, Zone(item, root), out time));
    }

    private TimeSpan Zone(in JsonItem item, in JsonItem root)
    {
        var hours = settings.Zone ?? (Pick(item, root, "timezone"u8).TryDouble(out var own) ? own : 0);
        return TimeSpan.FromHours(Math.Clamp(hours, -14, 14));
    }

    private static JsonItem Pick(in JsonItem item, in JsonItem root, ReadOnlySpan<byte> name) => item[name] is { IsNothing: false } own ? own : root[name];

    private void ParseItem(in JsonItem item, in JsonItem root, string path, EtlOutput output)
    {
        if (!item.IsObject)
        {
            output.Reject(RejectReason.WrongType, path, "an item is an object", item.Raw);
            return;
        }

        if (!TryTime(item, root, out var time))
        {
            output.Reject(RejectReason.BadTime, path, "a log record needs utctime, time or datetime", item.Raw);
            return;
        }

        var rows = output.Rows;
        rows.SetInt64(0, time);
        SetInteger(output, 1, Pick(item, root, "cloudid"u8), path, "cloudid", item);
        rows.SetString(2, Pick(item, root, "ip"u8).Text);
        rows.SetString(3, Pick(item, root, "filename"u8).Text);
        SetInteger(output, 4, Pick(item, root, "gseindex"u8), path, "gseindex", item);
        SetInteger(output, 5, Pick(item, root, "iterationindex"u8), path, "iterationindex", item);
        var line = Pick(item, root, "data"u8);
        rows.SetText(6, line.Text);
        if (Pick(item, root, "ext"u8) is { IsNothing: false } ext)
        {
            rows.SetText(7, ext.Raw);
        }

        if (_extract is not null)
        {
            var read = _extract.Read(line.Text, rows, FlatBatchSettings.ExtractedAt);
            rows.SetBool(FlatBatchSettings.ExtractedAt + _extract.Count, !read);
        }

        rows.CommitRow();
    }

    private static void SetInteger(EtlOutput output, int column, in JsonItem value, string path, string name, in JsonItem item)
    {
        if (value.IsText ? Cell.Set(output.Rows, column, value.Text) : value.IsNothing)
        {
            return;
        }

        if (value.TryInt64(out var number))
        {
            output.Rows.SetInt64(column, number);
        }
        else
        {
            output.Reject(RejectReason.WrongType, path.Length == 0 ? name : $"{path}.{name}", $"'{name}' is a whole number; it is null in its row", item.Raw);
        }
    }
}
