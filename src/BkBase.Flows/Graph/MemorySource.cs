using Akka.Streams.Dsl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Records from memory, bounded: flow tests, tests and benchmarks. Remembers what was confirmed.</summary>
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
        Source.FromEnumerator(() => Batches(context.Source).GetEnumerator()).MapMaterializedValue(_ => (ISourceControl)this);

    public void Confirm(int partition, long offset)
    {
        lock (_confirmed)
        {
            _confirmed[partition] = offset;
        }
    }

    public void Stop() => _stopped = true;

    public IReadOnlyList<PartitionLag> Lag() => [];

    private IEnumerable<RawBatch> Batches(string source)
    {
        var offsets = new Dictionary<int, long>();
        var open = new SortedDictionary<int, RawBatch>();
        foreach (var (partition, payload, appendTime) in records)
        {
            if (_stopped)
            {
                break;
            }

            if (!open.TryGetValue(partition, out var batch))
            {
                open[partition] = batch = RawBatch.Rent(source, partition);
            }

            var offset = offsets.GetValueOrDefault(partition);
            offsets[partition] = offset + 1;
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
