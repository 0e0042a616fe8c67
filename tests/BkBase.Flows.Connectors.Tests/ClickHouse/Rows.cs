using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

internal static class Rows
{
    public const long Day = 86_400_000;
    public const long T0 = 20_000 * Day;

    public static Schema Metric { get; } = new(
        Schema.Time,
        new Field("metric", ColumnType.String, FieldRole.Dimension),
        new Field("target", ColumnType.String, FieldRole.Dimension),
        new Field("dimensions", ColumnType.Map, FieldRole.Dimension),
        new Field("value", ColumnType.Float64));

    public static Schema Every { get; } = new(
        Schema.Time,
        new Field("s", ColumnType.String, FieldRole.Dimension),
        new Field("m", ColumnType.Map),
        new Field("b", ColumnType.Bool),
        new Field("i", ColumnType.Int32),
        new Field("l", ColumnType.Int64),
        new Field("f", ColumnType.Float64),
        new Field("t", ColumnType.Text),
        new Field("j", ColumnType.Json),
        new Field("ns", ColumnType.String, Nullable: true),
        new Field("nm", ColumnType.Map, Nullable: true),
        new Field("nb", ColumnType.Bool, Nullable: true),
        new Field("ni", ColumnType.Int32, Nullable: true),
        new Field("nl", ColumnType.Int64, Nullable: true),
        new Field("nf", ColumnType.Float64, Nullable: true),
        new Field("nt", ColumnType.Text, Nullable: true),
        new Field("nd", ColumnType.DateTime, Nullable: true));

    /// <summary>A ledger that nothing resumes from.</summary>
    public static EdgeLedger Ledger() => FlowLedger.InMemory("flow", "rev", TimeProvider.System).Edge("t", ["in"]);

    public static RecordBatch Metrics(long first, int rows, long time = T0, long step = 10, int partition = 0, BatchBuilder? builder = null)
    {
        builder ??= new BatchBuilder(Metric);
        for (var i = 0; i < rows; i++)
        {
            builder.BeginRecord(i);
            builder.SetInt64(0, time + (i * step));
            builder.SetString(1, builder.Strings.Intern($"cpu.{(first + i) % 5}"));
            builder.SetString(2, builder.Strings.Intern($"host-{(first + i) % 7}"));
            builder.SetMap(3, builder.Maps.Intern([new MapPair(builder.Strings.Intern("pod"), builder.Strings.Intern($"p{(first + i) % 11}"))]));
            builder.SetFloat64(4, first + i);
            builder.CommitRow();
        }

        return builder.Build(new Lineage("in", partition, first, first + Math.Max(rows, 1) - 1));
    }

    public static RecordBatch Everything(int rows, bool distinct = false)
    {
        var b = new BatchBuilder(Every);
        for (var i = 0; i < rows; i++)
        {
            b.SetInt64(0, T0 + i);
            b.SetString(1, b.Strings.Intern(distinct ? $"v{i}" : $"v{i % 3}"));
            if (i % 2 == 0)
            {
                b.SetMap(2, b.Maps.Intern([new MapPair(b.Strings.Intern("k"), b.Strings.Intern($"é{i % 4}")), new MapPair(b.Strings.Intern("l"), 0)]));
            }

            b.SetBool(3, i % 2 == 0);
            b.SetInt32(4, -i);
            b.SetInt64(5, long.MaxValue - i);
            b.SetFloat64(6, i / 3.0);
            b.SetText(7, System.Text.Encoding.UTF8.GetBytes(new string('x', i % 300)));
            b.SetText(8, "{\"a\":1}"u8);
            if (i % 3 == 0)
            {
                b.SetString(9, b.Strings.Intern($"n{i % 5}"));
                b.SetMap(10, b.Maps.Intern([new MapPair(b.Strings.Intern("z"), b.Strings.Intern("y"))]));
                b.SetBool(11, true);
                b.SetInt32(12, i);
                b.SetInt64(13, i);
                b.SetFloat64(14, i);
                b.SetText(15, "txt"u8);
                b.SetInt64(16, T0 - i);
            }

            b.CommitRow();
        }

        return b.Build(new Lineage("in", 0, 0, rows - 1));
    }
}
