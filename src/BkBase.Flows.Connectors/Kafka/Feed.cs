using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>One partition as a consumer fetches it, for all readers that share it.</summary>
internal sealed class Feed(string topic, int partition, long next)
{
    public TopicPartition Key { get; } = new(topic, partition);

    /// <summary>Offset of the next record wanted from the broker.</summary>
    public long Next { get; set; } = next;

    /// <summary>Whether members hold records that were not offered yet.</summary>
    public bool IsChanged { get; set; }

    /// <summary>Whether the broker no longer has <see cref="Next"/>, so that a new position is to be found.</summary>
    public bool IsLost { get; set; }

    public List<FeedMember> Members { get; } = [];

    /// <summary>Adds a record to what the members have, unless the feed stands behind it already.</summary>
    public void Add(KafkaMessage message)
    {
        if (message.Offset < Next)
        {
            return;
        }

        (Next, IsChanged) = (message.Offset + 1, true);
        var payload = message.Payload;
        var time = message.Time;
        foreach (var member in Members)
        {
            member.Add(payload, message.Offset, time);
        }
    }
}

/// <summary>One reader's part in a feed.</summary>
internal sealed class FeedMember(KafkaReader reader, int partition, long start)
{
    public KafkaReader Reader { get; } = reader;

    public int Partition { get; } = partition;

    /// <summary>First offset not yet in the reader's queue.</summary>
    public long Delivered { get; set; } = start;

    public RawBatch? Batch { get; set; }

    public void Add(ReadOnlySpan<byte> payload, long offset, long time)
    {
        if (offset >= Delivered)
        {
            (Batch ??= RawBatch.Rent(Reader.Source, Partition)).Add(payload, offset, Math.Max(0, time));
        }
    }

    public void Drop()
    {
        Batch?.Dispose();
        Batch = null;
    }
}
