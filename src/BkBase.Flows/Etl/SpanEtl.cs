using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// otlp_span: spans as the collector flattens them. One row per span; times of spans in microseconds. An optional field
/// of another type counts as absent and is refused; its row stays.
/// </summary>
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

    private static ReadOnlySpan<byte> Json(in JsonItem value, bool isList, int index, string path, in JsonItem span, EtlOutput output)
    {
        if (isList ? value.IsArray : value.IsObject)
        {
            return value.Raw;
        }

        if (!value.IsNothing)
        {
            output.Reject(RejectReason.WrongType, $"items[{index}]{path}", isList ? "this is a list; it is empty in its row" : "this is an object; it is empty in its row", span.Raw);
        }

        return isList ? "[]"u8 : "{}"u8;
    }

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

        var end = Integer(span["end_time"u8], index, ".end_time", span, output) ?? start;
        var rows = output.Rows;
        rows.SetInt64(0, time);
        rows.SetText(1, trace.Text);
        rows.SetText(2, id.Text);
        rows.SetText(3, TextOf(span["parent_span_id"u8]));
        rows.SetText(4, TextOf(span["trace_state"u8]));
        rows.SetString(5, TextOf(span["span_name"u8]));
        rows.SetInt32(6, Int32(span["kind"u8], index, ".kind", span, output));
        rows.SetInt64(7, start);
        rows.SetInt64(8, end);
        rows.SetInt64(9, Integer(span["elapsed_time"u8], index, ".elapsed_time", span, output) ?? end - start);
        rows.SetInt32(10, Int32(span["status"u8]["code"u8], index, ".status.code", span, output));
        rows.SetText(11, TextOf(span["status"u8]["message"u8]));
        rows.SetString(12, TextOf(span["resource"u8]["service.name"u8]));
        rows.SetText(13, Json(span["attributes"u8], isList: false, index, ".attributes", span, output));
        rows.SetText(14, Json(span["resource"u8], isList: false, index, ".resource", span, output));
        rows.SetText(15, Json(span["events"u8], isList: true, index, ".events", span, output));
        rows.SetText(16, Json(span["links"u8], isList: true, index, ".links", span, output));
        if (Integer(span["bk_biz_id"u8], index, ".bk_biz_id", span, output) is { } biz)
        {
            rows.SetInt64(17, biz);
        }

        rows.SetString(18, TextOf(span["app_name"u8]));
        rows.CommitRow();
    }

    private static int Int32(in JsonItem value, int index, string path, in JsonItem span, EtlOutput output) =>
        (int)(Integer(value, index, path, span, output, int.MinValue, int.MaxValue) ?? 0);

    private static long? Integer(in JsonItem value, int index, string path, in JsonItem span, EtlOutput output, long min = long.MinValue, long max = long.MaxValue)
    {
        if (value.TryInt64(out var number) && number >= min && number <= max)
        {
            return number;
        }

        if (!value.IsNothing)
        {
            output.Reject(RejectReason.WrongType, $"items[{index}]{path}", "this is a whole number; it counts as absent in its row", span.Raw);
        }

        return null;
    }
}
