using System.Buffers;
using Akka.Streams.Dsl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using BkBase.Lab;

namespace BkBase.Host.Bench;

/// <summary>So many messages of a generated stream, spread over partitions by series, made while they are read.</summary>
internal sealed class LabSource(LabStream stream, long records, int partitions) : ISource, ISourceControl
{
    private const int BatchRecords = 1000;
    private volatile bool _stopped;

    public Source<RawBatch, ISourceControl> Create(SourceContext context) =>
        Source.FromEnumerator(() => Batches(context.Source).GetEnumerator()).MapMaterializedValue(_ => (ISourceControl)this);

    public void Confirm(int partition, long offset)
    {
        // Nothing is kept to go on from.
    }

    public void Stop() => _stopped = true;

    public IReadOnlyList<PartitionLag> Lag() => [];

    /// <summary>The messages in batches.</summary>
    public IEnumerable<RawBatch> Batches(string source)
    {
        var buffer = new ArrayBufferWriter<byte>(4096);
        var offsets = new long[partitions];
        var open = new RawBatch?[partitions];
        for (var i = 0L; i < records && !_stopped; i++)
        {
            buffer.ResetWrittenCount();
            var time = stream.NextTime;
            stream.Write(buffer);
            var partition = (int)(stream.KeyHash % (ulong)partitions);
            var batch = open[partition] ??= RawBatch.Rent(source, partition);
            batch.Add(buffer.WrittenSpan, offsets[partition]++, time);
            if (batch.Count == BatchRecords)
            {
                open[partition] = null;
                yield return batch;
            }
        }

        foreach (var batch in open)
        {
            if (batch is not null)
            {
                yield return batch;
            }
        }
    }
}
