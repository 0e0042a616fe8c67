using System.Text;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

public sealed class NativeEncoderTests
{
    private static readonly Schema Small = new(Schema.Time, new Field("s", ColumnType.String, FieldRole.Dimension), new Field("n", ColumnType.Int32, Nullable: true));

    [Fact]
    public void BlockIsTheBytesOfTheFormat()
    {
        var b = new BatchBuilder(Small);
        foreach (var (time, text, n) in new (long, string, int?)[] { (1, "a", 5), (2, "", null), (3, "a", 7) })
        {
            b.SetInt64(0, time);
            b.SetString(1, b.Strings.Intern(text));
            if (n is { } value)
            {
                b.SetInt32(2, value);
            }

            b.CommitRow();
        }

        var bytes = new NativeEncoder().Encode(Small, [BlockPart.All(b.Build(default))], 9).ToArray();

        using var expected = new MemoryStream();
        using var w = new BinaryWriter(expected);
        w.Write((byte)4);
        w.Write((byte)3);
        Head(w, "time", "DateTime64(3, 'UTC')");
        w.Write(1L);
        w.Write(2L);
        w.Write(3L);
        Head(w, "s", "LowCardinality(String)");
        w.Write(1L);
        w.Write((long)(1 << 9));
        w.Write(2L);
        w.Write("");
        w.Write("a");
        w.Write(3L);
        w.Write([1, 0, 1]);
        Head(w, "n", "Nullable(Int32)");
        w.Write([0, 1, 0]);
        w.Write(5);
        w.Write(0);
        w.Write(7);
        Head(w, "_block", "UInt64");
        w.Write(9L);
        w.Write(9L);
        w.Write(9L);
        Assert.Equal(expected.ToArray(), bytes);
    }

    [Fact]
    public void SelectedRowsEqualTakenRows()
    {
        var batch = Rows.Everything(500);
        int[] rows = [.. Enumerable.Range(0, 500).Where(i => i % 7 < 3)];
        var selected = new NativeEncoder().Encode(Rows.Every, [new BlockPart(batch, rows, 10, 100)], 1).ToArray();
        var taken = new NativeEncoder().Encode(Rows.Every, [BlockPart.All(batch.Take(rows.AsSpan(10, 100)))], 1).ToArray();
        Assert.Equal(taken, selected);
    }

    [Fact]
    public void EncoderIsReusable()
    {
        var encoder = new NativeEncoder();
        var batch = Rows.Everything(300);
        var first = encoder.Encode(Rows.Every, [BlockPart.All(batch)], 1).ToArray();
        encoder.Encode(Rows.Every, [BlockPart.All(Rows.Everything(2000, distinct: true))], 2);
        Assert.Equal(first, encoder.Encode(Rows.Every, [BlockPart.All(batch)], 1).ToArray());
    }

    [Fact]
    public void ManyDistinctStringsGoPlain()
    {
        var text = Encoding.Latin1.GetString(new NativeEncoder().Encode(Rows.Every, [BlockPart.All(Rows.Everything(2000, distinct: true))], 1).Span);
        Assert.Contains("\u0001s\u0006String", text, StringComparison.Ordinal);
    }

    [Fact]
    public void NoAllocationPerRow()
    {
        var encoder = new NativeEncoder();
        BlockPart[] parts = [BlockPart.All(Rows.Everything(10_000))];
        encoder.Encode(Rows.Every, parts, 1);
        var before = GC.GetAllocatedBytesForCurrentThread();
        encoder.Encode(Rows.Every, parts, 1);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 10_000);
    }

    private static void Head(BinaryWriter w, string name, string type)
    {
        w.Write(name);
        w.Write(type);
    }
}
