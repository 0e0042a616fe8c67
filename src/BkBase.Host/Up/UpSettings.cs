using System.Globalization;
using System.Net;
using BkBase.Flows.Connectors.Log;

namespace BkBase.Host;

/// <summary>One key of the configuration.</summary>
/// <param name="Path">Section and key, as in <c>Http:Port</c>.</param>
/// <param name="Right">What a right value is.</param>
/// <param name="IsRight">Whether a text is one.</param>
internal sealed record SettingKey(string Path, string Right, Func<string, bool> IsRight)
{
    /// <summary>Whether the key is a section whose keys are free.</summary>
    public bool IsOpen { get; init; }

    /// <summary>Whether the value is never shown.</summary>
    public bool IsSecret { get; init; }
}

/// <summary>The keys of <see cref="UpOptions"/>: what is accepted, and what a message says would be right.</summary>
internal static class UpSettings
{
    public static IReadOnlyList<SettingKey> All { get; } =
    [
        Text("Flows:Directory", "a folder of flow files"),
        Span("Flows:RestartMin", TimeSpan.FromMilliseconds(1)),
        Span("Flows:RestartMax", TimeSpan.FromMilliseconds(1)),
        Number("Flows:Seed", int.MinValue, int.MaxValue),
        Span("Flows:Drain", TimeSpan.Zero),
        Text("Store:Directory", "a folder for data, made when missing"),
        new("Store:ClickHouse", "an address http://user:password@host:port", v => Uri.TryCreate(v, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https") { IsSecret = true },
        new("Kafka:BootstrapServers", "host:port, several with commas between", IsServers),
        new("Kafka:Settings", "librdkafka settings by name", _ => true) { IsOpen = true, IsSecret = true },
        Number("Log:Partitions", 1, 1024),
        Number("Log:RetentionBytes", 64L << 20, long.MaxValue),
        Span("Log:Retention", TimeSpan.FromMinutes(1)),
        new("Http:Listen", "an IP address to listen at, or localhost", v => v == "localhost" || IPAddress.TryParse(v, out _)),
        Number("Http:Port", 0, 65535),
        new("Http:Token", $"a secret of at least {HttpOptions.TokenMin} characters", v => v.Length >= HttpOptions.TokenMin && v.All(c => c is > ' ' and < (char)127)) { IsSecret = true },
        Number("Ingest:BodyBytes", 1024, 1 << 30),
        Number("Ingest:RecordBytes", 1024, IngestOptions.RecordBytesLimit),
        Number("Ingest:PendingBytes", 1024, long.MaxValue),
        Number("Ingest:LagRecords", 1, long.MaxValue),
        Number("Ingest:FreeBytes", 0, long.MaxValue),
        new("Ingest:Topics", "names of topics, with commas between", v => IngestTopics.Names(v).All(EmbeddedLog.IsTopic)),
        Span("Ingest:FutureMax", TimeSpan.Zero),
    ];

    private static SettingKey Text(string path, string right) => new(path, right, v => !string.IsNullOrWhiteSpace(v));

    private static SettingKey Number(string path, long min, long max) => new(
        path,
        max == long.MaxValue ? FormattableString.Invariant($"a whole number from {min}") : FormattableString.Invariant($"a whole number from {min} to {max}"),
        v => long.TryParse(v, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var n) && n >= min && n <= max);

    private static SettingKey Span(string path, TimeSpan min) => new(
        path,
        FormattableString.Invariant($"a time span such as 00:00:30 or 7.00:00:00, at least {min:c} and at most 365 days"),
        v => v.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(v, CultureInfo.InvariantCulture, out var span) && span >= min && span <= TimeSpan.FromDays(365));

    private static bool IsServers(string text) => text.Split(',').All(s =>
        s.Trim().Split(':') is [{ Length: > 0 }, var port] && ushort.TryParse(port, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n > 0);
}
