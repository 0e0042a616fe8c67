using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests;

/// <summary>A small catalogue for tests of reading and running: lines of <c>time,host,value</c>, a pass-through node, memory ends.</summary>
internal static class TestFlows
{
    public static FlowCatalog Catalog { get; } = new(
        [new("memory", "records from memory", "{ name: in, type: memory }", [], _ => new MemorySettings())],
        [new("csv3", "time,host,value", "{ type: csv3 }", [], _ => new Csv3())],
        [
            new("pass", "passes rows", "{ name: p, type: pass }", [new("size", KeyKind.Duration, "a span"), new("mode", KeyKind.Choice, "a word") { Choices = ["fast", "slow"] }], Pass.Read),
            MergeSettings.Entry,
            DedupeSettings.Entry,
            new("join2", "takes two inputs", "{ name: j, type: join2, from: [a, b] }", [], _ => new Pass(2)),
        ],
        [new("memory", "rows to memory", "{ type: memory }", [], _ => new MemorySinkSettings())]);

    public static FlowReading Read(string yaml) => new FlowReader(Catalog).Read("f.yaml", yaml);

    internal sealed class MemorySettings : ISourceSettings
    {
        public string Describe => "memory";

        public ISource Create() => new MemorySource([]);
    }

    internal sealed class MemorySinkSettings : ISinkSettings
    {
        public string Describe => "memory";

        public void Resolve(Schema input, DiagnosticBag diagnostics)
        {
        }

        public ISink Create() => new MemorySink();
    }

    internal sealed class Pass(int inputs) : INodeSettings, IOperator
    {
        public int InputsMax => inputs;

        public static Pass Read(Section section)
        {
            section.Duration("size");
            section.Choice("mode");
            return new Pass(1);
        }

        public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics) => inputs[0];

        public IOperator Create(IReadOnlyList<Schema> inputs) => this;

        public void OnBatch(RecordBatch batch, int input, Output output) => output.Emit(batch);
    }

    internal sealed class Csv3 : IEtlSettings, IEtl
    {
        public Schema Schema { get; } = new(Schema.Time, new Field("host", ColumnType.String, FieldRole.Dimension), new Field("value", ColumnType.Float64));

        public IEtl Create() => this;

        public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
        {
            // "" leaves no row: filtered. "a;b" is two rows.
            foreach (var part in Encoding.UTF8.GetString(payload).Split(';', StringSplitOptions.RemoveEmptyEntries))
            {
                var f = part.Split(',');
                if (f.Length != 3)
                {
                    output.Reject(RejectReason.WrongType, "", "not three fields", payload);
                    continue;
                }

                output.Rows.SetInt64(0, long.Parse(f[0], System.Globalization.CultureInfo.InvariantCulture));
                output.Rows.SetString(1, Encoding.UTF8.GetBytes(f[1]));
                output.Rows.SetFloat64(2, double.Parse(f[2], System.Globalization.CultureInfo.InvariantCulture));
                output.Rows.CommitRow();
            }
        }
    }
}
