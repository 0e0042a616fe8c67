using BkBase.Flows.Records;

namespace BkBase.Flows.Expressions;

/// <summary>One function that expressions may call.</summary>
/// <param name="Name">The word before '('.</param>
/// <param name="Signature">Arguments and result, for people.</param>
/// <param name="Description">One line.</param>
/// <param name="Example">A call with its result.</param>
public sealed record Function(string Name, string Signature, string Description, string Example)
{
    internal int Min { get; init; }

    internal int Max { get; init; }

    internal Func<FunctionCall, Kernel?> Bind { get; init; } = _ => null;
}

/// <summary>A call whose arguments are bound.</summary>
internal sealed record FunctionCall(Binder Binder, CallSyntax Syntax, Kernel[] Arguments, Function Function)
{
    public int Count => Arguments.Length;

    public StringKernel? Text(int i) => Binder.Coerce(Arguments[i], ColumnType.String) as StringKernel ?? Wrong<StringKernel>(i, "a text");

    public StringConstantKernel? Literal(int i) => Arguments[i] as StringConstantKernel ?? Wrong<StringConstantKernel>(i, "a literal text");

    public ConstantKernel<long>? Whole(int i) => Arguments[i] as ConstantKernel<long> ?? Wrong<ConstantKernel<long>>(i, "a literal whole number");

    public Kernel<double>? Number(int i) => Binder.Double(Arguments[i]) ?? Wrong<Kernel<double>>(i, "a number");

    public T? Wrong<T>(int i, string expected)
        where T : class =>
        Binder.Fail<T>(Syntax.Arguments[i], $"argument {i + 1} of {Function.Signature} is {expected}, not {Binder.Word(Arguments[i].Type)}");
}

/// <summary>The functions of expressions: an explicit list.</summary>
public static class Functions
{
    public static IReadOnlyList<Function> All { get; } =
    [
        Make("lower", "lower(text) text", "Lower case.", "lower('Ab') is 'ab'", 1, 1, c => Transform(c, new ChangeCase(upper: false))),
        Make("upper", "upper(text) text", "Upper case.", "upper('Ab') is 'AB'", 1, 1, c => Transform(c, new ChangeCase(upper: true))),
        Make("trim", "trim(text) text", "Without blanks at both ends.", "trim(' a ') is 'a'", 1, 1, c => Transform(c, new TrimSpace())),
        Make("length", "length(text) int64", "Number of characters.", "length('abc') is 3", 1, 1,
            c => c.Text(0) is { } s ? new StringMapKernel<long>(s, new CharacterCount(), ColumnType.Int64) : null),
        Make("substring", "substring(text, start[, length]) text", "Characters from a start, counted from 1.", "substring('abcd', 2, 2) is 'bc'", 2, 3, SubstringOf),
        Make("concat", "concat(any, ...) text", "Values one after another; null when any is.", "concat('a', 1) is 'a1'", 1, 50, c => c.Binder.Concat(c.Syntax, c.Arguments)),
        Make("replace", "replace(text, old, new) text", "Every 'old' becomes 'new'.", "replace('a-b', '-', '_') is 'a_b'", 3, 3,
            c => c.Literal(1) is { } old && c.Literal(2) is { } by ? Transform(c, new Replace(old.Utf8, by.Utf8)) : null),
        Make("starts_with", "starts_with(text, part) bool", "Whether the text begins so.", "starts_with('abc', 'ab') is true", 2, 2, c => Part(c, Where.Start)),
        Make("ends_with", "ends_with(text, part) bool", "Whether the text ends so.", "ends_with('abc', 'bc') is true", 2, 2, c => Part(c, Where.End)),
        Make("contains", "contains(text, part) bool", "Whether the part stands anywhere.", "contains('abc', 'b') is true", 2, 2, c => Part(c, Where.Anywhere)),
        Make("regexp_match", "regexp_match(text, pattern) bool", "Whether the pattern matches anywhere.", "regexp_match('ab1', '[0-9]') is true", 2, 2, Matches),
        Make("regexp_extract", "regexp_extract(text, pattern[, group]) string", "What a group of the pattern matched (the first group, or all); null without a match.",
            "regexp_extract('id=7', 'id=([0-9]+)') is '7'", 2, 3, Extract),
        Make("json_value", "json_value(json, path) string", "The value under a path; null when there is none.", "json_value('{\"a\":{\"b\":1}}', '$.a.b') is '1'", 2, 2, Json),
        Make("coalesce", "coalesce(any, ...) any", "The first value that is not null.", "coalesce(null, 2) is 2", 1, 50,
            c => c.Binder.Choose(c.Syntax, [.. c.Arguments.Select(a => new IsNullKernel(a, not: true))], c.Arguments)),
        Make("if", "if(condition, then, else) any", "One of two values.", "if(true, 1, 2) is 1", 3, 3, If),
        Make("abs", "abs(number) number", "Without sign.", "abs(-2) is 2", 1, 1, c => c.Arguments[0] is Kernel<long> { Type: not ColumnType.DateTime } l
            ? new UnaryKernel<AbsLong, long, long>(l, ColumnType.Int64) : Unary<AbsDouble>(c)),
        Make("round", "round(number[, digits]) number", "To the nearest, halves away from zero.", "round(2.5) is 3", 1, 2, Round),
        Make("floor", "floor(number) number", "The next whole number below.", "floor(2.7) is 2", 1, 1, c => IsWhole(c) ? c.Arguments[0] : Unary<FloorDouble>(c)),
        Make("ceil", "ceil(number) number", "The next whole number above.", "ceil(2.1) is 3", 1, 1, c => IsWhole(c) ? c.Arguments[0] : Unary<CeilDouble>(c)),
        Make("sqrt", "sqrt(number) float64", "Square root; null below 0.", "sqrt(9) is 3", 1, 1, Unary<SqrtDouble>),
        Make("pow", "pow(number, number) float64", "Power.", "pow(2, 3) is 8", 2, 2, c => c.Number(0) is { } a && c.Number(1) is { } b
            ? new BinaryKernel<PowDouble, double, double, double>(a, b, ColumnType.Float64) : null),
        Make("log", "log(number) float64", "Natural logarithm; null at 0 and below.", "log(1) is 0", 1, 1, Unary<LogDouble>),
        Make("log10", "log10(number) float64", "Decimal logarithm; null at 0 and below.", "log10(100) is 2", 1, 1, Unary<Log10Double>),
        Make("exp", "exp(number) float64", "e to a power.", "exp(0) is 1", 1, 1, Unary<ExpDouble>),
        Make("least", "least(any, ...) any", "The smallest; null when any is.", "least(2, 1) is 1", 2, 50, c => Extreme(c, "<=")),
        Make("greatest", "greatest(any, ...) any", "The largest; null when any is.", "greatest(2, 1) is 2", 2, 50, c => Extreme(c, ">=")),
        Make("to_int64", "to_int64(any) int64", "As whole number, cut towards 0; null when it is none.", "to_int64('12') is 12", 1, 1, c => Cast(c, ColumnType.Int64)),
        Make("to_float64", "to_float64(any) float64", "As number; null when it is none.", "to_float64('1.5') is 1.5", 1, 1, c => Cast(c, ColumnType.Float64)),
        Make("to_string", "to_string(any) string", "As text; times as ISO 8601.", "to_string(1) is '1'", 1, 1, c => Cast(c, ColumnType.String)),
        Make("date_trunc", "date_trunc(unit, time) datetime", "Start of the second, minute, hour, day, week, month or year in UTC.",
            "unix_ms(date_trunc('minute', cast(61000 as datetime))) is 60000", 2, 2, Truncate),
        Make("unix_ms", "unix_ms(time) int64", "Unix milliseconds of a time.", "unix_ms(cast(5 as datetime)) is 5", 1, 1,
            c => c.Arguments[0].Type == ColumnType.DateTime ? Cast(c, ColumnType.Int64) : c.Wrong<Kernel>(0, "a datetime")),
    ];

    private static Function Make(string name, string signature, string description, string example, int min, int max, Func<FunctionCall, Kernel?> bind) =>
        new(name, signature, description, example) { Min = min, Max = max, Bind = bind };

    private static bool IsWhole(FunctionCall call) => call.Arguments[0] is Kernel<long> { Type: not ColumnType.DateTime };

    private static Kernel? Unary<TOp>(FunctionCall call)
        where TOp : IUnary<double, double> => call.Number(0) is { } a ? new UnaryKernel<TOp, double, double>(a, ColumnType.Float64) : null;

    private static StringTransformKernel? Transform(FunctionCall call, BytesTransform transform) =>
        call.Text(0) is { } s ? new StringTransformKernel(s, transform, s.Type == ColumnType.String ? ColumnType.String : ColumnType.Text) : null;

    private static Kernel? SubstringOf(FunctionCall call)
    {
        if (call.Whole(1) is not { } start)
        {
            return null;
        }

        var length = long.MaxValue;
        if (call.Count == 3)
        {
            if (call.Whole(2) is not { } given)
            {
                return null;
            }

            length = given.Value;
        }

        return start.Value >= 1 ? Transform(call, new Substring(start.Value, length))
            : call.Binder.Fail<Kernel>(call.Syntax.Arguments[1], "characters are counted from 1");
    }

    private static StringMapKernel<bool>? Part(FunctionCall call, Where where) => call.Text(0) is { } s && call.Literal(1) is { } part
        ? new StringMapKernel<bool>(s, new Holds(part.Utf8, where), ColumnType.Bool) : null;

    private static StringMapKernel<bool>? Matches(FunctionCall call) =>
        call.Text(0) is { } s && call.Literal(1) is { } pattern && call.Binder.Pattern(call.Syntax.Arguments[1], pattern.Value) is { } regex
            ? new StringMapKernel<bool>(s, new RegexTest(regex), ColumnType.Bool) : null;

    private static Kernel? Extract(FunctionCall call)
    {
        if (call.Text(0) is not { } s || call.Literal(1) is not { } pattern || call.Binder.Pattern(call.Syntax.Arguments[1], pattern.Value) is not { } regex)
        {
            return null;
        }

        var groups = regex.GetGroupNumbers().Length - 1;
        var group = (long)Math.Min(1, groups);
        if (call.Count == 3)
        {
            if (call.Whole(2) is not { } given)
            {
                return null;
            }

            group = given.Value;
        }

        return group >= 0 && group <= groups
            ? new StringTransformKernel(s, new RegexExtract(regex, (int)group), ColumnType.String)
            : call.Binder.Fail<Kernel>(call.Syntax.Arguments[2], $"the pattern has groups 0 to {groups}");
    }

    private static Kernel? Json(FunctionCall call)
    {
        if (call.Text(0) is not { } s || call.Literal(1) is not { } literal)
        {
            return null;
        }

        return JsonPath.Split(literal.Value) is { } path
            ? new StringTransformKernel(s, new JsonPath(path), ColumnType.String)
            : call.Binder.Fail<Kernel>(call.Syntax.Arguments[1], $"'{literal.Value}' is not a path: write '$.a.b[0]'");
    }

    private static Kernel? If(FunctionCall call) => call.Arguments[0] is Kernel<bool> condition
        ? call.Binder.Choose(call.Syntax, [condition, new ConstantKernel<bool>(ColumnType.Bool, true)], call.Arguments[1..])
        : call.Wrong<Kernel>(0, "a condition");

    private static Kernel? Round(FunctionCall call)
    {
        if (IsWhole(call))
        {
            return call.Arguments[0];
        }

        if (call.Count == 1)
        {
            return Unary<RoundDouble>(call);
        }

        return call.Number(0) is { } a && call.Whole(1) is { } digits ? new BinaryKernel<RoundTo, double, long, double>(a, digits, ColumnType.Float64) : null;
    }

    private static Kernel? Extreme(FunctionCall call, string op)
    {
        var best = call.Arguments[0];
        for (var i = 1; i < call.Count; i++)
        {
            var next = call.Arguments[i];
            if (call.Binder.Compare(call.Syntax, op, best, next) is not Kernel<bool> better
                || call.Binder.Choose(call.Syntax, [better, new UnaryKernel<NotBool, bool, bool>(better, ColumnType.Bool)], [best, next]) is not { } chosen)
            {
                return null;
            }

            best = chosen;
        }

        return best;
    }

    private static Kernel? Cast(FunctionCall call, ColumnType type) => Binder.CastTo(call.Arguments[0], type) ?? call.Wrong<Kernel>(0, "a number or text");

    private static Kernel? Truncate(FunctionCall call)
    {
        if (call.Literal(0) is not { } unit)
        {
            return null;
        }

        if (!TruncateKernel.Units.Contains(unit.Value))
        {
            return call.Binder.Fail<Kernel>(call.Syntax.Arguments[0], $"'{unit.Value}' is not one of {string.Join(", ", TruncateKernel.Units)}");
        }

        return call.Arguments[1] is Kernel<long> { Type: ColumnType.DateTime } time ? new TruncateKernel(time, unit.Value) : call.Wrong<Kernel>(1, "a datetime");
    }
}
