using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Records;
using BkBase.Flows.Tests.Operators;

namespace BkBase.Flows.Tests.Expressions;

/// <summary>Random trees against a row-by-row reading of the same trees.</summary>
public sealed class ExpressionFuzzTests
{
    private static readonly Schema Columns = new(
        Schema.Time, new Field("a", ColumnType.Int64, Nullable: true), new Field("b", ColumnType.Int64, Nullable: true), new Field("s", ColumnType.String, Nullable: true));

    [Fact]
    public void KernelsAgreeWithTheInterpreter()
    {
        var random = new Random(7);
        object?[][] rows = [.. Enumerable.Range(0, 150).Select(i => new object?[]
        {
            (long)i, random.Next(4) == 0 ? null : random.NextInt64(-3, 4), random.Next(4) == 0 ? null : random.NextInt64(-3, 4), random.Next(4) == 0 ? null : "xyz"[..random.Next(4)],
        })];
        var batch = Batches.Of(Columns, rows);
        for (var n = 0; n < 400; n++)
        {
            var (text, eval) = Condition(random, 4);
            var bag = new DiagnosticBag("f");
            var column = Expression.Parse(new Located(text, new Position(1, 1)), bag).Compile(Columns, bag)!.Evaluate(batch);
            for (var r = 0; r < rows.Length; r++)
            {
                Assert.True(Equals(eval(rows[r]), column.GetValue(r)), $"{text} at row {r}: {column.GetValue(r) ?? "null"}");
            }
        }
    }

    private static (string Text, Func<object?[], long?> Eval) Number(Random random, int depth)
    {
        if (depth == 0 || random.Next(3) == 0)
        {
            var k = random.Next(-3, 4);
            return random.Next(3) switch { 0 => ("a", r => (long?)r[1]), 1 => ("b", r => (long?)r[2]), _ => ($"({k})", _ => k) };
        }

        var (x, fx) = Number(random, depth - 1);
        var (y, fy) = Number(random, depth - 1);
        var (c, fc) = Condition(random, depth - 1);
        return random.Next(6) switch
        {
            0 => ($"({x} + {y})", r => fx(r) + fy(r)),
            1 => ($"({x} - {y})", r => fx(r) - fy(r)),
            2 => ($"({x} * {y})", r => fx(r) * fy(r)),
            3 => ($"({x} % {y})", r => fy(r) is 0 ? null : fx(r) % fy(r)),
            4 => ($"if({c}, {x}, {y})", r => fc(r) is true ? fx(r) : fy(r)),
            _ => ($"coalesce({x}, {y})", r => fx(r) ?? fy(r)),
        };
    }

    private static (string Text, Func<object?[], bool?> Eval) Condition(Random random, int depth)
    {
        if (depth == 0 || random.Next(5) == 0)
        {
            return random.Next(2) == 0
                ? ("s = 'xy'", r => r[3] is null ? null : (string)r[3]! == "xy")
                : ("s like 'x%'", r => r[3] is null ? null : ((string)r[3]!).StartsWith('x'));
        }

        var (x, fx) = Number(random, depth - 1);
        var (y, fy) = Number(random, depth - 1);
        var (c, fc) = Condition(random, depth - 1);
        var (d, fd) = Condition(random, depth - 1);
        return random.Next(6) switch
        {
            0 => ($"({x} < {y})", r => fx(r) is { } p && fy(r) is { } q ? p < q : null),
            1 => ($"({x} = {y})", r => fx(r) is { } p && fy(r) is { } q ? p == q : null),
            2 => ($"({c} and {d})", r => fc(r) & fd(r)),
            3 => ($"({c} or {d})", r => fc(r) | fd(r)),
            4 => ($"(not {c})", r => !fc(r)),
            _ => ($"({x} is null)", r => fx(r) is null),
        };
    }
}
