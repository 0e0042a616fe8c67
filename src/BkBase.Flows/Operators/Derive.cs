using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Adds, replaces and drops columns. Every expression sees the columns that came in.</summary>
public sealed record DeriveSettings(
    IReadOnlyList<KeyValuePair<Located, Expression>> Columns,
    IReadOnlyList<Located> Drop,
    IReadOnlyList<Located> Keep,
    IReadOnlyList<Located> Dimensions) : INodeSettings
{
    public static IReadOnlyList<Key> Keys { get; } =
    [
        new("columns", KeyKind.TextMap, "new or replaced columns: name to expression"),
        new("drop", KeyKind.Texts, "columns to leave out"),
        new("keep", KeyKind.Texts, "columns to keep of those that came in; all by default"),
        new("dimensions", KeyKind.Texts, "new string columns that identify the series: null becomes ''"),
    ];

    public static CatalogEntry<INodeSettings> Entry { get; } = new(
        "derive", "Adds, replaces and drops columns.", "type: derive\ncolumns: { percent: value * 100 }\ndrop: [value]\n", Keys, Read);

    public static DeriveSettings Read(Section section) => new(
        [.. section.TextMap("columns").Select(c => KeyValuePair.Create(c.Key, Expression.Parse(c.Value, section.Diagnostics)))],
        section.Texts("drop"), section.Texts("keep"), section.Texts("dimensions"));

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics) => Plan(inputs[0], diagnostics) is { } plan ? plan.Schema : null;

    public IOperator Create(IReadOnlyList<Schema> inputs)
    {
        var (schema, columns) = Plan(inputs[0], new DiagnosticBag(""))!.Value;
        return new Derive(schema, columns);
    }

    private (Schema Schema, DerivedColumn[] Columns)? Plan(Schema input, DiagnosticBag diagnostics)
    {
        var failed = false;
        void Error(Located at, string code, string message)
        {
            diagnostics.Error(at.At, code, message);
            failed = true;
        }

        var names = input.Fields.Select(f => f.Name);
        foreach (var name in Drop.Concat(Keep).Where(n => input.IndexOf(n.Text) < 0))
        {
            Error(name, DiagnosticCodes.UnknownColumn, $"no column '{name.Text}' here; columns are {string.Join(", ", names)}.{Suggestion.For(name.Text, names)}");
        }

        foreach (var name in Drop.Where(n => n.Text == Schema.TimeName))
        {
            Error(name, DiagnosticCodes.Contradiction, "'time' opens every row and cannot be dropped");
        }

        foreach (var name in Dimensions.Where(d => !Columns.Any(c => c.Key.Text == d.Text)))
        {
            Error(name, DiagnosticCodes.UnknownColumn, $"'{name.Text}' is not one of the new columns {string.Join(", ", Columns.Select(c => c.Key.Text))}");
        }

        var fields = new List<Field>();
        var columns = new List<DerivedColumn>();
        for (var i = 0; i < input.Count; i++)
        {
            var name = input[i].Name;
            if (i == 0 || (!Drop.Any(d => d.Text == name) && (Keep.Count == 0 || Keep.Any(k => k.Text == name))))
            {
                fields.Add(input[i]);
                columns.Add(new DerivedColumn(i, null, IsDimension: false));
            }
        }

        foreach (var (name, expression) in Columns)
        {
            if (!Section.NameRule().IsMatch(name.Text))
            {
                Error(name, DiagnosticCodes.BadName, $"'{name.Text}' is not a name: write a letter a-z, then letters, digits and '_', at most 50 characters");
            }

            if (expression.Compile(input, diagnostics) is not { } compiled)
            {
                failed = true;
                continue;
            }

            var isDimension = Dimensions.Any(d => d.Text == name.Text);
            if (isDimension && compiled.Type != ColumnType.String)
            {
                Error(name, DiagnosticCodes.WrongExpressionType, $"dimension '{name.Text}' is a string, not {compiled.Type.ToString().ToLowerInvariant()}: write to_string(...)");
            }

            if (name.Text == Schema.TimeName && (compiled.Type != ColumnType.DateTime || compiled.Nullable))
            {
                Error(name, DiagnosticCodes.WrongExpressionType, "'time' is a datetime that is never null: write coalesce(..., time)");
                continue;
            }

            var field = name.Text == Schema.TimeName ? Schema.Time
                : new Field(name.Text, compiled.Type, isDimension ? FieldRole.Dimension : FieldRole.Value, compiled.Nullable && !isDimension);
            var at = fields.FindIndex(f => f.Name == field.Name);
            var column = new DerivedColumn(-1, compiled, isDimension);
            if (at >= 0)
            {
                fields[at] = field;
                columns[at] = column;
            }
            else
            {
                fields.Add(field);
                columns.Add(column);
            }
        }

        return failed ? null : (new Schema([.. fields]), columns.ToArray());
    }
}

/// <summary>One column that comes out: one that came in, or an expression.</summary>
internal readonly record struct DerivedColumn(int From, CompiledExpression? Expression, bool IsDimension);

/// <summary>The operator of <see cref="DeriveSettings"/>.</summary>
public sealed class Derive : IOperator
{
    private readonly Schema _schema;
    private readonly DerivedColumn[] _plan;

    internal Derive(Schema schema, DerivedColumn[] plan)
    {
        _schema = schema;
        _plan = plan;
    }

    public void OnBatch(RecordBatch batch, int input, Output output)
    {
        var columns = new Column[_plan.Length];
        for (var i = 0; i < columns.Length; i++)
        {
            var (from, expression, isDimension) = _plan[i];
            var column = expression?.Evaluate(batch) ?? batch[from];
            columns[i] = isDimension ? WithoutNulls((StringColumn)column) : column;
        }

        output.Emit(batch.With(_schema, columns));
    }

    private static StringColumn WithoutNulls(StringColumn column)
    {
        if (column.Validity is null)
        {
            return column;
        }

        // Id 0 is '' in every dictionary.
        var ids = column.Ids.ToArray();
        for (var i = 0; i < ids.Length; i++)
        {
            ids[i] = column.IsNull(i) ? 0 : ids[i];
        }

        return new StringColumn(ids, ids.Length, column.Dictionary);
    }
}
