using System.Globalization;
using System.Text;
using BkBase.Flows.Definition;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Etl;

/// <summary>What is done to flat rows: convert, calculate, derive, dispatch.</summary>
internal sealed partial class CleanCompiler
{
    public static IReadOnlyList<Key> CalculateKeys { get; } =
    [
        new("assign_var", KeyKind.Text, "column of the result, new or assigned", Required: true),
        new("assign_type", KeyKind.Choice, "its type when it is new") { Choices = ["int", "long", "double"] },
        new("expr", KeyKind.Open, "an expression: op + - * / with lval and rval, op value with a field or val; or a function", Required: true) { Synonyms = ["fun_call"] },
    ];

    public static IReadOnlyList<Key> ConvertKeys { get; } =
    [
        new("type", KeyKind.Choice, "what it is") { Choices = ["fun"] },
        new("method", KeyKind.Choice, "the function", Required: true) { Choices = ["trim"] },
        new("args", KeyKind.Texts, "the column", Required: true),
        new("next", KeyKind.Open, "nothing follows"),
        new("label", KeyKind.Text, "BK-Base's name of the node"),
    ];

    public static IReadOnlyList<Key> DispatchKeys { get; } =
    [
        new("data_id", KeyKind.Integer, "where rows go for which the condition holds", Required: true) { Min = 1, Max = long.MaxValue },
        new("cond", KeyKind.Open, "a condition: op and, or, equal, not equal with lval and rval", Required: true),
    ];

    private static readonly Key[] ExpressionKeys =
    [
        new("op", KeyKind.Choice, "what is computed") { Choices = ["+", "-", "*", "/", "value"] },
        new("type", KeyKind.Text, "field for a column, fun for a function, else the type of val"),
        new("lval", KeyKind.Open, "left"),
        new("rval", KeyKind.Open, "right"),
        new("name", KeyKind.Text, "the column"),
        new("val", KeyKind.Text, "the constant"),
        new("method", KeyKind.Choice, "the function") { Choices = ["minus", "add", "percent", "max"] },
        new("args", KeyKind.Texts, "columns of the function"),
        new("next", KeyKind.Open, "nothing follows"),
        new("label", KeyKind.Text, "BK-Base's name of the node"),
    ];

    private static readonly Key[] RowConditionKeys =
    [
        new("op", KeyKind.Choice, "how the two are compared or combined", Required: true) { Choices = ["and", "or", "equal", "not equal", "not_equal", "value"] },
        new("lval", KeyKind.Open, "left"),
        new("rval", KeyKind.Open, "right"),
        new("type", KeyKind.Text, "field for a column, else the type of val"),
        new("name", KeyKind.Text, "the column"),
        new("val", KeyKind.Text, "the constant"),
    ];

    /// <summary>The step of 'derive', when there is one.</summary>
    public IReadOnlyList<CleanStep> Derived { get; private set; } = [];

    private CleanColumn? Find(string name, Position at)
    {
        if (Root.Chain().Select(l => l.Find(name)).LastOrDefault(c => c is not null) is { } column)
        {
            return column;
        }

        diagnostics.Error(at, DiagnosticCodes.UnknownColumn, $"no column '{name}' is assigned.{Suggestion.For(name, Root.Chain().SelectMany(l => l.Columns).Select(c => c.Name))}");
        return null;
    }

    private CleanColumn? AddColumn(Section section, string key, string name, CleanType type)
    {
        var column = IsColumnName(name) ? Root.Add(name, type, false, null) : null;
        if (column is null)
        {
            section.Error(key, IsColumnName(name) ? DiagnosticCodes.DuplicateName : DiagnosticCodes.BadName, $"'{name}' cannot name a column here");
            return null;
        }

        _positions.TryAdd(column, section.PositionOf(key));
        return column;
    }

    /// <summary>Reads 'derive' and adds its two columns.</summary>
    public void Derive(Section section, Section? conf)
    {
        var entries = new List<(CleanColumn From, byte[] Name)>();
        foreach (var (field, name) in section.TextMap("derive"))
        {
            if (Find(field.Text, field.At) is not { } column)
            {
                return;
            }

            if (entries.Count > 0 && entries[0].From.Type != column.Type)
            {
                diagnostics.Error(field.At, DiagnosticCodes.SchemaMismatch, $"'{column.Name}' is {column.Type}, '{entries[0].From.Name}' is {entries[0].From.Type}: columns of 'derive' share one type");
                return;
            }

            entries.Add((column, Encoding.UTF8.GetBytes(name.Text)));
        }

        if (entries.Count == 0 || conf is null)
        {
            return;
        }

        if (Required(conf, "derive_dimension_field_name", conf.Text("derive_dimension_field_name") is not null)
            && Required(conf, "derive_value_field_name", conf.Text("derive_value_field_name") is not null)
            && AddColumn(conf, "derive_dimension_field_name", conf.Text("derive_dimension_field_name")!, CleanType.String) is { } dimension
            && AddColumn(conf, "derive_value_field_name", conf.Text("derive_value_field_name")!, entries[0].From.Type) is { } value)
        {
            Derived = [new CleanDerive([.. entries], dimension, value)];
        }
    }

    /// <summary>Reads 'calculate' and adds the columns it makes.</summary>
    public IReadOnlyList<CleanStep> Calculations(Section section)
    {
        var steps = new List<CleanStep>();
        foreach (var child in section.Children("calculate"))
        {
            if (child.Text("assign_var") is not { } name || Given(child, "expr") is not { } expression)
            {
                continue;
            }

            var type = child.Choice("assign_type") switch { "long" => CleanType.Long, "double" => CleanType.Double, _ => CleanType.Int };
            var target = Root.Chain().Select(l => l.Find(name)).LastOrDefault(c => c is not null);
            if (target is { IsNumber: false })
            {
                child.Error("assign_var", DiagnosticCodes.WrongType, $"'{name}' is {target.Type}: what is calculated is int, long or double");
                continue;
            }

            target ??= child.Has("assign_type") || !Required(child, "assign_type", false) ? AddColumn(child, "assign_var", name, type) : null;
            if (target is not null && Calculation(expression, target) is { } step)
            {
                steps.Add(step);
            }
        }

        return steps;
    }

    /// <summary>Reads 'convert'.</summary>
    public IReadOnlyList<CleanStep> Conversions(Section section, CleanColumn[] columns)
    {
        var steps = new List<CleanStep>();
        foreach (var child in section.Children("convert"))
        {
            foreach (var arg in child.Texts("args"))
            {
                // A name that is not assigned trims nothing, as in BK-Base.
                if (columns.LastOrDefault(c => c.Name == arg.Text) is not { } column)
                {
                    diagnostics.Warning(arg.At, DiagnosticCodes.UnknownColumn, $"no column '{arg.Text}' is assigned.{Suggestion.For(arg.Text, columns.Select(c => c.Name))}");
                }
                else if (column.Type is CleanType.String or CleanType.Text)
                {
                    steps.Add(new CleanTrim(column));
                }
                else
                {
                    diagnostics.Error(arg.At, DiagnosticCodes.WrongType, $"'{column.Name}' is {column.Type}: trim takes string and text");
                }
            }
        }

        return steps;
    }

    /// <summary>Reads 'dispatch'.</summary>
    public (long DataId, CleanRowCondition Condition)[] Routes(Section section, CleanColumn[] columns)
    {
        var routes = new List<(long, CleanRowCondition)>();
        foreach (var child in section.Children("dispatch"))
        {
            if (child.Integer("data_id") is { } id && Given(child, "cond") is { } node && RowCondition(node, columns) is { } condition)
            {
                routes.Add((id, condition));
            }
        }

        return [.. routes];
    }

    private CleanStep? Calculation(YamlNode node, CleanColumn target)
    {
        if (node is not YamlMappingNode map)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "an expression is a mapping");
            return null;
        }

        var section = new Section(map, ExpressionKeys, diagnostics, "an expression");
        if (section.Text("type") != "fun")
        {
            return Number(section) is { } value ? new CleanCalculate(target, value) : null;
        }

        if (!Required(section, "method", section.Text("method") is not null) || section.Choice("method") is not { } method)
        {
            return null;
        }

        var args = section.Texts("args");
        var wanted = method == "max" ? 1 : 2;
        if (args.Count < wanted)
        {
            section.Error("args", DiagnosticCodes.MissingKey, $"{method} needs {wanted} columns");
            return null;
        }

        var columns = args.Take(wanted).Select(a => NumberColumn(a.Text, a.At)).ToArray();
        if (columns.Contains(null))
        {
            return null;
        }

        if (method == "max")
        {
            return new CleanMax(target, columns[0]!);
        }

        var operands = columns.Select(c => new CleanNumber("", null, null, c, 0, IsStrict: true)).ToArray();
        return new CleanCalculate(target, new CleanNumber(method switch { "minus" => "-", "add" => "+", _ => method }, operands[0], operands[1], null, 0, IsStrict: true));
    }

    private CleanColumn? NumberColumn(string name, Position at)
    {
        var column = Find(name, at);
        if (column is { IsNumber: false, Type: not (CleanType.BigInt or CleanType.BigDecimal) })
        {
            diagnostics.Error(at, DiagnosticCodes.WrongType, $"'{name}' is {column.Type}: numbers are computed from numbers");
            return null;
        }

        return column;
    }

    private CleanNumber? Number(Section section)
    {
        switch (section.Choice("op"))
        {
            case "value" when section.Text("type") == "field":
                return section.Text("name") is { } name && NumberColumn(name, section.PositionOf("name")) is { } column ? new CleanNumber("", null, null, column, 0, false) : null;
            case "value":
                return section.Number("val") is { } constant ? new CleanNumber("", null, null, null, constant, false) : Fail(section, "val");
            case { } op:
                return Side(section, "lval") is { } left && Side(section, "rval") is { } right ? new CleanNumber(op, left, right, null, 0, false) : null;
            default:
                return section.Has("op") ? null : Fail(section, "op");
        }
    }

    private static CleanNumber? Fail(Section section, string key)
    {
        Required(section, key, false);
        return null;
    }

    private CleanNumber? Side(Section section, string key)
    {
        if (Given(section, key) is YamlMappingNode map)
        {
            return Number(new Section(map, ExpressionKeys, diagnostics, "an expression"));
        }

        section.Error(key, DiagnosticCodes.WrongShape, $"'{key}' is an expression: a mapping with 'op'");
        return null;
    }

    private CleanRowCondition? RowCondition(YamlNode node, CleanColumn[] columns)
    {
        if (node is not YamlMappingNode map)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "a condition is a mapping of op, lval and rval");
            return null;
        }

        var section = new Section(map, RowConditionKeys, diagnostics, "a condition");
        var (op, left, right) = (section.Choice("op")?.Replace(' ', '_'), Given(section, "lval"), Given(section, "rval"));
        if (op is null or "value" || left is null || right is null)
        {
            section.Error("op", DiagnosticCodes.WrongShape, "a condition has an op (and, or, equal, not equal), lval and rval");
            return null;
        }

        if (op is "and" or "or")
        {
            return RowCondition(left, columns) is { } a && RowCondition(right, columns) is { } b ? new CleanRowCondition(op, a, b, null, null) : null;
        }

        return RowOperand(left, columns) is { } x && RowOperand(right, columns) is { } y ? new CleanRowCondition(op, null, null, x, y) : null;
    }

    private CleanRowOperand? RowOperand(YamlNode node, CleanColumn[] columns)
    {
        if (node is not YamlMappingNode map)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "what is compared is a mapping: op value, and type field with a name, or another type with val");
            return null;
        }

        var section = new Section(map, RowConditionKeys, diagnostics, "what is compared");
        if (section.Text("type") != "field")
        {
            var text = section.Text("val") ?? "";
            return new CleanRowOperand(null, text, double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null);
        }

        return Find(section.Text("name") ?? "", section.PositionOf("name")) is { } column && columns.Contains(column) ? new CleanRowOperand(column, null, null) : null;
    }
}
