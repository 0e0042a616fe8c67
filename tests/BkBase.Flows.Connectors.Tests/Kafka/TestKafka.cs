using System.Globalization;
using System.Text;
using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>
/// The brokers that tests run against: those that the environment variable BKBASE_KAFKA names (host:port, topics are made
/// and removed there), else librdkafka's mock cluster. What only one of the two can do skips on the other.
/// </summary>
public sealed class TestKafka : IDisposable
{
    private readonly string? _named = Environment.GetEnvironmentVariable("BKBASE_KAFKA") is { Length: > 0 } named ? named : null;
    private readonly MockKafka? _mock;
    private readonly List<string> _topics = [];
    private readonly string _run = Guid.NewGuid().ToString("N")[..8];

    public TestKafka() => _mock = _named is null ? new MockKafka() : null;

    public string Bootstrap => _named ?? _mock!.Bootstrap;

    /// <summary>The mock; the test skips where there is none.</summary>
    public MockKafka Mock
    {
        get
        {
            Assert.SkipWhen(_mock is null, "needs the mock cluster: it stops brokers or injects errors");
            return _mock!;
        }
    }

    /// <summary>A name that no other run uses.</summary>
    public string Name(string name) => $"bkbase-test-{_run}-{name}";

    /// <summary>Makes a topic; returns its name.</summary>
    public string Create(string topic, int partitions)
    {
        var name = Name(topic);
        if (_mock is not null)
        {
            _mock.Create(name, partitions);
            return name;
        }

        using var admin = Admin();
        admin.CreateTopicsAsync([new TopicSpecification { Name = name, NumPartitions = partitions, ReplicationFactor = 1 }]).GetAwaiter().GetResult();
        _topics.Add(name);
        return name;
    }

    /// <summary>Produces the numbers [from, from + count), number i to partition i modulo <paramref name="partitions"/>.</summary>
    public void Produce(string topic, int partitions, int from, int count) =>
        Produce(topic, Enumerable.Range(from, count).Select(i => (i % partitions, Encoding.UTF8.GetBytes(i.ToString(CultureInfo.InvariantCulture)))));

    public void Produce(string topic, IEnumerable<(int Partition, byte[] Value)> records)
    {
        var config = new ProducerConfig { BootstrapServers = Bootstrap, LingerMs = 5, MessageMaxBytes = 32 << 20 };
        using var producer = new ProducerBuilder<Null, byte[]>(config).SetLogHandler((_, _) => { }).Build();
        foreach (var (partition, value) in records)
        {
            producer.Produce(new TopicPartition(topic, partition), new Message<Null, byte[]> { Value = value });
        }

        Assert.Equal(0, producer.Flush(TimeSpan.FromSeconds(20)));
    }

    /// <summary>Reads a topic from its heads until so many records are there.</summary>
    public IReadOnlyList<ConsumeResult<string, string>> Consume(string topic, int partitions, int count)
    {
        using var consumer = new ConsumerBuilder<string, string>(new ConsumerConfig { BootstrapServers = Bootstrap, GroupId = _run }).SetLogHandler((_, _) => { }).Build();
        consumer.Assign(Enumerable.Range(0, partitions).Select(p => new TopicPartitionOffset(topic, p, Offset.Beginning)));
        var got = new List<ConsumeResult<string, string>>();
        while (got.Count < count && consumer.Consume(TimeSpan.FromSeconds(10)) is { } record)
        {
            got.Add(record);
        }

        return got;
    }

    public void Dispose()
    {
        if (_topics.Count > 0)
        {
            using var admin = Admin();
            admin.DeleteTopicsAsync(_topics).GetAwaiter().GetResult();
        }

        _mock?.Dispose();
    }

    private IAdminClient Admin() => new AdminClientBuilder(new AdminClientConfig { BootstrapServers = Bootstrap }).SetLogHandler((_, _) => { }).Build();
}
