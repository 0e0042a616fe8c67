namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>How a store is reached.</summary>
public sealed record ClickHouseOptions
{
    public string Host { get; init; } = "127.0.0.1";

    public ushort Port { get; init; } = 8123;

    /// <summary>http or https.</summary>
    public string Protocol { get; init; } = "http";

    public string User { get; init; } = "default";

    /// <summary>Never written to messages.</summary>
    public string Password { get; init; } = "";

    public string Database { get; init; } = "bkbase";

    /// <summary>Whether tables are made so that an answered insert survives power loss; on for the embedded store.</summary>
    public bool Fsync { get; init; } = true;

    /// <summary>Longest wait for one answer.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>First wait before a retry; doubles up to <see cref="RetryMax"/>.</summary>
    public TimeSpan RetryMin { get; init; } = TimeSpan.FromMilliseconds(100);

    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Seed of the jitter.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>Transport to use instead of sockets: tests, or an engine in this process.</summary>
    public HttpMessageHandler? Handler { get; init; }

    /// <summary>Told of each failure that is tried again.</summary>
    public Action<ClickHouseRetry>? Retrying { get; init; }

    /// <summary>Options for an address such as http://host:8123.</summary>
    public static ClickHouseOptions At(Uri address) => new() { Host = address.Host, Port = (ushort)address.Port, Protocol = address.Scheme };

    public override string ToString() => $"{User}@{Protocol}://{Host}:{Port}/{Database}";
}

/// <summary>A failure that is tried again.</summary>
/// <param name="What">What was tried.</param>
/// <param name="Attempt">1 for the first failure.</param>
/// <param name="Delay">Wait before the next try.</param>
/// <param name="Message">What went wrong.</param>
public readonly record struct ClickHouseRetry(string What, int Attempt, TimeSpan Delay, string Message);

/// <summary>A failure of the store that no waiting heals.</summary>
public sealed class ClickHouseFailureException(string message, Exception? inner = null) : Exception(message, inner);
