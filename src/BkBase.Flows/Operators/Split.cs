using BkBase.Flows.Definition;
using BkBase.Flows.Expressions;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Sends each row to the first route whose condition is true, else to <c>rest</c>.</summary>
public sealed record SplitSettings(IReadOnlyList<KeyValuePair<Located, Expression>> Routes) : INodeSettings
{
    /// <summary>Port of the rows that no route takes.</summary>
    public const string Rest = "rest";

    public static IReadOnlyList<Key> Keys { get; } = [new("routes", KeyKind.TextMap, "port to condition, first match wins; others go to 'rest'", Required: true)];

    public static CatalogEntry<INodeSettings> Entry { get; } = new(
        "split", "Sends each row to the first route whose condition is true, else to 'rest'.", "type: split\nroutes: { high: value > 90, low: value < 10 }\n", Keys, Read);

    public bool HasOwnOutput => false;

    public IReadOnlyList<string> Ports => [.. Routes.Select(r => r.Key.Text), Rest];

    public static SplitSettings Read(Section section)
    {
        var routes = section.TextMap("routes");
        foreach (var (port, _) in routes)
        {
            if (!Section.NameRule().IsMatch(port.Text) || port.Text == Rest)
            {
                section.Diagnostics.Error(port.At, DiagnosticCodes.BadName, $"'{port.Text}' is not a port: write a name other than '{Rest}'");
            }
        }

        return new([.. routes.Select(r => KeyValuePair.Create(r.Key, Expression.Parse(r.Value, section.Diagnostics)))]);
    }

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics)
    {
        var failed = false;
        foreach (var (_, condition) in Routes)
        {
            failed |= condition.CompileCondition(inputs[0], diagnostics) is null;
        }

        return failed ? null : inputs[0];
    }

    public IOperator Create(IReadOnlyList<Schema> inputs) =>
        new Split([.. Ports], [.. Routes.Select(r => r.Value.CompileCondition(inputs[0], new DiagnosticBag(""))!)]);
}

/// <summary>The operator of <see cref="SplitSettings"/>; the last port takes the rest.</summary>
public sealed class Split(string[] ports, CompiledExpression[] conditions) : IOperator
{
    private int[] _chosen = [];
    private int[] _rows = [];

    public void OnBatch(RecordBatch batch, int input, Output output)
    {
        if (_rows.Length < batch.Count)
        {
            _rows = new int[batch.Count];
            _chosen = new int[batch.Count];
        }

        var chosen = _chosen.AsSpan(0, batch.Count);
        chosen.Fill(conditions.Length);
        for (var c = conditions.Length - 1; c >= 0; c--)
        {
            var count = conditions[c].Select(batch, _rows);
            foreach (var row in _rows.AsSpan(0, count))
            {
                chosen[row] = c;
            }
        }

        for (var port = 0; port < ports.Length; port++)
        {
            var count = 0;
            for (var row = 0; row < chosen.Length; row++)
            {
                if (chosen[row] == port)
                {
                    _rows[count++] = row;
                }
            }

            output.Emit(batch.Take(_rows.AsSpan(0, count)), ports[port]);
        }
    }
}
