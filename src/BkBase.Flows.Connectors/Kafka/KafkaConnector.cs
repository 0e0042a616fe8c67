using System.Collections.Concurrent;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>
/// Reads topics of one Kafka cluster through a small pool of shared consumers, and writes topics through one producer. A
/// partition that several flows read is fetched once and handed to each, every reader at its own position. Partitions
/// are assigned by hand, so there is no rebalance: one process reads all partitions of a flow (sharing them between
/// processes is not done here). Confirmed offsets are committed to the group <c>{flow}.{source}</c>. Whatever the
/// number of flows, a process holds <see cref="KafkaOptions.Consumers"/> consumers, one admin client and one producer,
/// plus a consumer for each reader that is far from the others of its topic.
/// </summary>
public sealed class KafkaConnector : IDisposable
{
    private static readonly TimeSpan CommitEvery = TimeSpan.FromSeconds(1);
    private readonly ConcurrentDictionary<(string Group, string Topic), KafkaReader> _readers = new();
    private readonly FeedConsumer?[] _shared;
    private readonly Lock _gate = new();
    private readonly List<FeedConsumer> _own = [];
    private readonly Func<ITopicAdmin> _makeAdmin;
    private readonly CancellationTokenSource _stop = new();
    private ITopicAdmin? _admin;
    private KafkaProducer? _producer;
    private Task? _committing;
    private long _queued;
    private bool _disposed;

    /// <param name="admin">Makes what answers for topics and groups; the cluster itself by default.</param>
    public KafkaConnector(KafkaOptions options, TimeProvider time, Func<ITopicAdmin>? admin = null)
    {
        (Options, Time) = (options, time);
        _makeAdmin = admin ?? (() => new KafkaAdmin(options));
        _shared = new FeedConsumer?[Math.Max(1, options.Consumers)];
    }

    /// <summary>The catalogue's entry for the source <c>type: kafka</c>.</summary>
    public CatalogEntry<ISourceSettings> Source => new(
        "kafka",
        "Reads all partitions of a Kafka topic.",
        """
        name: input
        type: kafka
        topic: 0bkmonitor_1572865
        """,
        [new Key("topic", KeyKind.Text, "The topic", Required: true)],
        section => new SourceSettings(this, TopicOf(section)));

    /// <summary>The catalogue's entry for the sink <c>type: kafka</c>.</summary>
    public CatalogEntry<ISinkSettings> Sink => KafkaSinkSettings.Entry(this);

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

    /// <summary>Bytes in the queues of all readers.</summary>
    public long QueuedBytes => Interlocked.Read(ref _queued);

    /// <summary>What the sinks wait for; null when all is well.</summary>
    public string? SinkStatus => _producer?.Trouble.Text;

    /// <summary>How often the sinks turned from well to waiting.</summary>
    public long SinkTroubles => _producer?.Trouble.Count ?? 0;

    /// <summary>How the cluster is reached.</summary>
    public KafkaOptions Options { get; }

    internal TimeProvider Time { get; }

    internal bool HasBudget => QueuedBytes < Options.QueueBytes;

    /// <summary>The client for topics and groups, made when first asked for.</summary>
    /// <exception cref="KafkaFailureException">A setting cannot be used.</exception>
    internal ITopicAdmin Admin
    {
        get
        {
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                return _admin ??= _makeAdmin();
            }
        }
    }

    /// <summary>The producer of all sinks, made when first asked for; made anew when the last one was given up.</summary>
    /// <exception cref="KafkaFailureException">A setting cannot be used.</exception>
    internal KafkaProducer Producer
    {
        get
        {
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (_producer is { IsFatal: true } broken)
                {
                    broken.Dispose();
                    _producer = null;
                }

                return _producer ??= new KafkaProducer(Options);
            }
        }
    }

    /// <summary>A source over all partitions of a topic.</summary>
    public ISource Open(string topic) => new KafkaSource(this, topic);

    /// <summary>Stops all clients and commits what was confirmed. Stop the flows first.</summary>
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

        foreach (var reader in _readers.Values)
        {
            reader.Stop();
        }

        foreach (var consumer in all)
        {
            consumer.Dispose();
        }

        _stop.Cancel();
        _committing?.GetAwaiter().GetResult();
        if (_admin is { } admin)
        {
            Task.WhenAll(_readers.Values.Select(r => r.CommitAsync(admin))).GetAwaiter().GetResult();
            admin.Dispose();
        }

        _producer?.Dispose();
        _stop.Dispose();
    }

    internal static string TopicOf(Section section)
    {
        var topic = section.Text("topic", "");
        if (section.Has("topic") && (topic is "" or "." or ".." || topic.Length > 249 || topic.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('.' or '_' or '-'))))
        {
            section.Error("topic", DiagnosticCodes.BadName, $"'{topic}' is not a topic: write letters, digits, '.', '_' and '-', at most 249");
        }

        return topic;
    }

    /// <summary>Keeps a reader so that its offsets are committed; an earlier one of the same group and topic is no longer heard.</summary>
    internal void Remember(KafkaReader reader)
    {
        _readers.AddOrUpdate((reader.Group, reader.Topic), reader, (_, earlier) =>
        {
            earlier.GiveUp();
            return reader;
        });
        lock (_gate)
        {
            _committing ??= _disposed ? null : Task.Run(CommitLoopAsync);
        }
    }

    internal void Queued(long bytes) => Interlocked.Add(ref _queued, bytes);

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
            if (Array.IndexOf(_shared, consumer) is >= 0 and var slot)
            {
                _shared[slot] = null;
            }
        }
    }

    private async Task CommitLoopAsync()
    {
        try
        {
            while (true)
            {
                await Task.Delay(CommitEvery, Time, _stop.Token);
                foreach (var (key, reader) in _readers)
                {
                    // A stopped reader is kept until its sinks have confirmed all that it gave out.
                    if (await reader.CommitAsync(Admin) && reader.IsSettled)
                    {
                        _readers.TryRemove(new(key, reader));
                    }
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // The connector is gone; its disposal commits the rest.
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
        Akka.Streams.Dsl.Source.FromGraph(new Files.BatchReaderSource(() => new KafkaReader(connector, topic, context)));
}
