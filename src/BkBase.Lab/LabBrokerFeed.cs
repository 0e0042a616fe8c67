using System.Buffers;
using Confluent.Kafka;

namespace BkBase.Lab;

/// <summary>Sends a stream to a topic, each series to its own partition, never further ahead of the reader than a partition keeps.</summary>
/// <param name="bootstrap">host:port of the broker.</param>
/// <param name="topic">A topic that exists.</param>
/// <param name="partitions">Its partitions.</param>
public sealed class LabBrokerFeed(string bootstrap, string topic, int partitions)
{
    private const int RecordOverhead = 12;
    private long _failed;

    /// <summary>First record of a partition that its reader has not yet taken; null when nobody says, and then nothing is held back.</summary>
    public Func<int, long>? Position { get; init; }

    /// <summary>
    /// Bytes of a partition that its reader has not yet taken, at most, before compression. The broker counts compressed
    /// ones; lz4 makes these streams more than four times smaller, and a margin stays for batches under way.
    /// </summary>
    public long BacklogBytesMax { get; init; } = LabBroker.PartitionBytesMax * 3L;

    /// <summary>Called once, when the reader holds the feed back for the first time or everything is sent.</summary>
    public Action? Primed { get; init; }

    /// <summary>Sends so many messages of the stream and waits until the broker has them all. Returns the sum of their event times.</summary>
    /// <exception cref="IOException">The broker did not take all of them.</exception>
    public Int128 Send(LabStream stream, long messages, CancellationToken cancel)
    {
        var config = new ProducerConfig
        {
            BootstrapServers = bootstrap,
            LingerMs = 50,
            BatchSize = 500_000,
            BatchNumMessages = 100_000,
            QueueBufferingMaxMessages = 200_000,
            CompressionType = CompressionType.Lz4,
        };
        using var producer = new ProducerBuilder<Null, byte[]>(config).SetLogHandler((_, _) => { }).Build();
        var sent = new long[partitions];
        var bytes = new long[partitions];
        var buffer = new ArrayBufferWriter<byte>(4096);
        Int128 times = 0;
        var primed = Primed;
        for (var i = 0L; i < messages; i++)
        {
            var time = stream.NextTime;
            times += time;
            buffer.ResetWrittenCount();
            stream.Write(buffer);
            var partition = (int)(stream.KeyHash % (ulong)partitions);
            var size = buffer.WrittenCount + RecordOverhead;
            while (Position is not null && (sent[partition] - Position(partition)) * (double)(bytes[partition] + size) / (sent[partition] + 1) > BacklogBytesMax)
            {
                cancel.ThrowIfCancellationRequested();
                if (primed is not null)
                {
                    producer.Flush(cancel);
                    primed();
                    primed = null;
                }

                producer.Poll(TimeSpan.FromMilliseconds(2));
            }

            sent[partition]++;
            bytes[partition] += size;
            Produce(producer, new TopicPartition(topic, partition), new Message<Null, byte[]> { Value = buffer.WrittenSpan.ToArray(), Timestamp = new Timestamp(time, TimestampType.CreateTime) }, cancel);
        }

        producer.Flush(cancel);
        primed?.Invoke();
        return Interlocked.Read(ref _failed) == 0 ? times : throw new IOException($"the broker refused {_failed} of {messages} messages");
    }

    private void Produce(IProducer<Null, byte[]> producer, TopicPartition to, Message<Null, byte[]> message, CancellationToken cancel)
    {
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            try
            {
                producer.Produce(to, message, Delivered);
                return;
            }
            catch (ProduceException<Null, byte[]> e) when (e.Error.Code == ErrorCode.Local_QueueFull)
            {
                producer.Poll(TimeSpan.FromMilliseconds(5));
            }
        }
    }

    private void Delivered(DeliveryReport<Null, byte[]> report)
    {
        if (report.Error.IsError)
        {
            Interlocked.Increment(ref _failed);
        }
    }
}
