using System.Globalization;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Operators;

/// <summary>Batches from plain rows.</summary>
internal static class Batches
{
    public static Schema Schema { get; } = new(
        Schema.Time,
        new Field("host", ColumnType.String, FieldRole.Dimension),
        new Field("cpu", ColumnType.Float64, Nullable: true),
        new Field("n", ColumnType.Int64, Nullable: true),
        new Field("small", ColumnType.Int32),
        new Field("ok", ColumnType.Bool, Nullable: true),
        new Field("zone", ColumnType.String, Nullable: true),
        new Field("line", ColumnType.Text, Nullable: true),
        new Field("doc", ColumnType.Json, Nullable: true),
        new Field("dimensions", ColumnType.Map));

    /// <summary>Three rows: all set, all null, zeros.</summary>
    public static RecordBatch Three { get; } = Of(Schema,
        [61_000L, "web-1", 1.5, 7L, 3, true, "eu", "GET /a 200", """{"a":{"b":[1,"x"]}}""", "pod=p1"],
        [120_500L, "", null, null, 0, null, null, null, null, ""],
        [0L, "db-2", 0.0, 0L, -3, false, "", "", "no json", "pod=p2,az=b"]);

    public static RecordBatch Of(Schema schema, params object?[][] rows)
    {
        var builder = new BatchBuilder(schema);
        for (var r = 0; r < rows.Length; r++)
        {
            builder.BeginRecord(r);
            for (var c = 0; c < schema.Count; c++)
            {
                Set(builder, c, schema[c].Type, rows[r][c]);
            }

            builder.CommitRow();
        }

        return builder.Build(new Lineage("s", 0, 100, 100 + Math.Max(0, rows.Length - 1)));
    }

    private static void Set(BatchBuilder builder, int column, ColumnType type, object? value)
    {
        if (value is null)
        {
            return;
        }

        switch (type)
        {
            case ColumnType.Bool: builder.SetBool(column, (bool)value); break;
            case ColumnType.Int32: builder.SetInt32(column, (int)value); break;
            case ColumnType.Int64 or ColumnType.DateTime: builder.SetInt64(column, Convert.ToInt64(value, CultureInfo.InvariantCulture)); break;
            case ColumnType.Float64: builder.SetFloat64(column, (double)value); break;
            case ColumnType.String: builder.SetString(column, builder.Strings.Intern((string)value)); break;
            case ColumnType.Map:
                var pairs = ((string)value).Split(',', StringSplitOptions.RemoveEmptyEntries).Select(p => p.Split('='))
                    .Select(p => new MapPair(builder.Strings.Intern(p[0]), builder.Strings.Intern(p[1]))).ToArray();
                builder.SetMap(column, builder.Maps.Intern(pairs));
                break;
            default: builder.SetText(column, System.Text.Encoding.UTF8.GetBytes((string)value)); break;
        }
    }
}

/// <summary>An output that remembers.</summary>
internal sealed class RecordedOutput : Output
{
    public List<(string Port, RecordBatch Batch)> Batches { get; } = [];

    public List<Watermark> Watermarks { get; } = [];

    public List<Rejection> Rejections { get; } = [];

    public long FilteredRows { get; private set; }

    public long MadeRows { get; private set; }

    public override void Emit(RecordBatch batch, string port = "") => Batches.Add((port, batch));

    public override void Emit(Watermark watermark) => Watermarks.Add(watermark);

    public override void Filtered(long rows) => FilteredRows += rows;

    public override void Made(long rows) => MadeRows += rows;

    public override void Reject(Rejection rejection) => Rejections.Add(rejection);

    public List<string?> Troubles { get; } = [];

    public override void Trouble(string? message) => Troubles.Add(message);
}
