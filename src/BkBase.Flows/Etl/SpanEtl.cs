using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>otlp_span: spans as the collector flattens them. One row per span; times of spans in microseconds.</summary>
public sealed record SpanSettings : IEtlSettings
{
    private static readonly Schema Columns = new(
    [
        Schema.Time,
        new("trace_id", ColumnType.Text),
        new("span_id", ColumnType.Text),
        new("parent_span_id", ColumnType.Text),
        new("trace_state", ColumnType.Text),
        new("span_name", ColumnType.String, FieldRole.Dimension),
        new("kind", ColumnType.Int32),
        new("start_time", ColumnType.Int64),
        new("end_time", ColumnType.Int64),
        new("elapsed_time", ColumnType.Int64),
        new("status_code", ColumnType.Int32),
        new("status_message", ColumnType.Text),
        new("service_name", ColumnType.String, FieldRole.Dimension),
        new("attributes", ColumnType.Json),
        new("resource", ColumnType.Json),
        new("events", ColumnType.Json),
        new("links", ColumnType.Json),
        new("bk_biz_id", ColumnType.Int64, Nullable: true),
        new("app_name", ColumnType.String, FieldRole.Dimension),
    ]);

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "otlp_span", "spans of traces; one row per span", "{ type: otlp_span }", [], _ => new SpanSettings());

    public Schema Schema => Columns;

    public IEtl Create() => new SpanEtl();
}

/// <summary>Parser of <see cref="SpanSettings"/>.</summary>
public sealed class SpanEtl : IEtl
{
    private readonly JsonTape _tape = new();

    public Schema Schema { get; } = new SpanSettings().Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        var items = root["items"u8];
        if (!items.IsArray && !items.IsNothing)
        {
            output.Reject(RejectReason.WrongType, "items", "'items' is a list of spans", payload);
            return;
        }

        var index = 0;
        foreach (var span in items.Elements)
        {
            ParseSpan(span, index++, output);
        }

        if (index == 0)
        {
            output.Filtered++;
        }
    }

    private static ReadOnlySpan<byte> Json(in JsonItem value, ReadOnlySpan<byte> orElse) => value.IsNothing ? orElse : value.Raw;

    private static ReadOnlySpan<byte> TextOf(in JsonItem value) => value.IsNothing ? default : value.Text;

    private static void ParseSpan(in JsonItem span, int index, EtlOutput output)
    {
        if (span["trace_id"u8] is not { IsText: true } trace || trace.Text.IsEmpty || span["span_id"u8] is not { IsText: true } id || id.Text.IsEmpty)
        {
            output.Reject(RejectReason.MissingField, $"items[{index}]", "a span needs trace_id and span_id", span.Raw);
            return;
        }

        if (!span["start_time"u8].TryInt64(out var start) || !EventTime.TryMilliseconds(start, TimeUnit.Us, out var time))
        {
            output.Reject(RejectReason.BadTime, $"items[{index}].start_time", "a span needs start_time, in microseconds", span.Raw);
            return;
        }

        var end = span["end_time"u8].TryInt64(out var given) ? given : start;
        var rows = output.Rows;
        rows.SetInt64(0, time);
        rows.SetText(1, trace.Text);
        rows.SetText(2, id.Text);
        rows.SetText(3, TextOf(span["parent_span_id"u8]));
        rows.SetText(4, TextOf(span["trace_state"u8]));
        rows.SetString(5, TextOf(span["span_name"u8]));
        rows.SetInt32(6, Int32(span["kind"u8]));
        rows.SetInt64(7, start);
        rows.SetInt64(8, end);
        rows.SetInt64(9, span["elapsed_time"u8].TryInt64(out var elapsed) ? elapsed : end - start);
        rows.SetInt32(10, Int32(span["status"u8]["code"u8]));
        rows.SetText(11, TextOf(span["status"u8]["message"u8]));
        rows.SetString(12, TextOf(span["resource"u8]["service.name"u8]));
        rows.SetText(13, Json(span["attributes"u8], "{}"u8));
        rows.SetText(14, Json(span["resource"u8], "{}"u8));
        rows.SetText(15, Json(span["events"u8], "[]"u8));
        rows.SetText(16, Json(span["links"u8], "[]"u8));
        if (span["bk_biz_id"u8].TryInt64(out var biz))
        {
            rows.SetInt64(17, biz);
        }

        rows.SetString(18, TextOf(span["app_name"u8]));
        rows.CommitRow();
    }

    private static int Int32(in JsonItem value) => value.TryInt64(out var number) && number is >= int.MinValue and <= int.MaxValue ? (int)number : 0;
}
