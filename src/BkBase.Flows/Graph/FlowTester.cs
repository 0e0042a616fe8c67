using System.Globalization;
using Akka.Streams;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Runs flow tests on memory sources and sinks through the real compiler: no broker, no store.</summary>
public static class FlowTester
{
    /// <summary>Findings of one case; none when it holds.</summary>
    public static async Task<IReadOnlyList<Diagnostic>> RunAsync(FlowDefinition flow, string file, FlowTestCase test, TimeProvider time, IMaterializer materializer)
    {
        var diagnostics = new DiagnosticBag(file);
        var unknown = test.Input.Keys.Where(k => flow.Sources.All(s => s.Name != k)).ToList();
        var known = flow.Sources.Select(s => s.Name).Concat(flow.Nodes.Select(n => n.Name))
            .Concat(flow.Nodes.SelectMany(n => n.Settings.Ports.Select(p => $"{n.Name}.{p}"))).ToList();
        foreach (var name in unknown)
        {
            diagnostics.Error(test.At, DiagnosticCodes.UnknownInput, $"test '{test.Name}': the flow has no source '{name}'.{Suggestion.For(name, flow.Sources.Select(s => s.Name))}");
        }

        foreach (var expectation in test.Expect.Where(e => !known.Contains(e.Node)))
        {
            diagnostics.Error(expectation.At, DiagnosticCodes.UnknownInput, $"test '{test.Name}': the flow has no '{expectation.Node}'.{Suggestion.For(expectation.Node, known)}");
        }

        if (diagnostics.HasErrors)
        {
            return diagnostics.Sorted();
        }

        var rejected = new MemorySink();
        var taps = test.Expect.Select(e => (e.Node, Sink: new MemorySink())).ToList();
        var handle = FlowCompiler.Run(flow, new FlowEnvironment(time, rejected)
        {
            Sources = flow.Sources.ToDictionary(s => s.Name, s => (ISource)Memory(test, s.Name), StringComparer.Ordinal),
            Sinks = _ => new NullSink(),
            Taps = [.. taps.Select(t => (t.Node, (ISink)t.Sink))],
        }, materializer);
        await handle.Completion;

        for (var i = 0; i < taps.Count; i++)
        {
            Compare(test, test.Expect[i], taps[i].Sink.Batches, diagnostics);
        }

        CompareRejections(test, rejected, diagnostics);
        foreach (var node in handle.Nodes.Where(n => n.Imbalance != 0))
        {
            diagnostics.Error(test.At, DiagnosticCodes.TestFailed, $"test '{test.Name}': node '{node.Node}' lost count of {node.Imbalance} rows");
        }

        return diagnostics.Sorted();
    }

    /// <summary>A value as flow tests write it.</summary>
    public static string? Format(Field field, object? value) => value switch
    {
        null => null,
        bool b => b ? "true" : "false",
        double d => d.ToString("R", CultureInfo.InvariantCulture),
        IReadOnlyDictionary<string, string> map => string.Join(',', map.Select(p => $"{p.Key}={p.Value}").Order(StringComparer.Ordinal)),
        IEnumerable<KeyValuePair<string, string>> map => string.Join(',', map.Select(p => $"{p.Key}={p.Value}").Order(StringComparer.Ordinal)),
        var other => Convert.ToString(other, CultureInfo.InvariantCulture),
    };

    private static MemorySource Memory(FlowTestCase test, string source) =>
        new([.. (test.Input.GetValueOrDefault(source) ?? []).Select(r => (r.Partition, r.Payload, r.AppendTime))]);

    private static void Compare(FlowTestCase test, FlowTestExpectation expected, IReadOnlyList<RecordBatch> batches, DiagnosticBag diagnostics)
    {
        var rows = batches.SelectMany(b => Enumerable.Range(0, b.Count).Select(r => (Batch: b, Row: r))).ToList();
        var left = rows.ToList();
        foreach (var want in expected.Rows)
        {
            var at = left.FindIndex(r => Matches(want, r.Batch, r.Row));
            if (at < 0)
            {
                diagnostics.Error(expected.At, DiagnosticCodes.TestFailed,
                    $"test '{test.Name}': no row {Print(want)} at '{expected.Node}'; rows left are {(left.Count == 0 ? "none" : string.Join("; ", left.Take(5).Select(r => Print(r.Batch, r.Row, want.Keys))))}");
                continue;
            }

            left.RemoveAt(at);
        }

        if (left.Count > 0)
        {
            diagnostics.Error(expected.At, DiagnosticCodes.TestFailed,
                $"test '{test.Name}': {left.Count} rows at '{expected.Node}' were not expected; the first is {Print(left[0].Batch, left[0].Row, left[0].Batch.Schema.Fields.Select(f => f.Name))}");
        }
    }

    private static bool Matches(IReadOnlyDictionary<string, string?> want, RecordBatch batch, int row) =>
        want.All(w => batch.Schema.IndexOf(w.Key) is >= 0 and var i && Same(batch.Schema[i], w.Value, batch[i].GetValue(row)));

    private static bool Same(Field field, string? want, object? value)
    {
        if (field.Type == ColumnType.DateTime && want is not null && value is long ms)
        {
            return FlowTestReader.Time(want) == ms;
        }

        return value is double d && double.TryParse(want, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
            ? number.Equals(d)
            : Format(field, value) == want;
    }

    private static void CompareRejections(FlowTestCase test, MemorySink sink, DiagnosticBag diagnostics)
    {
        var left = sink.Rejections.Select(r => r.Rejection).ToList();
        foreach (var want in test.Rejections ?? [])
        {
            var at = left.FindIndex(r => want.All(w => w.Key switch { "reason" => r.Reason == w.Value, "path" => r.Path == w.Value, _ => false }));
            if (at < 0)
            {
                diagnostics.Error(test.At, DiagnosticCodes.TestFailed, $"test '{test.Name}': no rejection {Print(want)}; rejections left are {string.Join("; ", left.Select(r => $"{r.Reason} at '{r.Path}': {r.Message}"))}");
                continue;
            }

            left.RemoveAt(at);
        }

        if (left.Count > 0)
        {
            diagnostics.Error(test.At, DiagnosticCodes.TestFailed, $"test '{test.Name}': {left.Count} rejections were not expected; the first is {left[0].Reason} at '{left[0].Path}': {left[0].Message}");
        }
    }

    private static string Print(IReadOnlyDictionary<string, string?> row) => "{" + string.Join(", ", row.Select(c => $"{c.Key}: {c.Value ?? "null"}")) + "}";

    private static string Print(RecordBatch batch, int row, IEnumerable<string> columns) => "{" + string.Join(", ", columns.Select(c =>
        batch.Schema.IndexOf(c) is >= 0 and var i ? $"{c}: {Format(batch.Schema[i], batch[i].GetValue(row)) ?? "null"}" : $"no column '{c}'")) + "}";
}
