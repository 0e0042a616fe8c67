using System.Net;

namespace BkBase.Host;

/// <summary>Configuration of <c>bkbase up</c>, bound by section and key: <c>Http:Port</c> is <see cref="HttpOptions.Port"/>.</summary>
internal sealed record UpOptions
{
    public FlowsOptions Flows { get; init; } = new();

    public StoreSection Store { get; init; } = new();

    public KafkaSection Kafka { get; init; } = new();

    public LogSection Log { get; init; } = new();

    public HttpOptions Http { get; init; } = new();

    public IngestOptions Ingest { get; init; } = new();
}

internal sealed record FlowsOptions
{
    /// <summary>Folder of flow files, with its subfolders.</summary>
    public string Directory { get; init; } = "flows";

    /// <summary>First wait before a failed flow starts again; doubles with each failure in a row.</summary>
    public TimeSpan RestartMin { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Longest such wait.</summary>
    public TimeSpan RestartMax { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>Seed of the jitter of these waits.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Bound on draining after Ctrl-C or SIGTERM.</summary>
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(30);
}

internal sealed record StoreSection
{
    /// <summary>Data directory: embedded store, embedded log and checkpoints.</summary>
    public string Directory { get; init; } = Path.Combine(".bkbase", "store");

    /// <summary>A ClickHouse server in place of the embedded store; may hold a password, so it is never shown.</summary>
    public string? ClickHouse { get; init; }
}

internal sealed record KafkaSection
{
    /// <summary>host:port, comma separated; without it the embedded log takes Kafka's place.</summary>
    public string? BootstrapServers { get; init; }

    /// <summary>librdkafka settings by their own names; may hold passwords.</summary>
    public Dictionary<string, string> Settings { get; init; } = new(StringComparer.Ordinal);
}

internal sealed record LogSection
{
    /// <summary>Partitions of a topic when it is created.</summary>
    public int Partitions { get; init; } = 1;

    /// <summary>Bytes kept per partition.</summary>
    public long RetentionBytes { get; init; } = 4L << 30;

    /// <summary>Age at which records go.</summary>
    public TimeSpan Retention { get; init; } = TimeSpan.FromDays(7);
}

internal sealed record HttpOptions
{
    /// <summary>Shortest token.</summary>
    public const int TokenMin = 16;

    /// <summary>An IP address, or localhost.</summary>
    public string Listen { get; init; } = "127.0.0.1";

    /// <summary>0 for any free port.</summary>
    public int Port { get; init; } = 7070;

    /// <summary>What <c>Authorization: Bearer</c> must carry; without one every caller on this machine is let in.</summary>
    public string? Token { get; init; }

    /// <summary>The address to bind.</summary>
    public IPAddress Address => Listen == "localhost" ? IPAddress.Loopback : IPAddress.Parse(Listen);
}

internal sealed record IngestOptions
{
    /// <summary>The embedded log takes no longer records.</summary>
    public const int RecordBytesLimit = 8 << 20;

    /// <summary>Bytes of one request, unpacked.</summary>
    public int BodyBytes { get; init; } = 16 << 20;

    /// <summary>Bytes of one record.</summary>
    public int RecordBytes { get; init; } = 1 << 20;

    /// <summary>Bytes of all requests being taken at the same time.</summary>
    public long PendingBytes { get; init; } = 128L << 20;

    /// <summary>Records that the slowest flow of a topic may be behind before the topic takes no more.</summary>
    public long LagRecords { get; init; } = 5_000_000;

    /// <summary>Bytes that stay free on the log's disk.</summary>
    public long FreeBytes { get; init; } = 256L << 20;

    /// <summary>Topics that are taken although no flow reads them, comma separated.</summary>
    public string Topics { get; init; } = "";

    /// <summary>How far ahead the times of items in a collector's body may lie.</summary>
    public TimeSpan FutureMax { get; init; } = TimeSpan.FromHours(1);
}
