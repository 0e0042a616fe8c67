using System.Globalization;
using Akka.Streams;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;

namespace BkBase.Flows.Runtime;

/// <summary>
/// Starts flows where their checkpoint records end. What another revision began is settled by that revision first: it
/// reads on to the last offset that it wrote of, so that no record is treated half by one text and half by another.
/// </summary>
/// <param name="checkpoints">Where records and the texts of revisions are kept.</param>
/// <param name="reader">Reads texts of earlier revisions.</param>
public sealed class FlowLauncher(ICheckpointStore checkpoints, FlowReader reader)
{
    /// <summary>Time between publications of a record that nobody waits for.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Told the records before anything is read or written; throws when the tables do not hold what they say.</summary>
    public Func<IReadOnlyList<TaskRecord>, CancellationToken, Task>? Verify { get; init; }

    /// <summary>Starts a flow; first ends what an earlier revision of it left open.</summary>
    /// <param name="flow">The flow; its text is kept until no record names it.</param>
    /// <param name="environment">What the flow needs of the process; its ledger is set here.</param>
    /// <exception cref="CheckpointException">A record cannot be used, or an earlier revision cannot settle its blocks.</exception>
    public async Task<FlowHandle> StartAsync(FlowDefinition flow, FlowEnvironment environment, IMaterializer materializer, CancellationToken cancel)
    {
        await RefuseLostStateAsync(flow, cancel);
        await checkpoints.KeepRevisionAsync(flow.Name, flow.Revision, flow.Text, cancel);
        var places = flow.Sources.ToDictionary(s => s.Name, s => (environment.Sources.GetValueOrDefault(s.Name) ?? s.Settings.Create()).Place, StringComparer.Ordinal);
        var records = await RecordsAsync(flow.Name, cancel);
        if (Verify is { } verify)
        {
            await verify(records, cancel);
        }

        foreach (var open in records
            .Where(r => r.IsOpen && r.Revision != flow.Revision && places.GetValueOrDefault(r.Source, "") == r.Place).GroupBy(r => r.Revision, StringComparer.Ordinal))
        {
            await SettleAsync(flow.Name, open.Key, [.. open], environment, materializer, cancel);
        }

        var ledger = await FlowLedger.OpenAsync(flow.Name, flow.Revision, checkpoints, environment.Time, Interval, cancel);
        return FlowCompiler.Run(flow, environment with { Ledger = ledger }, materializer);
    }

    /// <summary>The published records of a flow.</summary>
    /// <exception cref="CheckpointException">One of them is damaged or of a newer program.</exception>
    public async Task<IReadOnlyList<TaskRecord>> RecordsAsync(string flow, CancellationToken cancel) =>
        [.. (await checkpoints.ReadAsync(flow, cancel)).Select(r => TaskRecordFormat.Decode(r.Record, r.Task, r.At))];

    private async Task RefuseLostStateAsync(FlowDefinition flow, CancellationToken cancel)
    {
        if (!FlowCompiler.IsStateful(flow) && await checkpoints.ReadAsync(FlowRecord.FolderOf(flow.Name), cancel) is [var stored, ..])
        {
            var record = FlowRecordFormat.Decode(stored.Record, flow.Name);
            throw new CheckpointException(
                $"flow {flow.Name}: revision {record.Revision} holds state of {string.Join(", ", record.States.Keys)}, and revision {flow.Revision} has no stateful node: its state and reading positions would be lost. Keep the node, or give the flow another name to start afresh");
        }
    }

    private async Task SettleAsync(string name, string revision, TaskRecord[] records, FlowEnvironment environment, IMaterializer materializer, CancellationToken cancel)
    {
        if (await checkpoints.RevisionAsync(name, revision, cancel) is not { } text)
        {
            throw Unsettled(name, revision, records, "its text is not kept");
        }

        var reading = reader.Read($"{name}@{revision}", text);
        if (reading.Flow is not { } flow)
        {
            throw Unsettled(name, revision, records, $"its text does not compile any more ({reading.Diagnostics.First(d => d.Severity == Severity.Error)})");
        }

        var ledger = await FlowLedger.OpenAsync(name, revision, checkpoints, environment.Time, Interval, cancel);
        var handle = FlowCompiler.Run(
            flow,
            environment with { Ledger = ledger, Taps = [], Until = records.ToDictionary(r => (r.Source, r.Partition), r => r.Reach) },
            materializer);
        await using (cancel.Register(handle.Stop))
        {
            await handle.Completion;
        }

        cancel.ThrowIfCancellationRequested();
        if ((await RecordsAsync(name, cancel)).Where(r => r.Revision == revision && r.IsOpen && records.Any(o => o.Task == r.Task)).ToArray() is { Length: > 0 } left)
        {
            throw Unsettled(name, revision, left, "its source no longer holds the records");
        }
    }

    private static CheckpointException Unsettled(string flow, string revision, TaskRecord[] records, string why)
    {
        var ranges = string.Join("; ", records.Select(r => string.Create(CultureInfo.InvariantCulture, $"{r.Source}/{r.Partition}: offsets {r.Mark + 1} to {r.Reach}")));
        return new CheckpointException($"flow {flow}: revision {revision} left blocks that are not settled, and {why}. {ranges}");
    }
}
