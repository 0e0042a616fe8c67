using System.Collections.Concurrent;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>How to reach a Kafka cluster.</summary>
/// <param name="BootstrapServers">host:port, comma separated.</param>
public sealed record KafkaOptions(string BootstrapServers)
{
    /// <summary>Further client settings by librdkafka's names: security.protocol, sasl.username, ssl.ca.location ...</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Shared consumers of the process; partitions are spread over them.</summary>
    public int Consumers { get; init; } = 2;

    /// <summary>Bytes in the queues of all readers together.</summary>
    public long QueueBytes { get; init; } = 256L << 20;

    /// <summary>How long a full reader holds back those it shares a consumer with before it gets one of its own.</summary>
    public TimeSpan SplitAfter { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How often new partitions are looked for.</summary>
    public TimeSpan Refresh { get; init; } = TimeSpan.FromSeconds(30);

    internal ClientConfig Client()
    {
        var config = new ClientConfig { BootstrapServers = BootstrapServers, AllowAutoCreateTopics = false };
        foreach (var (name, value) in Settings)
        {
            config.Set(name, value);
        }

        return config;
    }

    internal ConsumerConfig Consumer(string group)
    {
        var config = new ConsumerConfig(Client())
        {
            GroupId = group,
            EnableAutoCommit = false,
            EnableAutoOffsetStore = false,
            AutoOffsetReset = AutoOffsetReset.Earliest,
            ConsumeResultFields = "topic,timestamp",
            MaxPollIntervalMs = 86_400_000,
        };
        foreach (var (name, value) in (ReadOnlySpan<(string, string)>)[("fetch.queue.backoff.ms", "5"), ("fetch.max.bytes", "4000000"), ("queued.max.messages.kbytes", "65536")])
        {
            if (!Settings.ContainsKey(name))
            {
                config.Set(name, value);
            }
        }

        return config;
    }
}

/// <summary>Offsets by time; behind an interface because librdkafka's mock cluster cannot answer.</summary>
public interface ITopicAdmin
{
    /// <summary>First offset of the partition at the time (Unix milliseconds) or later; null when there is none.</summary>
    long? OffsetAt(string topic, int partition, long time);
}

/// <summary>
/// Reads topics of one Kafka cluster through a small pool of shared consumers: a partition that several flows read is
/// fetched once and handed to each, every reader at its own position. Partitions are assigned by hand, so there is no
/// rebalance: one process reads all partitions of a flow (sharing them between processes is not done here). Confirmed
/// offsets are committed to the group named like the flow.
/// </summary>
public sealed class KafkaConnector : IDisposable
{
    private readonly ConcurrentDictionary<string, Lazy<GroupClient>> _groups = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<KafkaReader, bool> _readers = new();
    private readonly FeedConsumer?[] _shared;
    private readonly Lock _gate = new();
    private readonly List<FeedConsumer> _own = [];
    private long _queued;
    private bool _disposed;

    public KafkaConnector(KafkaOptions options, TimeProvider time, ITopicAdmin? admin = null)
    {
        (Options, Time, Admin) = (options, time, admin);
        _shared = new FeedConsumer?[Math.Max(1, options.Consumers)];
    }

    /// <summary>The catalogue's entry for <c>type: kafka</c>.</summary>
    public CatalogEntry<ISourceSettings> Source => new(
        "kafka",
        "Reads all partitions of a Kafka topic.",
        """
        name: input
        type: kafka
        topic: 0bkmonitor_1572865
        """,
        [new Key("topic", KeyKind.Text, "The topic", Required: true)],
        section => new SourceSettings(this, section.Text("topic", "")));

    /// <summary>Consumers running: shared ones in use, and those of readers that were split off.</summary>
    public int ConsumersRunning
    {
        get
        {
            lock (_gate)
            {
                return _shared.Count(c => c is not null) + _own.Count;
            }
        }
    }

    internal KafkaOptions Options { get; }

    internal TimeProvider Time { get; }

    internal ITopicAdmin? Admin { get; }

    internal bool HasBudget => Interlocked.Read(ref _queued) < Options.QueueBytes;

    /// <summary>A source over all partitions of a topic.</summary>
    public ISource Open(string topic) => new KafkaSource(this, topic);

    /// <summary>Stops all consumers. Stop the flows first.</summary>
    public void Dispose()
    {
        FeedConsumer[] all;
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            all = [.. _shared.OfType<FeedConsumer>(), .. _own];
        }

        foreach (var consumer in all)
        {
            consumer.Dispose();
        }

        foreach (var reader in _readers.Keys)
        {
            reader.Stop();
            reader.Commit();
        }

        foreach (var group in _groups.Values)
        {
            group.Value.Dispose();
        }
    }

    internal void Remember(KafkaReader reader) => _readers[reader] = true;

    internal void Forget(KafkaReader reader) => _readers.TryRemove(reader, out _);

    internal void Queued(long bytes) => Interlocked.Add(ref _queued, bytes);

    internal GroupClient Group(string name) => _groups.GetOrAdd(name, n => new Lazy<GroupClient>(() => new GroupClient(Options, n))).Value;

    internal FeedConsumer Shared(string topic, int partition)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var hash = partition;
            foreach (var c in topic)
            {
                hash = unchecked((hash * 31) + c);
            }

            return _shared[(uint)hash % _shared.Length] ??= new FeedConsumer(this, own: false);
        }
    }

    internal FeedConsumer Own()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var consumer = new FeedConsumer(this, own: true);
            _own.Add(consumer);
            return consumer;
        }
    }

    internal void Ended(FeedConsumer consumer)
    {
        lock (_gate)
        {
            _own.Remove(consumer);
        }
    }

    private sealed class SourceSettings(KafkaConnector connector, string topic) : ISourceSettings
    {
        public string? Topic => topic;

        public string Describe => $"topic {topic}";

        public ISource Create() => connector.Open(topic);
    }
}

internal sealed class KafkaSource(KafkaConnector connector, string topic) : ISource
{
    public Akka.Streams.Dsl.Source<RawBatch, ISourceControl> Create(SourceContext context) =>
        Akka.Streams.Dsl.Source.FromGraph(new BatchReaderSource(() => new KafkaReader(connector, topic, context)));
}

/// <summary>The client that reads and writes the committed offsets of one group, and asks for metadata. Never assigned.</summary>
internal sealed class GroupClient : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private readonly IConsumer<Ignore, Ignore> _client;
    private readonly IAdminClient _admin;
    private volatile string? _trouble;

    public GroupClient(KafkaOptions options, string group)
    {
        _client = new ConsumerBuilder<Ignore, Ignore>(options.Consumer(group))
            .SetErrorHandler((_, e) => _trouble = FeedConsumer.Explain(e, options))
            .SetLogHandler((_, _) => { })
            .Build();
        _admin = new DependentAdminClientBuilder(_client.Handle).Build();
    }

    /// <summary>What the client last complained of.</summary>
    public string? Trouble => _trouble;

    public IReadOnlyList<int>? Partitions(string topic)
    {
        _client.Consume(TimeSpan.Zero); // serves the error callback
        var found = _admin.GetMetadata(topic, Patience).Topics.FirstOrDefault(t => t.Topic == topic);
        _trouble = null;
        if (found is null || found.Error.Code is ErrorCode.UnknownTopicOrPart || found.Partitions.Count == 0)
        {
            return null;
        }

        return found.Error.IsError ? throw new KafkaException(found.Error) : [.. found.Partitions.Select(p => p.PartitionId).Order()];
    }

    public long? Committed(string topic, int partition)
    {
        var offset = _client.Committed([new TopicPartition(topic, partition)], Patience)[0].Offset;
        return offset.IsSpecial ? null : offset.Value;
    }

    public (long Low, long High) Watermarks(string topic, int partition)
    {
        var w = _client.QueryWatermarkOffsets(new TopicPartition(topic, partition), Patience);
        return (w.Low, w.High);
    }

    public long? OffsetAt(string topic, int partition, long time)
    {
        var found = _client.OffsetsForTimes([new TopicPartitionTimestamp(topic, partition, new Timestamp(time, TimestampType.CreateTime))], Patience)[0].Offset;
        return found.IsSpecial ? null : found.Value;
    }

    public void Commit(IEnumerable<TopicPartitionOffset> offsets) => _client.Commit(offsets);

    public void Dispose()
    {
        _admin.Dispose();
        _client.Dispose();
    }
}

/// <summary>One consumer with its poll thread, which alone touches the client and the feeds.</summary>
internal sealed class FeedConsumer : IDisposable
{
    private const int RoundBytesMax = 1 << 20;
    private readonly KafkaConnector _connector;
    private readonly bool _isOwn;
    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly Dictionary<(string Topic, int Partition), Feed> _feeds = [];
    private readonly Payload _payload = new();
    private readonly Thread _thread;
    private IConsumer<Ignore, int> _client = null!;
    private volatile bool _stop;
    private bool _used;
    private int _roundRecordsMax = 1000;
    private volatile string? _trouble;

    public FeedConsumer(KafkaConnector connector, bool own)
    {
        (_connector, _isOwn) = (connector, own);
        _thread = new Thread(Loop) { IsBackground = true, Name = own ? "kafka own" : "kafka shared" };
        _thread.Start();
    }

    public string? Trouble => _trouble;

    public static string Explain(Error e, KafkaOptions options) => e.Code switch
    {
        ErrorCode.Local_Authentication or ErrorCode.SaslAuthenticationFailed => $"Kafka at {options.BootstrapServers} refuses the credentials: {e.Reason}",
        ErrorCode.Local_AllBrokersDown or ErrorCode.Local_Transport or ErrorCode.Local_Resolve or ErrorCode.Local_TimedOut =>
            $"Kafka at {options.BootstrapServers} cannot be reached: {e.Reason}",
        ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed => $"Kafka at {options.BootstrapServers} does not permit reading: {e.Reason}",
        _ => $"Kafka at {options.BootstrapServers}: {e.Reason}",
    };

    /// <summary>Adds a reader's partition at an offset; a reader behind the feed is given a consumer of its own.</summary>
    public void Add(KafkaReader reader, int partition, long offset) => _commands.Enqueue(() =>
    {
        _used = true;
        _roundRecordsMax = Math.Min(_roundRecordsMax, reader.BatchRecordsMax);
        if (reader.IsStopped)
        {
            return;
        }

        var key = (reader.Topic, partition);
        if (!_feeds.TryGetValue(key, out var feed))
        {
            _feeds.Add(key, feed = new Feed(offset));
            _client.IncrementalAssign([new TopicPartitionOffset(reader.Topic, partition, offset)]);
        }
        else if (offset < feed.Next)
        {
            reader.OwnConsumer().Add(reader, partition, offset);
            return;
        }

        feed.Members.Add(new Member(reader, partition, offset));
        reader.Follows(partition, this);
    });

    public void Remove(KafkaReader reader) => _commands.Enqueue(() => RemoveNow(reader));

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
    }

    private void Loop()
    {
        var options = _connector.Options;
        _client = new ConsumerBuilder<Ignore, int>(options.Consumer("bkbase-reader"))
            .SetValueDeserializer(_payload)
            .SetErrorHandler((_, e) => _trouble = Explain(e, options))
            .SetLogHandler((_, _) => { })
            .Build();
        try
        {
            while (!_stop)
            {
                while (_commands.TryDequeue(out var command))
                {
                    command();
                }

                if (_isOwn && _used && _feeds.Count == 0)
                {
                    break;
                }

                Round();
            }
        }
        finally
        {
            foreach (var member in _feeds.Values.SelectMany(f => f.Members))
            {
                member.Batch?.Dispose();
            }

            _client.Close();
            _client.Dispose();
            _connector.Ended(this);
        }
    }

    private void Round()
    {
        try
        {
            var bytes = 0;
            for (var n = 0; n < _roundRecordsMax && bytes < RoundBytesMax; n++)
            {
                if (_client.Consume(n == 0 ? 50 : 0) is not { } message)
                {
                    break;
                }

                _trouble = null;
                bytes += message.Message.Value;
                if (!_feeds.TryGetValue((message.Topic, message.Partition.Value), out var feed) || message.Offset.Value < feed.Next)
                {
                    continue;
                }

                feed.Next = message.Offset.Value + 1;
                feed.IsChanged = true;
                var payload = _payload.Bytes.AsSpan(0, message.Message.Value);
                foreach (var member in feed.Members)
                {
                    member.Add(payload, message.Offset.Value, message.Message.Timestamp.UnixTimestampMs);
                }
            }
        }
        catch (ConsumeException e)
        {
            _trouble = Explain(e.Error, _connector.Options);
        }

        HashSet<KafkaReader>? split = null;
        foreach (var (key, feed) in _feeds)
        {
            if (!feed.IsChanged)
            {
                continue;
            }

            feed.IsChanged = false;
            var high = _client.GetWatermarkOffsets(new TopicPartition(key.Topic, key.Partition)).High;
            foreach (var member in feed.Members)
            {
                if (member.Batch is null)
                {
                    continue;
                }

                if (split?.Contains(member.Reader) != true && Offer(member, high.IsSpecial ? -1 : high.Value))
                {
                    continue;
                }

                member.Batch.Dispose();
                member.Batch = null;
                (split ??= []).Add(member.Reader);
            }
        }

        foreach (var reader in split ?? [])
        {
            Split(reader);
        }
    }

    private bool Offer(Member member, long high)
    {
        var since = _connector.Time.GetTimestamp();
        var next = member.Batch!.Offset(member.Batch.Count - 1) + 1; // before the offer: then the batch is the reader's
        while (!member.Reader.IsStopped && !_stop)
        {
            if (member.Reader.Offer(member.Batch, high))
            {
                member.Delivered = next;
                member.Batch = null;
                return true;
            }

            var isShared = !_isOwn && _feeds.Values.Any(f => f.Members.Any(m => m.Reader != member.Reader));
            if (isShared && _connector.Time.GetElapsedTime(since) >= _connector.Options.SplitAfter)
            {
                return false;
            }

            member.Reader.WaitForSpace(TimeSpan.FromMilliseconds(50));
        }

        return false;
    }

    private void Split(KafkaReader reader)
    {
        var positions = new List<(int Partition, long Offset)>();
        foreach (var feed in _feeds.Values)
        {
            foreach (var member in feed.Members.Where(m => m.Reader == reader))
            {
                positions.Add((member.Partition, member.Delivered));
            }
        }

        RemoveNow(reader);
        if (reader.IsStopped || _stop)
        {
            return;
        }

        var own = reader.OwnConsumer();
        foreach (var (partition, offset) in positions)
        {
            own.Add(reader, partition, offset);
        }
    }

    private void RemoveNow(KafkaReader reader)
    {
        foreach (var (key, feed) in _feeds.ToArray())
        {
            foreach (var member in feed.Members.Where(m => m.Reader == reader))
            {
                member.Batch?.Dispose();
                member.Batch = null;
            }

            if (feed.Members.RemoveAll(m => m.Reader == reader) > 0 && feed.Members.Count == 0)
            {
                _feeds.Remove(key);
                _client.IncrementalUnassign([new TopicPartition(key.Topic, key.Partition)]);
            }
        }
    }

    private sealed class Feed(long next)
    {
        public long Next { get; set; } = next;

        public bool IsChanged { get; set; }

        public List<Member> Members { get; } = [];
    }

    private sealed class Member(KafkaReader reader, int partition, long start)
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
    }

    // Copies the payload out of librdkafka's memory without an array per message.
    private sealed class Payload : IDeserializer<int>
    {
        public byte[] Bytes { get; private set; } = new byte[1 << 16];

        public int Deserialize(ReadOnlySpan<byte> data, bool isNull, SerializationContext context)
        {
            if (data.Length > Bytes.Length)
            {
                Bytes = new byte[data.Length * 2];
            }

            data.CopyTo(Bytes);
            return data.Length;
        }
    }
}
