using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Keeps the rows where a condition is true; null is not.</summary>
public sealed record FilterSettings(Expression? Where) : INodeSettings
{
    public static IReadOnlyList<Key> Keys { get; } = [new("where", KeyKind.Expression, "condition that the rows to keep fulfil", Required: true)];

    public static CatalogEntry<INodeSettings> Entry { get; } = new(
        "filter", "Keeps the rows where a condition is true.", "type: filter\nwhere: value > 0\n", Keys, Read);

    public static FilterSettings Read(Section section) =>
        new(section.Located("where") is { } text ? Expression.Parse(text, section.Diagnostics) : null);

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics) =>
        Where?.CompileCondition(inputs[0], diagnostics) is null ? null : inputs[0];

    public IOperator Create(IReadOnlyList<Schema> inputs) => new Filter(Where!.CompileCondition(inputs[0], new DiagnosticBag(""))!);
}

/// <summary>The operator of <see cref="FilterSettings"/>.</summary>
public sealed class Filter(CompiledExpression where) : IOperator
{
    private int[] _rows = [];

    public void OnBatch(RecordBatch batch, int input, Output output)
    {
        if (_rows.Length < batch.Count)
        {
            _rows = new int[batch.Count];
        }

        var count = where.Select(batch, _rows);
        if (count < batch.Count)
        {
            output.Filtered(batch.Count - count);
        }

        output.Emit(batch.Take(_rows.AsSpan(0, count)));
    }
}
