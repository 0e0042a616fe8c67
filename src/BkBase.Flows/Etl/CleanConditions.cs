using System.Buffers.Text;

namespace BkBase.Flows.Etl;

/// <summary>A condition of a selector.</summary>
internal abstract class CleanCondition
{
    public static IReadOnlyList<string> Words { get; } =
    [
        "and", "or", "not", "equal", "not_equal", "greater", "not_greater", "less", "not_less", "startswith", "endswith", "contains",
    ];

    public abstract bool Holds(CleanRun run, int value);
}

/// <summary>and, or, not.</summary>
internal sealed class CleanLogic(string op, CleanCondition left, CleanCondition? right) : CleanCondition
{
    public override bool Holds(CleanRun run, int value) => op switch
    {
        "and" => left.Holds(run, value) && right!.Holds(run, value),
        "or" => left.Holds(run, value) || right!.Holds(run, value),
        _ => !left.Holds(run, value),
    };
}

/// <summary>What a comparison looks at: a constant, the element at a position, what is under a key, or the whole value.</summary>
internal sealed record CleanOperand(byte[]? Constant, double? Number, int? Index, byte[]? Key)
{
    public int Find(CleanValues values, int value) =>
        Index is { } index ? values.Item(value, index) : Key is not null ? values.Find(value, Key) : value;
}

/// <summary>
/// A comparison. equal and not_equal compare as texts, and what is absent equals nothing; greater and less compare
/// numbers only, startswith, endswith and contains texts only: else they do not hold.
/// </summary>
internal sealed class CleanComparison(string op, CleanOperand left, CleanOperand right) : CleanCondition
{
    public override bool Holds(CleanRun run, int value)
    {
        var values = run.Values;
        var (a, b) = (left.Find(values, value), right.Find(values, value));
        switch (op)
        {
            case "equal": return AreEqual(run, a, b);
            case "not_equal": return !AreEqual(run, a, b);
            case "startswith" or "endswith" or "contains":
                return IsText(values, left, a) && IsText(values, right, b) && op switch
                {
                    "startswith" => TextOf(values, left, a).StartsWith(TextOf(values, right, b)),
                    "endswith" => TextOf(values, left, a).EndsWith(TextOf(values, right, b)),
                    _ => TextOf(values, left, a).IndexOf(TextOf(values, right, b)) >= 0,
                };
            default:
                return TryNumber(values, left, a, out var x) && TryNumber(values, right, b, out var y) && op switch
                {
                    "greater" => x > y,
                    "not_greater" => x <= y,
                    "less" => x < y,
                    _ => x >= y,
                };
        }
    }

    private bool AreEqual(CleanRun run, int a, int b)
    {
        var values = run.Values;
        if ((left.Constant is null && values.Kind(a) == CleanKind.Null) || (right.Constant is null && values.Kind(b) == CleanKind.Null))
        {
            return false;
        }

        // The text of an object is good until the next is asked for.
        run.Bytes.Clear();
        run.Bytes.AddRange(left.Constant ?? values.AsText(a));
        return (right.Constant ?? values.AsText(b)).SequenceEqual(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(run.Bytes));
    }

    private static bool IsText(CleanValues values, CleanOperand operand, int value) => operand.Constant is not null || values.Kind(value) == CleanKind.Text;

    private static ReadOnlySpan<byte> TextOf(CleanValues values, CleanOperand operand, int value) => operand.Constant ?? values.Text(value);

    private static bool TryNumber(CleanValues values, CleanOperand operand, int value, out double number)
    {
        number = operand.Number ?? 0;
        return operand.Constant is not null
            ? operand.Number is not null
            : values.Kind(value) == CleanKind.Number && Utf8Parser.TryParse(values.Text(value), out number, out _);
    }
}
