using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Brings several inputs of the same columns together. The order of columns is the first input's.</summary>
public sealed record MergeSettings : INodeSettings
{
    public static IReadOnlyList<Key> Keys { get; } = [];

    public static CatalogEntry<INodeSettings> Entry { get; } = new("merge", "Brings several inputs of the same columns together.", "type: merge\n", Keys, Read);

    /// <summary>Where the node stands, for findings about its inputs.</summary>
    public Position At { get; init; } = new(1, 1);

    public int InputsMax => 64;

    public static MergeSettings Read(Section section) => new() { At = section.Position };

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics)
    {
        var failed = false;
        var fields = inputs[0].Fields.ToArray();
        for (var i = 1; i < inputs.Count; i++)
        {
            var other = inputs[i];
            foreach (var extra in other.Fields.Where(f => inputs[0].IndexOf(f.Name) < 0))
            {
                Error($"input {i + 1} has a column '{extra.Name}' that input 1 lacks");
            }

            for (var f = 0; f < fields.Length; f++)
            {
                var at = other.IndexOf(fields[f].Name);
                if (at < 0)
                {
                    Error($"input {i + 1} lacks the column '{fields[f].Name}' of input 1");
                }
                else if (other[at].Type != fields[f].Type || other[at].Role != fields[f].Role)
                {
                    Error($"column '{fields[f].Name}' is {Describe(fields[f])} in input 1 and {Describe(other[at])} in input {i + 1}");
                }
                else
                {
                    fields[f] = fields[f] with { Nullable = fields[f].Nullable || other[at].Nullable };
                }
            }
        }

        return failed ? null : new Schema(fields);

        void Error(string message)
        {
            diagnostics.Error(At, DiagnosticCodes.SchemaMismatch, message + ": use derive to make them alike");
            failed = true;
        }
    }

    public IOperator Create(IReadOnlyList<Schema> inputs) => new Merge(Resolve(inputs, new DiagnosticBag(""))!, [.. inputs]);

    private static string Describe(Field field) => $"a {field.Role.ToString().ToLowerInvariant()} of {field.Type.ToString().ToLowerInvariant()}";
}

/// <summary>The operator of <see cref="MergeSettings"/>. Watermarks of several inputs are joined by the stage.</summary>
public sealed class Merge : IOperator
{
    private readonly Schema _schema;

    // Per input the column behind each column that comes out; null when the batch fits as it is.
    private readonly int[]?[] _orders;

    internal Merge(Schema schema, Schema[] inputs)
    {
        _schema = schema;
        _orders = Array.ConvertAll(inputs, i => i.Equals(schema) ? null : schema.Fields.Select(f => i.IndexOf(f.Name)).ToArray());
    }

    public void OnBatch(RecordBatch batch, int input, Output output) =>
        output.Emit(_orders[input] is { } order ? batch.With(_schema, Array.ConvertAll(order, at => batch[at])) : batch);
}
