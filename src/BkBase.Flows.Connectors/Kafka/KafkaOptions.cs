using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>How to reach a Kafka cluster, and the bounds of what the process spends on it.</summary>
/// <param name="BootstrapServers">host:port, comma separated.</param>
public sealed record KafkaOptions(string BootstrapServers)
{
    private static readonly string[] Reserved =
        ["bootstrap.servers", "group.id", "enable.auto.commit", "enable.auto.offset.store", "auto.offset.reset", "enable.idempotence", "acks", "message.timeout.ms", "delivery.timeout.ms"];

    /// <summary>Further client settings by librdkafka's names: security.protocol, sasl.username, ssl.ca.location ...</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Shared consumers of the process; partitions are spread over them.</summary>
    public int Consumers { get; init; } = 2;

    /// <summary>Bytes in the queues of all readers together.</summary>
    public long QueueBytes { get; init; } = 256L << 20;

    /// <summary>How long a full reader holds back those it shares a consumer with before it gets one of its own.</summary>
    public TimeSpan SplitAfter { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a reader keeps a consumer of its own before it may return to the shared ones; doubles each time.</summary>
    public TimeSpan RejoinAfter { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often new partitions are looked for, and the ends of those known.</summary>
    public TimeSpan Refresh { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Longest wait for one answer of a broker.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Makes a client; what librdkafka refuses becomes an error that names the setting.</summary>
    /// <exception cref="KafkaFailureException">A setting cannot be used.</exception>
    internal T Build<T>(Func<T> build)
    {
        if (Settings.Keys.FirstOrDefault(k => Reserved.Contains(k)) is { } own)
        {
            throw new KafkaFailureException(own == "bootstrap.servers"
                ? "the Kafka setting 'bootstrap.servers' stands apart from the others: give the servers as the address of the cluster"
                : $"the Kafka setting '{own}' is the connector's own: what it promises depends on it; remove it");
        }

        try
        {
            return build();
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or KafkaException)
        {
            // The message may name an alias, or nothing: whichever setting fails alone is the one.
            var name = Settings.Keys.Where(k => e.Message.Contains(k, StringComparison.Ordinal)).MaxBy(k => k.Length) ?? Settings.Keys.FirstOrDefault(IsRefused);
            throw new KafkaFailureException(name is null
                ? $"the settings for Kafka at {BootstrapServers} cannot be used: {e.Message}"
                : $"the Kafka setting '{name}' cannot be used: {e.Message}", e);
        }
    }

    internal ClientConfig Client()
    {
        var config = new ClientConfig { BootstrapServers = BootstrapServers, AllowAutoCreateTopics = false };
        foreach (var (name, value) in Settings)
        {
            config.Set(name, value);
        }

        return config;
    }

    internal ConsumerConfig Consumer() => WithDefaults(
        new ConsumerConfig(Client())
        {
            GroupId = "bkbase-reader", // never joined: partitions are assigned by hand, offsets go through the admin client
            EnableAutoCommit = false,
            EnableAutoOffsetStore = false,
            AutoOffsetReset = AutoOffsetReset.Error, // what retention took is counted, never skipped silently
            MaxPollIntervalMs = 86_400_000,
        },
        [("fetch.queue.backoff.ms", "5"), ("fetch.max.bytes", "4000000"), ("queued.max.messages.kbytes", "65536")]);

    internal ProducerConfig Producer() => WithDefaults(
        new ProducerConfig(Client())
        {
            Acks = Acks.All,
            EnableIdempotence = true,
            MessageTimeoutMs = 0, // an outage is waited for, in order; the stage's bounds hold the source back
            DeliveryReportFields = "key,value,status",
        },
        [("linger.ms", "5"), ("compression.type", "lz4"), ("partitioner", "murmur2_random"), ("queue.buffering.max.kbytes", "131072"), ("topic.metadata.propagation.max.ms", "10000")]);

    private bool IsRefused(string name)
    {
        try
        {
            var config = new ClientConfig();
            config.Set(name, Settings[name]);
            using var client = new AdminClientBuilder(config).SetLogHandler((_, _) => { }).Build();
            return false;
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentException or KafkaException)
        {
            return true;
        }
    }

    private T WithDefaults<T>(T config, ReadOnlySpan<(string, string)> defaults)
        where T : ClientConfig
    {
        foreach (var (name, value) in defaults)
        {
            if (!Settings.ContainsKey(name))
            {
                config.Set(name, value);
            }
        }

        return config;
    }
}

/// <summary>A failure of Kafka that no waiting heals; the message says what and what would be right.</summary>
public sealed class KafkaFailureException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Errors of clients in words for people.</summary>
internal static class KafkaErrors
{
    public static string Explain(Error e, KafkaOptions options) => $"Kafka at {options.BootstrapServers} " + e.Code switch
    {
        ErrorCode.Local_Authentication or ErrorCode.SaslAuthenticationFailed => $"refuses the credentials: {e.Reason}",
        _ when IsTls(e) => $"cannot be reached over TLS; check security.protocol and the ssl settings: {e.Reason}",
        ErrorCode.Local_AllBrokersDown or ErrorCode.Local_Transport or ErrorCode.Local_Resolve or ErrorCode.Local_TimedOut or ErrorCode.BrokerNotAvailable =>
            $"cannot be reached: {e.Reason}",
        ErrorCode.TopicAuthorizationFailed or ErrorCode.GroupAuthorizationFailed or ErrorCode.ClusterAuthorizationFailed => $"does not permit this: {e.Reason}",
        _ => $"says: {e.Reason}",
    };

    /// <summary>Whether the error says more about its cause than "cannot be reached" does.</summary>
    public static bool IsCause(Error e) => e.Code is ErrorCode.Local_Authentication or ErrorCode.SaslAuthenticationFailed || IsTls(e);

    private static bool IsTls(Error e) => e.Code is ErrorCode.Local_Ssl || (e.Code is ErrorCode.Local_Transport && e.Reason.Contains("SSL handshake", StringComparison.Ordinal));

    /// <summary>Whether the topic does not exist.</summary>
    public static bool IsUnknownTopic(Error e) => e.Code is ErrorCode.UnknownTopicOrPart or ErrorCode.Local_UnknownTopic or ErrorCode.Local_UnknownPartition or ErrorCode.TopicException;
}

/// <summary>What a client last complained of; the cause of an outage outlives the complaints that follow from it. Safe from any thread.</summary>
internal sealed class ClientTrouble(KafkaOptions options)
{
    private readonly Lock _gate = new();
    private Error? _error;
    private long _count;

    /// <summary>The complaint in words; null when all is well.</summary>
    public string? Text
    {
        get
        {
            lock (_gate)
            {
                return _error is null ? null : KafkaErrors.Explain(_error, options);
            }
        }
    }

    /// <summary>How often all turned from well to not.</summary>
    public long Count => Interlocked.Read(ref _count);

    /// <summary>The complaint itself.</summary>
    public Error? Error
    {
        get
        {
            lock (_gate)
            {
                return _error;
            }
        }
    }

    public void Add(Error error)
    {
        lock (_gate)
        {
            if (_error is null)
            {
                Interlocked.Increment(ref _count);
            }
            else if (KafkaErrors.IsCause(_error) && !KafkaErrors.IsCause(error))
            {
                return;
            }

            _error = error;
        }
    }

    public void Clear()
    {
        lock (_gate)
        {
            _error = null;
        }
    }
}
