using System.Text.RegularExpressions;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Expressions;

/// <summary>Turns a tree into kernels for one schema. Null stands for a part whose error is reported.</summary>
internal sealed class Binder(Schema schema, Located text, DiagnosticBag diagnostics)
{
    public static string Word(ColumnType type) => type.ToString().ToLowerInvariant();

    /// <summary>The kernel of the whole expression.</summary>
    public Kernel? Root(Syntax root)
    {
        var kernel = Bind(root);
        return kernel is NullKernel ? Fail<Kernel>(root, "null alone has no type: write cast(null as ...)") : kernel;
    }

    public T? Fail<T>(Syntax at, string message, string code = DiagnosticCodes.WrongExpressionType)
        where T : class
    {
        diagnostics.Error(Expression.PositionOf(text, at.At), code, message);
        return null;
    }

    public Kernel? Bind(Syntax syntax) => syntax switch
    {
        LiteralSyntax literal => Literal(literal),
        NameSyntax name => Column(name),
        UnarySyntax { Operator: "not" } not => Condition(not.Operand, "not") is { } operand ? new UnaryKernel<NotBool, bool, bool>(operand, ColumnType.Bool) : null,
        UnarySyntax minus => Negate(minus),
        BinarySyntax { Operator: "and" or "or" } logic => Logic(logic),
        BinarySyntax binary => Binary(binary),
        InSyntax @in => In(@in),
        BetweenSyntax between => Between(between),
        LikeSyntax like => LikeTest(like),
        IsNullSyntax isNull => Bind(isNull.Value) is { } value ? new IsNullKernel(value, isNull.Not) : null,
        CaseSyntax @case => Case(@case),
        CastSyntax cast => Cast(cast),
        CallSyntax call => Call(call),
        IndexSyntax index => Index(index),
        _ => throw new System.Diagnostics.UnreachableException(syntax.GetType().Name),
    };

    public static Kernel<double>? Double(Kernel kernel) => kernel switch
    {
        Kernel<double> d => d,
        ConstantKernel<long> { Type: ColumnType.Int64 } c => new ConstantKernel<double>(ColumnType.Float64, c.Value),
        Kernel<long> l when l.Type != ColumnType.DateTime => new UnaryKernel<LongToDouble, long, double>(l, ColumnType.Float64),
        NullKernel => new NullKernel<double>(ColumnType.Float64),
        _ => null,
    };

    /// <summary>The kernel as a type that its own widens to; null when it does not.</summary>
    public static Kernel? Coerce(Kernel kernel, ColumnType type) => type switch
    {
        ColumnType.Float64 => Double(kernel),
        ColumnType.Bool => kernel as Kernel<bool>,
        ColumnType.Int64 or ColumnType.Int32 => kernel switch
        {
            NullKernel => new NullKernel<long>(ColumnType.Int64),
            Kernel<long> l when l.Type != ColumnType.DateTime => l,
            _ => null,
        },
        ColumnType.DateTime => kernel switch
        {
            NullKernel => new NullKernel<long>(type),
            Kernel<long> l when l.Type == type => l,
            _ => null,
        },
        ColumnType.String or ColumnType.Text or ColumnType.Json => kernel switch
        {
            NullKernel => new NullStringKernel(type),
            StringKernel s => s,
            _ => null,
        },
        _ => null,
    };

    /// <summary>The type that all widen to; null after the error is reported.</summary>
    public ColumnType? Common(Syntax at, IReadOnlyList<Kernel> kernels)
    {
        ColumnType? common = null;
        foreach (var kernel in kernels)
        {
            if (kernel is NullKernel)
            {
                continue;
            }

            var type = kernel.Type == ColumnType.Int32 ? ColumnType.Int64 : kernel.Type;
            ColumnType? next = (common, type) switch
            {
                (null, _) => type,
                var (a, b) when a == b => a,
                (ColumnType.Int64, ColumnType.Float64) or (ColumnType.Float64, ColumnType.Int64) => ColumnType.Float64,
                (ColumnType.String or ColumnType.Text or ColumnType.Json, ColumnType.String or ColumnType.Text or ColumnType.Json) => ColumnType.Text,
                _ => null,
            };
            if (next is null or ColumnType.Map)
            {
                Fail<Kernel>(at, $"{Word(common ?? type)} and {Word(type)} have no common type: cast one of them");
                return null;
            }

            common = next;
        }

        if (common is null)
        {
            Fail<Kernel>(at, "null alone has no type: write cast(null as ...)");
        }

        return common;
    }

    /// <summary>The value of the first true condition.</summary>
    public Kernel? Choose(Syntax at, Kernel<bool>[] conditions, IReadOnlyList<Kernel> values)
    {
        if (Common(at, values) is not { } type)
        {
            return null;
        }

        var fitted = values.Select(v => Coerce(v, type)!).ToArray();
        return type switch
        {
            ColumnType.Bool => new CaseKernel<bool>(conditions, [.. fitted.Cast<Kernel<bool>>()], type),
            ColumnType.Float64 => new CaseKernel<double>(conditions, [.. fitted.Cast<Kernel<double>>()], type),
            ColumnType.Int64 or ColumnType.DateTime => new CaseKernel<long>(conditions, [.. fitted.Cast<Kernel<long>>()], type),
            _ => new StringCaseKernel(conditions, [.. fitted.Cast<StringKernel>()], type),
        };
    }

    public Kernel? Compare(Syntax at, string op, Kernel left, Kernel right)
    {
        // A literal beside a time is read as a time.
        if (left.Type == ColumnType.DateTime && right is StringConstantKernel r)
        {
            return TimeLiteral(at, r) is { } time ? Compare(at, op, left, time) : null;
        }

        if (right.Type == ColumnType.DateTime && left is StringConstantKernel l)
        {
            return TimeLiteral(at, l) is { } time ? Compare(at, op, time, right) : null;
        }

        if (op is ">" or ">=")
        {
            return Compare(at, op == ">" ? "<" : "<=", right, left);
        }

        if (left is NullKernel && right is NullKernel)
        {
            return left;
        }

        if (Common(at, [left, right]) is not { } type)
        {
            return null;
        }

        var (a, b) = (Coerce(left, type)!, Coerce(right, type)!);
        return (a, b) switch
        {
            (Kernel<bool> x, Kernel<bool> y) => op switch
            {
                "=" => new BinaryKernel<EqualBool, bool, bool, bool>(x, y, ColumnType.Bool),
                "!=" => new BinaryKernel<NotEqualBool, bool, bool, bool>(x, y, ColumnType.Bool),
                _ => Fail<Kernel>(at, "bool has no order: use = or !="),
            },
            (Kernel<long> x, Kernel<long> y) => Ordered(op, x, y),
            (Kernel<double> x, Kernel<double> y) => Ordered(op, x, y),
            (StringKernel x, StringConstantKernel y) when op is "=" => new StringMapKernel<bool>(x, new OneOf([y.Utf8]), ColumnType.Bool),
            (StringKernel x, StringConstantKernel y) when op is "!=" =>
                new UnaryKernel<NotBool, bool, bool>(new StringMapKernel<bool>(x, new OneOf([y.Utf8]), ColumnType.Bool), ColumnType.Bool),
            (StringConstantKernel, StringKernel) when op is "=" or "!=" => Compare(at, op, right, left),
            (StringKernel x, StringKernel y) => new StringCompareKernel(x, y, op switch
            {
                "=" => Order.Equal,
                "!=" => Order.NotEqual,
                "<" => Order.Less,
                _ => Order.LessOrEqual,
            }),
            _ => Fail<Kernel>(at, $"{Word(type)} cannot be compared"),
        };
    }

    /// <summary>The kernel under another type by force; null when there is no such cast.</summary>
    public static Kernel? CastTo(Kernel kernel, ColumnType type) => (kernel, type) switch
    {
        (NullKernel, ColumnType.Bool) => new NullKernel<bool>(type),
        (NullKernel, ColumnType.Int32 or ColumnType.Int64 or ColumnType.DateTime) => new NullKernel<long>(type),
        (NullKernel, ColumnType.Float64) => new NullKernel<double>(type),
        (NullKernel, ColumnType.String or ColumnType.Text or ColumnType.Json) => new NullStringKernel(type),
        (Kernel<bool> k, ColumnType.Bool) => k,
        (Kernel<bool> k, ColumnType.Int32 or ColumnType.Int64) => new UnaryKernel<BoolToLong, bool, long>(k, type),
        (Kernel<long> { Type: not ColumnType.DateTime } k, ColumnType.Bool) => new UnaryKernel<LongToBool, long, bool>(k, type),
        (Kernel<long> k, ColumnType.Int32) => new UnaryKernel<LongToInt32, long, long>(k, type),
        (Kernel<long> k, ColumnType.Int64 or ColumnType.DateTime) => k.Type == type ? k : new UnaryKernel<LongAsIs, long, long>(k, type),
        (Kernel<long> k, ColumnType.Float64) => new UnaryKernel<LongToDouble, long, double>(k, type),
        (Kernel<double> k, ColumnType.Float64) => k,
        (Kernel<double> k, ColumnType.Int64 or ColumnType.DateTime) => new UnaryKernel<DoubleToLong, double, long>(k, type),
        (Kernel<double> k, ColumnType.Int32) => CastTo(new UnaryKernel<DoubleToLong, double, long>(k, ColumnType.Int64), type),
        (StringKernel k, ColumnType.Bool) => new StringMapKernel<bool>(k, new ParseBool(), type),
        (StringKernel k, ColumnType.Int64) => new StringMapKernel<long>(k, new ParseLong(), type),
        (StringKernel k, ColumnType.Int32) => CastTo(new StringMapKernel<long>(k, new ParseLong(), ColumnType.Int64), type),
        (StringKernel k, ColumnType.DateTime) => new StringMapKernel<long>(k, new ParseTime(), type),
        (StringKernel k, ColumnType.Float64) => new StringMapKernel<double>(k, new ParseDouble(), type),
        (StringKernel k, ColumnType.String or ColumnType.Text or ColumnType.Json) => k.Type == type ? k : new StringCastKernel(k, type),
        (Kernel<bool> k, ColumnType.String) => new ToStringKernel<bool>(k),
        (Kernel<long> k, ColumnType.String) => new ToStringKernel<long>(k),
        (Kernel<double> k, ColumnType.String) => new ToStringKernel<double>(k),
        (Kernel<bool> or Kernel<long> or Kernel<double>, ColumnType.Text) => CastTo(CastTo(kernel, ColumnType.String)!, ColumnType.Text),
        _ => null,
    };

    /// <summary>A regular expression that cannot run away; null after the error is reported.</summary>
    public Regex? Pattern(Syntax at, string pattern)
    {
        try
        {
            return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            return Fail<Regex>(at, $"'{pattern}' cannot be used: {e.Message}", DiagnosticCodes.BadRegex);
        }
    }

    private static Kernel Ordered<T>(string op, Kernel<T> a, Kernel<T> b)
        where T : struct, System.Numerics.IComparisonOperators<T, T, bool> => op switch
        {
            "=" => new BinaryKernel<Equal<T>, T, T, bool>(a, b, ColumnType.Bool),
            "!=" => new BinaryKernel<NotEqual<T>, T, T, bool>(a, b, ColumnType.Bool),
            "<" => new BinaryKernel<Less<T>, T, T, bool>(a, b, ColumnType.Bool),
            _ => new BinaryKernel<LessOrEqual<T>, T, T, bool>(a, b, ColumnType.Bool),
        };

    private static Kernel Literal(LiteralSyntax literal) => literal.Value switch
    {
        long l => new ConstantKernel<long>(ColumnType.Int64, l),
        double d => new ConstantKernel<double>(ColumnType.Float64, d),
        bool b => new ConstantKernel<bool>(ColumnType.Bool, b),
        string s => new StringConstantKernel(s),
        _ => new NullKernel(),
    };

    private Kernel? Column(NameSyntax name)
    {
        var index = schema.IndexOf(name.Name);
        if (index < 0)
        {
            var names = schema.Fields.Select(f => f.Name);
            return Fail<Kernel>(name, $"no column '{name.Name}' here; columns are {string.Join(", ", names)}.{Suggestion.For(name.Name, names)}", DiagnosticCodes.UnknownColumn);
        }

        var field = schema[index];
        return field.Type switch
        {
            ColumnType.Bool => new ColumnKernel<bool>(index, field.Type, field.Nullable),
            ColumnType.Int32 => new Int32ColumnKernel(index, field.Nullable),
            ColumnType.Int64 or ColumnType.DateTime => new ColumnKernel<long>(index, field.Type, field.Nullable),
            ColumnType.Float64 => new ColumnKernel<double>(index, field.Type, field.Nullable),
            ColumnType.String => new StringColumnKernel(index, field.Nullable),
            ColumnType.Map => new MapKernel(index, field.Nullable),
            _ => new TextColumnKernel(index, field.Type, field.Nullable),
        };
    }

    private Kernel<bool>? Condition(Syntax syntax, string op) => Bind(syntax) switch
    {
        null => null,
        Kernel<bool> condition => condition,
        var other => Fail<Kernel<bool>>(syntax, $"'{op}' takes conditions, not {Word(other.Type)}"),
    };

    private LogicKernel? Logic(BinarySyntax logic)
    {
        var left = Condition(logic.Left, logic.Operator);
        var right = Condition(logic.Right, logic.Operator);
        return left is null || right is null ? null : new LogicKernel(left, right, logic.Operator == "and");
    }

    private Kernel? Negate(UnarySyntax minus) => Bind(minus.Operand) switch
    {
        null => null,
        NullKernel n => n,
        Kernel<double> d => new UnaryKernel<NegateDouble, double, double>(d, ColumnType.Float64),
        Kernel<long> l when l.Type != ColumnType.DateTime => new UnaryKernel<NegateLong, long, long>(l, ColumnType.Int64),
        var other => Fail<Kernel>(minus, $"'-' takes a number, not {Word(other.Type)}"),
    };

    private Kernel? Binary(BinarySyntax binary)
    {
        var left = Bind(binary.Left);
        var right = Bind(binary.Right);
        if (left is null || right is null)
        {
            return null;
        }

        return binary.Operator switch
        {
            "||" => Concat(binary, [left, right]),
            "+" or "-" or "*" or "/" or "%" => Arithmetic(binary, left, right),
            _ => Compare(binary, binary.Operator, left, right),
        };
    }

    public Kernel? Concat(Syntax at, IReadOnlyList<Kernel> parts)
    {
        var strings = parts.Select(p => CastTo(p, p is StringKernel ? p.Type : ColumnType.String) as StringKernel).ToArray();
        return Array.Exists(strings, s => s is null)
            ? Fail<Kernel>(at, "a map is no text")
            : new ConcatKernel(strings!, Array.Exists(strings, s => s!.Type != ColumnType.String) ? ColumnType.Text : ColumnType.String);
    }

    private Kernel? Arithmetic(BinarySyntax at, Kernel left, Kernel right)
    {
        if (left is NullKernel && right is NullKernel)
        {
            return left;
        }

        var op = at.Operator;
        switch (left.Type, right.Type, op)
        {
            case (ColumnType.DateTime, ColumnType.DateTime, "-"):
                return new BinaryKernel<SubtractLong, long, long, long>((Kernel<long>)left, (Kernel<long>)right, ColumnType.Int64);
            case (ColumnType.DateTime, ColumnType.Int64 or ColumnType.Int32, "-"):
                return new BinaryKernel<SubtractLong, long, long, long>((Kernel<long>)left, (Kernel<long>)right, ColumnType.DateTime);
            case (ColumnType.DateTime, ColumnType.Int64 or ColumnType.Int32, "+") or (ColumnType.Int64 or ColumnType.Int32, ColumnType.DateTime, "+"):
                return new BinaryKernel<AddLong, long, long, long>((Kernel<long>)left, (Kernel<long>)right, ColumnType.DateTime);
        }

        if (op != "/" && Coerce(left, ColumnType.Int64) is Kernel<long> a && Coerce(right, ColumnType.Int64) is Kernel<long> b)
        {
            return op switch
            {
                "+" => new BinaryKernel<AddLong, long, long, long>(a, b, ColumnType.Int64),
                "-" => new BinaryKernel<SubtractLong, long, long, long>(a, b, ColumnType.Int64),
                "*" => new BinaryKernel<MultiplyLong, long, long, long>(a, b, ColumnType.Int64),
                _ => new BinaryKernel<ModuloLong, long, long, long>(a, b, ColumnType.Int64),
            };
        }

        if (Double(left) is not { } x || Double(right) is not { } y)
        {
            return Fail<Kernel>(at, $"'{op}' takes numbers, not {Word(left.Type)} and {Word(right.Type)}");
        }

        return op switch
        {
            "+" => new BinaryKernel<AddDouble, double, double, double>(x, y, ColumnType.Float64),
            "-" => new BinaryKernel<SubtractDouble, double, double, double>(x, y, ColumnType.Float64),
            "*" => new BinaryKernel<MultiplyDouble, double, double, double>(x, y, ColumnType.Float64),
            "/" => new BinaryKernel<DivideDouble, double, double, double>(x, y, ColumnType.Float64),
            _ => new BinaryKernel<ModuloDouble, double, double, double>(x, y, ColumnType.Float64),
        };
    }

    private Kernel? In(InSyntax at)
    {
        var value = Bind(at.Value);
        var items = at.Items.Select(Bind).ToArray();
        if (value is null || Array.Exists(items, i => i is null))
        {
            return null;
        }

        if (items.Length == 0)
        {
            return Fail<Kernel>(at, "the list after 'in' is empty", DiagnosticCodes.BadExpression);
        }

        Kernel? found = null;
        if (value is StringKernel s && Array.TrueForAll(items, i => i is StringConstantKernel))
        {
            found = new StringMapKernel<bool>(s, new OneOf([.. items.Select(i => ((StringConstantKernel)i!).Utf8)]), ColumnType.Bool);
        }
        else if (value is Kernel<long> { Type: ColumnType.Int64 } l && Array.TrueForAll(items, i => i is ConstantKernel<long>))
        {
            found = new InKernel<long>(l, [.. items.Select(i => ((ConstantKernel<long>)i!).Value)]);
        }
        else
        {
            for (var i = 0; i < items.Length; i++)
            {
                if (Compare(at.Items[i], "=", value, items[i]!) is not Kernel<bool> equal)
                {
                    return null;
                }

                found = found is Kernel<bool> before ? new LogicKernel(before, equal, isAnd: false) : equal;
            }
        }

        return Negated(found, at.Not);
    }

    private Kernel? Between(BetweenSyntax at)
    {
        if (Bind(at.Value) is not { } value || Bind(at.Low) is not { } low || Bind(at.High) is not { } high)
        {
            return null;
        }

        var above = Compare(at.Low, ">=", value, low) as Kernel<bool>;
        var below = Compare(at.High, "<=", value, high) as Kernel<bool>;
        return above is null || below is null ? null : Negated(new LogicKernel(above, below, isAnd: true), at.Not);
    }

    private Kernel? LikeTest(LikeSyntax at)
    {
        var value = Bind(at.Value);
        var pattern = Bind(at.Pattern);
        if (value is null || pattern is null)
        {
            return null;
        }

        if (value is not StringKernel s)
        {
            return Fail<Kernel>(at.Value, $"'like' takes a text, not {Word(value.Type)}");
        }

        return pattern is StringConstantKernel constant
            ? Negated(new StringMapKernel<bool>(s, new Like(constant.Utf8), ColumnType.Bool), at.Not)
            : Fail<Kernel>(at.Pattern, "the pattern of 'like' is a literal, such as 'a%'");
    }

    private static Kernel? Negated(Kernel? condition, bool not) =>
        not && condition is Kernel<bool> b ? new UnaryKernel<NotBool, bool, bool>(b, ColumnType.Bool) : condition;

    private Kernel? Case(CaseSyntax at)
    {
        var subject = at.Subject is null ? null : Bind(at.Subject);
        if (at.Subject is not null && subject is null)
        {
            return null;
        }

        var conditions = new List<Kernel<bool>?>();
        var values = new List<Kernel?>();
        foreach (var (when, then) in at.Branches)
        {
            conditions.Add(subject is null ? Condition(when, "when")
                : Bind(when) is { } value ? Compare(when, "=", subject, value) as Kernel<bool> : null);
            values.Add(Bind(then));
        }

        if (at.Else is not null)
        {
            conditions.Add(new ConstantKernel<bool>(ColumnType.Bool, true));
            values.Add(Bind(at.Else));
        }

        return conditions.Contains(null) || values.Contains(null) ? null : Choose(at, [.. conditions.Select(c => c!)], [.. values.Select(v => v!)]);
    }

    private Kernel? Cast(CastSyntax at)
    {
        if (Bind(at.Value) is not { } value)
        {
            return null;
        }

        if (!Enum.TryParse<ColumnType>(at.Type, ignoreCase: true, out var type) || type == ColumnType.Map)
        {
            var types = Enum.GetValues<ColumnType>().Where(t => t != ColumnType.Map).Select(Word).ToArray();
            diagnostics.Error(Expression.PositionOf(text, at.TypeAt), DiagnosticCodes.WrongExpressionType,
                $"no type '{at.Type}'; types are {string.Join(", ", types)}.{Suggestion.For(at.Type, types)}");
            return null;
        }

        return CastTo(value, type) ?? Fail<Kernel>(at, $"{Word(value.Type)} cannot become {Word(type)}");
    }

    private Kernel? Call(CallSyntax call)
    {
        var function = Functions.All.FirstOrDefault(f => f.Name == call.Name);
        var arguments = call.Arguments.Select(Bind).ToArray();
        if (function is null)
        {
            var names = Functions.All.Select(f => f.Name);
            return Fail<Kernel>(call, $"no function '{call.Name}'; functions are {string.Join(", ", names)}.{Suggestion.For(call.Name, names)}", DiagnosticCodes.UnknownFunction);
        }

        if (arguments.Length < function.Min || arguments.Length > function.Max)
        {
            return Fail<Kernel>(call, $"{arguments.Length} arguments for {function.Signature}");
        }

        return Array.Exists(arguments, a => a is null) ? null : function.Bind(new FunctionCall(this, call, arguments!, function));
    }

    private Kernel? Index(IndexSyntax at)
    {
        var map = Bind(at.Map);
        var key = Bind(at.Key);
        if (map is null || key is null)
        {
            return null;
        }

        if (map is not MapKernel m)
        {
            return Fail<Kernel>(at.Map, $"[ ] takes a map, not {Word(map.Type)}");
        }

        return key is StringConstantKernel k ? new MapGetKernel(m, k.Utf8) : Fail<Kernel>(at.Key, "a key is a literal, such as dimensions['pod']");
    }

    private ConstantKernel<long>? TimeLiteral(Syntax at, StringConstantKernel literal) => new ParseTime().Apply(literal.Utf8, out var ms)
        ? new ConstantKernel<long>(ColumnType.DateTime, ms)
        : Fail<ConstantKernel<long>>(at, $"'{literal.Value}' is not a time: write '2026-01-31T08:00:00Z'");
}
