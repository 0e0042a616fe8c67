using System.Text;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Records;

public sealed class BatchBuilderTests
{
    private static readonly Schema Wide = new(
        Schema.Time,
        new Field("host", ColumnType.String, FieldRole.Dimension),
        new Field("value", ColumnType.Float64, Nullable: true),
        new Field("count", ColumnType.Int64, Nullable: true),
        new Field("line", ColumnType.Text, Nullable: true));

    [Fact]
    public void Columns_not_set_are_null_where_nullable_and_default_elsewhere()
    {
        var builder = new BatchBuilder(Wide);
        builder.SetInt64(0, 5);
        builder.CommitRow();
        Row(builder, 6, "h", 1.5, "text");
        var batch = builder.Build(new Lineage("s", 1, 10, 11));
        Assert.Equal(2, batch.Count);
        Assert.Equal("", batch["host"].GetValue(0));
        Assert.Null(batch["value"].GetValue(0));
        Assert.Null(batch["line"].GetValue(0));
        Assert.Equal(1.5, batch["value"].GetValue(1));
        Assert.Equal("text", batch["line"].GetValue(1));
    }

    [Fact]
    public void A_row_rolled_back_leaves_no_trace()
    {
        var builder = new BatchBuilder(Wide);
        Row(builder, 1, "a", 1, "one");
        builder.SetInt64(0, 2);
        builder.SetText(4, "forgotten"u8);
        builder.RollbackRow();
        Row(builder, 3, "c", null, "three");
        var batch = builder.Build(new Lineage("s", 0, 0, 2));
        Assert.Equal([1L, 3L], batch.Times.ToArray());
        Assert.Equal("three", batch["line"].GetValue(1));
        Assert.Null(batch["value"].GetValue(1));
        Assert.Equal(1d, batch["value"].GetValue(0));
    }

    [Fact]
    public void Rows_after_a_bound_are_dropped_and_the_others_keep_their_values()
    {
        // Any mask of kept and dropped rows must give what a plain filter gives, nulls and texts included.
        for (var mask = 0; mask < 64; mask++)
        {
            var builder = new BatchBuilder(Wide);
            var expected = new List<(long Time, double? Value, string? Line)>();
            for (var i = 0; i < 6; i++)
            {
                var late = (mask >> i & 1) == 1;
                var row = (Time: late ? 1000L + i : i, Value: i % 2 == 0 ? (double?)i : null, Line: i % 3 == 0 ? null : new string((char)('a' + i), i));
                builder.BeginRecord(i);
                Row(builder, row.Time, "h" + i, row.Value, row.Line);
                if (!late)
                {
                    expected.Add(row);
                }
            }

            Assert.Equal(6 - expected.Count, builder.DropOutside(0, long.MinValue, 999, out _));
            Row(builder, 7, "end", 7, "end");
            var batch = builder.Build(new Lineage("s", 0, 0, 6));
            Assert.Equal(expected.Append((7, 7d, "end")), Enumerable.Range(0, batch.Count).Select(r =>
                (batch.Times[r], (double?)batch["value"].GetValue(r), (string?)batch["line"].GetValue(r))));
        }
    }

    [Fact]
    public void Take_gives_the_chosen_rows_under_the_same_lineage()
    {
        var builder = new BatchBuilder(Wide);
        for (var i = 0; i < 5; i++)
        {
            builder.BeginRecord(i);
            Row(builder, i, "h" + i, i == 2 ? null : i, i == 3 ? null : "line" + i);
        }

        var lineage = new Lineage("s", 3, 100, 104);
        var taken = builder.Build(lineage).Take([1, 2, 3]);
        Assert.Equal(lineage, taken.Lineage);
        Assert.Equal([1L, 2L, 3L], taken.Times.ToArray());
        Assert.Equal([1d, null, 3d], Enumerable.Range(0, 3).Select(r => (double?)taken["value"].GetValue(r)));
        Assert.Equal(["line1", "line2", null], Enumerable.Range(0, 3).Select(r => (string?)taken["line"].GetValue(r)));
        Assert.Equal([1, 2, 3], taken.Origins!);
    }

    private static void Row(BatchBuilder builder, long time, string host, double? value, string? line)
    {
        builder.SetInt64(0, time);
        builder.SetString(1, Encoding.UTF8.GetBytes(host));
        if (value is { } v)
        {
            builder.SetFloat64(2, v);
        }

        if (line is not null)
        {
            builder.SetText(4, Encoding.UTF8.GetBytes(line));
        }

        builder.CommitRow();
    }
}
