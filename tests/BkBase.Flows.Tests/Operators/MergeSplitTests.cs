using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Operators;

public sealed class MergeSplitTests
{
    private static readonly Field Host = new("host", ColumnType.String, FieldRole.Dimension);
    private static readonly Field Cpu = new("cpu", ColumnType.Float64);
    private static readonly Schema First = new(Schema.Time, Host, Cpu);

    // The same columns in another order, one of them nullable.
    private static readonly Schema Second = new(Schema.Time, Cpu with { Nullable = true }, Host);

    [Fact]
    public void Merge_brings_columns_into_the_first_inputs_order_and_is_nullable_where_one_input_is()
    {
        var bag = new DiagnosticBag("f.yaml");
        var settings = new MergeSettings();
        var schema = settings.Resolve([First, Second], bag)!;
        Assert.Empty(bag.Sorted());
        Assert.Equal(["time", "host", "cpu"], schema.Fields.Select(f => f.Name));
        Assert.True(schema[2].Nullable);
        var node = settings.Create([First, Second]);
        var output = new RecordedOutput();
        node.OnBatch(Batches.Of(First, [1L, "a", 1.5]), 0, output);
        node.OnBatch(Batches.Of(Second, [2L, null, "b"]), 1, output);
        Assert.All(output.Batches, b => Assert.Equal(schema, b.Batch.Schema));
        Assert.Equal(["a", "b"], output.Batches.Select(b => b.Batch["host"].GetValue(0)));
        Assert.Equal([1.5, null], output.Batches.Select(b => b.Batch["cpu"].GetValue(0)));
    }

    [Fact]
    public void Merge_hands_batches_on_as_they_come_and_promises_no_order_of_time()
    {
        var node = new MergeSettings().Create([First, First]);
        var output = new RecordedOutput();
        node.OnBatch(Batches.Of(First, [9L, "late", 1.0]), 1, output);
        node.OnBatch(Batches.Of(First, [1L, "early", 1.0]), 0, output);
        Assert.Equal([9L, 1L], output.Batches.Select(b => b.Batch.Times[0]));
        Assert.Equal((0L, 0L), (output.FilteredRows, output.MadeRows));
    }

    [Theory]
    [InlineData(ColumnType.Int64, FieldRole.Value, "column 'cpu' is a value of float64 in input 1 and a value of int64 in input 2: use derive to make them alike")]
    [InlineData(ColumnType.String, FieldRole.Dimension, "column 'cpu' is a value of float64 in input 1 and a dimension of string in input 2: use derive to make them alike")]
    public void Merge_refuses_columns_of_one_name_and_two_types(ColumnType type, FieldRole role, string message)
    {
        var bag = new DiagnosticBag("f.yaml");
        Assert.Null(new MergeSettings().Resolve([First, new Schema(Schema.Time, Host, new Field("cpu", type, role))], bag));
        Assert.Equal(message, Assert.Single(bag.Sorted()).Message);
    }

    [Fact]
    public void Split_gives_each_row_to_the_first_route_that_is_true_and_the_others_to_rest_in_order()
    {
        var bag = new DiagnosticBag("f.yaml");
        var settings = new SplitSettings([Route("high", "cpu > 50"), Route("warm", "cpu > 10"), Route("named", "host = 'c'")]);
        var schema = new Schema(Schema.Time, Host, Cpu with { Nullable = true });
        Assert.Equal(schema, settings.Resolve([schema], bag));
        Assert.Equal(["high", "warm", "named", "rest"], settings.Ports);
        var output = new RecordedOutput();
        settings.Create([schema]).OnBatch(
            Batches.Of(schema, [1L, "a", 60.0], [2L, "c", 20.0], [3L, "c", 99.0], [4L, "c", 1.0], [5L, "e", null], [6L, "f", 5.0], [7L, "g", 11.0]), 0, output);
        Assert.Equal(["high: 1 3", "warm: 2 7", "named: 4", "rest: 5 6"], output.Batches.Select(b => $"{b.Port}: {string.Join(' ', b.Batch.Times.ToArray())}"));
        Assert.Equal((0L, 0L), (output.FilteredRows, output.MadeRows));

        static KeyValuePair<Located, Expression> Route(string port, string condition) => KeyValuePair.Create(
            new Located(port, new Position(1, 1)), Expression.Parse(new Located(condition, new Position(1, 1)), new DiagnosticBag("f.yaml")));
    }
}
