using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Expressions;

/// <summary>An expression that was read: a tree, not yet bound to columns.</summary>
public sealed class Expression
{
    private readonly Syntax? _root;

    private Expression(Located text, Syntax? root)
    {
        Text = text;
        _root = root;
    }

    public Located Text { get; }

    internal Syntax? Root => _root;

    /// <summary>Reads the text; what is wrong goes to the diagnostics, and compiling then gives null.</summary>
    public static Expression Parse(Located text, DiagnosticBag diagnostics)
    {
        try
        {
            return new Expression(text, ExpressionParser.Parse(text.Text));
        }
        catch (ExpressionSyntaxException e)
        {
            diagnostics.Error(PositionOf(text, e.At), DiagnosticCodes.BadExpression, e.Message);
            return new Expression(text, null);
        }
    }

    /// <summary>Checks types against a schema and builds the kernels; null after errors. For one thread.</summary>
    public CompiledExpression? Compile(Schema schema, DiagnosticBag diagnostics)
    {
        if (_root is null)
        {
            return null;
        }

        var kernel = new Binder(schema, Text, diagnostics).Root(_root);
        return kernel is null ? null : new CompiledExpression(kernel, schema, _root);
    }

    /// <summary>As <see cref="Compile"/>, for conditions.</summary>
    public CompiledExpression? CompileCondition(Schema schema, DiagnosticBag diagnostics)
    {
        if (Compile(schema, diagnostics) is not { } compiled)
        {
            return null;
        }

        if (compiled.Type == ColumnType.Bool)
        {
            return compiled;
        }

        diagnostics.Error(PositionOf(Text, 0), DiagnosticCodes.WrongExpressionType, $"a condition is true or false; this is {Binder.Word(compiled.Type)}");
        return null;
    }

    internal static Position PositionOf(Located text, int at)
    {
        var before = text.Text.AsSpan(0, Math.Min(at, text.Text.Length));
        var lines = before.Count('\n');
        return lines == 0 ? text.At.Plus(at) : new Position(text.At.Line + lines, text.At.Column + at - before.LastIndexOf('\n') - 1);
    }
}

/// <summary>An expression bound to a schema. Owns buffers and a dictionary: one thread at a time.</summary>
public sealed class CompiledExpression
{
    private readonly Frame _frame = new();
    private readonly Kernel _kernel;
    private readonly Schema _schema;
    private readonly int _column = -1;

    internal CompiledExpression(Kernel kernel, Schema schema, Syntax root)
    {
        _kernel = kernel;
        _schema = schema;
        if (root is NameSyntax name)
        {
            _column = schema.IndexOf(name.Name);
        }
    }

    public ColumnType Type => _column >= 0 ? _schema[_column].Type : _kernel.Type;

    public bool Nullable => _kernel.Nullable;

    /// <summary>The value of every row. A bare column is handed out as it is.</summary>
    public Column Evaluate(RecordBatch batch)
    {
        if (_column >= 0)
        {
            return batch[_column];
        }

        _frame.Begin(batch);
        _kernel.Run(_frame);
        return _kernel.ToColumn(batch.Count);
    }

    /// <summary>Writes the numbers of the rows where the condition is true (null is not) and returns how many.</summary>
    /// <exception cref="InvalidOperationException">The expression is not a condition.</exception>
    public int Select(RecordBatch batch, Span<int> rows)
    {
        if (_kernel is not Kernel<bool> condition)
        {
            throw new InvalidOperationException($"a condition is true or false; this is {Binder.Word(Type)}");
        }

        _frame.Begin(batch);
        condition.Run(_frame);
        var values = condition.Values[..batch.Count];
        var validity = condition.Validity;
        var count = 0;
        for (var i = 0; i < values.Length; i++)
        {
            if (values[i] && Bits.Get(validity, i))
            {
                rows[count++] = i;
            }
        }

        return count;
    }
}
