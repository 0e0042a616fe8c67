using System.Diagnostics.CodeAnalysis;

namespace BkBase.Flows.Etl;

/// <summary>What a <see cref="ProxyRequest"/> is held to.</summary>
public sealed record ProxyRules
{
    /// <summary>The form of the rules; the collector knows "v2" and refuses every request under another.</summary>
    public string Version { get; init; } = "v2";

    /// <summary>
    /// What the items are: "time_series" or "event"; any other word refuses every request. Null: the body's own
    /// <c>type</c>, and when it has none, an event if the first item has <c>event</c> or <c>event_name</c>.
    /// </summary>
    public string? Type { get; init; }

    /// <summary>How far ahead of now a timestamp may lie. The past is not bounded.</summary>
    public TimeSpan FutureMax { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Bytes a record has at most: many items make several records, one item larger than this is refused.</summary>
    public int RecordBytesMax { get; init; } = 512 * 1024;
}

/// <summary>Why a <see cref="ProxyRequest"/> was refused. Always the sender's fault: HTTP 400.</summary>
/// <param name="Reason">A code of <see cref="Records.RejectReason"/>.</param>
/// <param name="Path">Where in the body: <c>data[3].metrics.cpu</c>; '' for the body itself.</param>
/// <param name="Message">What is wrong and what would be right.</param>
public sealed record ProxyError(string Reason, string Path, string Message)
{
    public override string ToString() => Path.Length == 0 ? Message : $"{Path}: {Message}";
}

/// <summary>
/// The body that custom metrics and events are pushed with,
/// <c>{"data_id":1100002,"access_token":"...","data":[item, ...]}</c>, checked by the collector's rules: one bad item
/// refuses the whole body. What comes out is what the collector's proxy would have put on Kafka, so that the formats
/// <c>bk_standard_v2_time_series</c> and <c>bk_standard_v2_event</c> read it: missing times are now, dimensions are texts.
/// </summary>
public sealed class ProxyRequest
{
    internal ProxyRequest(long dataId, string accessToken, string type, int items, IReadOnlyList<ReadOnlyMemory<byte>> records) =>
        (DataId, AccessToken, Type, Items, Records) = (dataId, accessToken, type, items, records);

    /// <summary>The channel the sender means.</summary>
    public long DataId { get; }

    /// <summary>The sender's word for <see cref="DataId"/>, unchecked; '' when the body has none.</summary>
    public string AccessToken { get; }

    /// <summary>"time_series" or "event".</summary>
    public string Type { get; }

    /// <summary>Number of items in the body.</summary>
    public int Items { get; }

    /// <summary>
    /// The records to append, in order, at least one: UTF-8 of
    /// <c>{"dataid","version","data":[items],"time","timestamp"}</c>, the outer times in seconds, items' in milliseconds.
    /// </summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Records { get; }

    /// <summary>Reads and checks a body. Never throws for any bytes; safe from several threads.</summary>
    /// <param name="body">The request's body, UTF-8.</param>
    /// <param name="rules">What it is held to.</param>
    /// <param name="now">Unix milliseconds: the time of items without one, and what the future is measured from.</param>
    /// <param name="request">The records to append, when true.</param>
    /// <param name="error">The first thing that is wrong, when false.</param>
    public static bool TryRead(
        ReadOnlySpan<byte> body, ProxyRules rules, long now, [NotNullWhen(true)] out ProxyRequest? request, [NotNullWhen(false)] out ProxyError? error)
    {
        using var reader = new ProxyReader(rules, now);
        (request, error) = reader.Read(body);
        return request is not null;
    }
}
