using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using BkBase.Flows.Connectors.Kafka;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>Messages taken from librdkafka's memory.</summary>
public sealed class MessageQueueTests : KafkaTest
{
    private static readonly TimeSpan Wait = TimeSpan.FromMilliseconds(20);

    [Fact]
    public void GivesWhatTheConsumerWouldGive()
    {
        var topic = Kafka.Create("t", 2);
        Kafka.Produce(topic, 2, 0, 3_000);
        var got = new List<(string Topic, int Partition, long Offset, string Text, long Time)>();
        using (var client = Client(topic, 2))
        using (var queue = new MessageQueue(client))
        {
            while (got.Count < 3_000)
            {
                Assert.False(queue.TryNext(out _));
                var before = got.Count;
                queue.Take(Wait, 100);
                while (queue.TryNext(out var m))
                {
                    Assert.Equal(ErrorCode.NoError, m.Error);
                    got.Add((m.Topic, m.Partition, m.Offset, Encoding.UTF8.GetString(m.Payload), m.Time));
                }

                Assert.InRange(got.Count - before, 0, 100);
            }

            client.Close();
        }

        using var managed = Client(topic, 2);
        var expected = new List<(string, int, long, string, long)>();
        while (expected.Count < 3_000)
        {
            var r = managed.Consume(Deadline);
            expected.Add((r.Topic, r.Partition, r.Offset, Encoding.UTF8.GetString(r.Message.Value), r.Message.Timestamp.UnixTimestampMs));
        }

        Assert.Equal(expected.GroupBy(m => m.Item2).OrderBy(g => g.Key).SelectMany(g => g), got.GroupBy(m => m.Partition).OrderBy(g => g.Key).SelectMany(g => g));
    }

    [Fact]
    public async Task GivesBackWhatWasTakenAndNotGiven()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 3_000);
        var client = Client(topic, 1);
        var queue = new MessageQueue(client);
        while (!queue.Take(Wait, 512))
        {
            // The first fetch is on its way.
        }

        Assert.Equal(0, Next());
        Assert.True(queue.HasTaken);
        Assert.Throws<InvalidOperationException>(() => queue.Take(Wait, 512)); // they would be lost
        Assert.Equal(1, Next());
        queue.Dispose();
        queue.Dispose();
        Assert.False(queue.HasTaken);
        Assert.False(queue.TryNext(out _));
        Assert.Throws<ObjectDisposedException>(() => queue.Take(Wait, 512));
        await Task.Run(client.Dispose).WaitAsync(Deadline); // does not come back while a message is lent

        long Next() => queue.TryNext(out var message) ? message.Offset : -1;
    }

    [Fact]
    public void SaysErrorsAsTheConsumerWould()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 10);
        using var client = Client(topic, 1, 99);
        using var queue = new MessageQueue(client);
        using var managed = Client(topic, 1, 99);
        var expected = Assert.Throws<ConsumeException>(() => managed.Consume(Deadline));
        while (!queue.Take(Wait, 512))
        {
            // The first fetch is on its way.
        }

        Assert.True(queue.TryNext(out var message));
        var e = message.Exception();
        Assert.Equal((expected.Error.Code, expected.Error.IsFatal), (e.Error.Code, e.Error.IsFatal));
        Assert.Equal(WithoutBroker(expected.Error.Reason), WithoutBroker(e.Error.Reason));
        Assert.Equal(expected.ConsumerRecord.TopicPartition, e.ConsumerRecord.TopicPartition);
        queue.Dispose();
        client.Close();
    }

    [Fact]
    public void SaysWhenConfluentKafkaIsAnother()
    {
        foreach (var handle in (object[])[new NoMember(), new OtherMember(), new ClosedMember()])
        {
            var e = Assert.Throws<KafkaFailureException>(() => NativeMessages.Pointer(handle));
            Assert.Contains($"this version of Confluent.Kafka ({typeof(Library).Assembly.GetName().Version}) cannot be read from", e.Message, StringComparison.Ordinal);
            Assert.Contains($"{handle.GetType().Name}.LibrdkafkaHandle", e.Message, StringComparison.Ordinal);
        }

        var other = Assert.Throws<KafkaFailureException>(() => new NativeMessages(NativeLibrary.GetMainProgramHandle()));
        Assert.Contains("librdkafka has no rd_kafka_queue_get_consumer", other.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void RefusesAClientThatReadsNothing()
    {
        using var producer = new ProducerBuilder<Null, Null>(new ProducerConfig { BootstrapServers = Kafka.Bootstrap }).Build();
        Assert.Throws<ArgumentException>(() => new MessageQueue(producer));
    }

    [Fact]
    public async Task EndsOfPartitionsAreNoErrors()
    {
        var topic = Kafka.Create("t", 2);
        Kafka.Produce(topic, 2, 0, 100);
        using var connector = Connector(o => Setting(o, ("enable.partition.eof", "true")));
        var run = Run(connector.Open(topic), Context());
        await run.Count(100);
        Kafka.Produce(topic, 2, 100, 100);
        await run.Count(200);
        Assert.Null(((BkBase.Flows.Connectors.Files.ISourceStatus)run.Control).Status);
        await run.Stop();
    }

    [Fact]
    public async Task PartitionsThatAreLostTogetherAllGoOn()
    {
        Assert.NotNull(Kafka.Mock); // its retention is 5 MiB per partition
        const int Partitions = 8;
        var topic = Kafka.Create("t", Partitions);
        var value = new byte[100_000];
        Kafka.Produce(topic, Enumerable.Range(0, Partitions * 100).Select(i => (i % Partitions, value)));
        var committed = Enumerable.Range(0, Partitions).ToDictionary(p => p, _ => 3L);

        // The marks are above what the admin sees as the first offset, as when retention comes between question and fetch.
        using var connector = Connector(admin: o => new ScriptedAdmin(o) { Committed = committed, Low = 0 });
        var run = Run(connector.Open(topic), Context());
        var status = (BkBase.Flows.Connectors.Files.ISourceStatus)run.Control;
        await Until(() => run.Got.Count(g => g.Offset == 99) == Partitions, () => $"{run.Got.Count} records, {status.LostRecords} lost, {status.Status}");
        await run.Stop();
        Assert.Equal(Partitions * 97, run.Got.Count + status.LostRecords);
        Assert.InRange(status.LostRecords, Partitions, Partitions * 96);
    }

    private IConsumer<byte[], byte[]> Client(string topic, int partitions, long offset = 0)
    {
        var config = new ConsumerConfig { BootstrapServers = Kafka.Bootstrap, GroupId = "g", AutoOffsetReset = AutoOffsetReset.Error, EnableAutoCommit = false };
        config.Set("fetch.queue.backoff.ms", 5.ToString(CultureInfo.InvariantCulture));
        var client = new ConsumerBuilder<byte[], byte[]>(config).SetLogHandler((_, _) => { }).SetErrorHandler((_, _) => { }).Build();
        client.Assign(Enumerable.Range(0, partitions).Select(p => new TopicPartitionOffset(topic, p, offset)));
        return client;
    }

    // Which broker said it, and from which thread, differs.
    private static string WithoutBroker(string reason) => reason[..Math.Min(reason.Length, 40)];

    private sealed class NoMember;

    private sealed class OtherMember
    {
        public string LibrdkafkaHandle => "";
    }

    private sealed class ClosedMember
    {
        public SafeHandle LibrdkafkaHandle => new Microsoft.Win32.SafeHandles.SafeFileHandle();
    }
}
