using System.Collections.Concurrent;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Host;

/// <summary>Posted records to the embedded log: the records of one request into one partition, requests in turn.</summary>
internal sealed class EmbeddedIngestLog(EmbeddedLog log, ICheckpointStore checkpoints, string directory) : IIngestLog
{
    private readonly ConcurrentDictionary<string, int> _turns = new(StringComparer.Ordinal);

    public long FreeBytes => new DriveInfo(directory).AvailableFreeSpace;

    public Task AppendAsync(string topic, RawBatch batch)
    {
        var turn = (uint)_turns.AddOrUpdate(topic, 0, (_, n) => unchecked(n + 1));
        return log.AppendAsync(topic, (int)(turn % (uint)log.Create(topic)), batch);
    }

    /// <summary>Records that the slowest reader of a topic has not confirmed; what runs not just now is judged by its marks.</summary>
    public long LagOf(IngestTopic topic, Func<TopicReader, long?> running)
    {
        long largest = 0;
        foreach (var reader in topic.Readers)
        {
            largest = Math.Max(largest, running(reader) ?? ByMarks(topic.Name, reader));
        }

        return largest;
    }

    private long ByMarks(string topic, TopicReader reader)
    {
        // Only flows that do not run just now are asked for like this, and a folder answers at once.
        var marks = checkpoints.ReadAsync(reader.Flow, CancellationToken.None).GetAwaiter().GetResult()
            .Select(r => TaskRecordFormat.Decode(r.Record, r.Task, r.At)).Where(r => r.Source == reader.Source && r.Place.Length == 0).ToDictionary(r => r.Partition, r => r.Mark);
        long lag = 0;
        for (var i = log.Create(topic) - 1; i >= 0; i--)
        {
            var next = Math.Max(marks.GetValueOrDefault(i, -1) + 1, log.Head(topic, i));
            lag += Math.Max(0, log.Tail(topic, i) - next);
        }

        return lag;
    }
}
