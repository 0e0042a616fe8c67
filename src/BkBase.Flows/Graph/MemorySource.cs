using Akka.Streams.Dsl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Records from memory, bounded: flow tests, tests and benchmarks. Goes on at the flow's mark; remembers what was confirmed.</summary>
/// <param name="records">Partition, payload and append time (Unix milliseconds, 0 when unknown) in the order read.</param>
/// <param name="batchRecords">Records per batch at most.</param>
public sealed class MemorySource(IReadOnlyList<(int Partition, byte[] Payload, long AppendTime)> records, int batchRecords = 1000) : ISource, ISourceControl
{
    private readonly Dictionary<int, long> _confirmed = [];
    private volatile bool _stopped;

    /// <summary>Largest confirmed offset per partition.</summary>
    public IReadOnlyDictionary<int, long> Confirmed => _confirmed;

    public bool IsBounded => true;

    public Source<RawBatch, ISourceControl> Create(SourceContext context) =>
        Source.Lazily(() => Source.FromTask(ClaimAsync(context)).ConcatMany(starts => Source.FromEnumerator(() => Batches(context.Source, starts).GetEnumerator())))
            .MapMaterializedValue(_ => (ISourceControl)this);

    public void Confirm(int partition, long offset)
    {
        lock (_confirmed)
        {
            _confirmed[partition] = offset;
        }
    }

    public void Stop() => _stopped = true;

    public IReadOnlyList<PartitionLag> Lag() => [];

    private async Task<Dictionary<int, long>> ClaimAsync(SourceContext context)
    {
        var starts = new Dictionary<int, long>();
        foreach (var partition in records.Select(r => r.Partition).Distinct())
        {
            starts[partition] = await context.Ledger.ClaimAsync(partition, "", () => 0, CancellationToken.None);
        }

        return starts;
    }

    private IEnumerable<RawBatch> Batches(string source, Dictionary<int, long> starts)
    {
        var offsets = new Dictionary<int, long>();
        var open = new SortedDictionary<int, RawBatch>();
        foreach (var (partition, payload, appendTime) in records)
        {
            if (_stopped)
            {
                break;
            }

            var offset = offsets.GetValueOrDefault(partition);
            offsets[partition] = offset + 1;
            if (offset < starts[partition])
            {
                continue;
            }

            if (!open.TryGetValue(partition, out var batch))
            {
                open[partition] = batch = RawBatch.Rent(source, partition);
            }

            batch.Add(payload, offset, appendTime);
            if (batch.Count == batchRecords)
            {
                open.Remove(partition);
                yield return batch;
            }
        }

        foreach (var batch in open.Values)
        {
            yield return batch;
        }
    }
}
