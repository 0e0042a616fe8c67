using System.Collections.Concurrent;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Records;

namespace BkBase.Host;

/// <summary>Posted records to the embedded log: the records of one request into one partition, requests in turn.</summary>
internal sealed class EmbeddedIngestLog(EmbeddedLog log, string directory) : IIngestLog
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
        long lag = 0;
        for (var i = log.Create(topic) - 1; i >= 0; i--)
        {
            var next = Math.Max(log.Marks.Get(reader.Flow, reader.Source, i)?.Offset + 1 ?? 0, log.Head(topic, i));
            lag += Math.Max(0, log.Tail(topic, i) - next);
        }

        return lag;
    }
}
