using System.Collections.Frozen;
using System.Net.Http.Headers;
using System.Text.Json;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Host;

/// <summary>Where posted records go.</summary>
internal interface IIngestLog
{
    /// <summary>Bytes free on its disk.</summary>
    long FreeBytes { get; }

    /// <summary>Ends when all records are on disk.</summary>
    /// <exception cref="IOException">The disk does not take them.</exception>
    Task AppendAsync(string topic, RawBatch batch);
}

/// <summary>One request, apart from HTTP.</summary>
/// <param name="Length">Bytes of the body as sent; null when unknown.</param>
internal readonly record struct IngestRequest(string Topic, string? ContentType, string? Encoding, long? Length, Stream Body);

/// <summary>The answer: a status, a JSON body, and when to come again.</summary>
internal sealed record IngestAnswer(int Status, object Body)
{
    public int? RetryAfter { get; init; }

    public static IngestAnswer Error(int status, string message, int? retryAfter = null) => new(status, new { error = message }) { RetryAfter = retryAfter };
}

/// <summary>Takes posted records: checks, bounds, and one append per request; answers when the records are durable.</summary>
internal sealed class Ingest(
    IngestOptions options, FrozenDictionary<string, IngestTopic> topics, IIngestLog log, Func<IngestTopic, long> lagOf, IngestMetrics metrics, TimeProvider time)
{
    private const int ErrorsShown = 20;
    private const string KnownTypes = "application/x-ndjson or application/json";
    private long _pending;
    private int _requests;
    private volatile bool _closed;

    /// <summary>Requests being taken.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>Takes no more; requests under way end.</summary>
    public void Close() => _closed = true;

    public async Task<IngestAnswer> TakeAsync(IngestRequest request, CancellationToken stop)
    {
        Interlocked.Increment(ref _requests);
        try
        {
            var answer = await CheckedAsync(request, stop);
            metrics.Requests(answer.Status);
            return answer;
        }
        finally
        {
            Interlocked.Decrement(ref _requests);
        }
    }

    private async Task<IngestAnswer> CheckedAsync(IngestRequest request, CancellationToken stop)
    {
        if (_closed)
        {
            return IngestAnswer.Error(503, "the platform is stopping; post again when it is back", retryAfter: 5);
        }

        if (!topics.TryGetValue(request.Topic, out var topic))
        {
            return IngestAnswer.Error(404, $"no flow reads topic '{request.Topic}'; topics are {(topics.Count == 0 ? "none" : string.Join(", ", topics.Keys.Order(StringComparer.Ordinal)))}. Ingest:Topics names further ones");
        }

        if (topic.IsKafka)
        {
            return IngestAnswer.Error(409, $"topic '{topic.Name}' is read from Kafka (Kafka:BootstrapServers is set): produce to it there; only topics of the embedded log are taken here");
        }

        var isJson = MediaTypeHeaderValue.TryParse(request.ContentType, out var type) && string.Equals(type.MediaType, "application/json", StringComparison.OrdinalIgnoreCase);
        if (!isJson && !string.Equals(type?.MediaType, "application/x-ndjson", StringComparison.OrdinalIgnoreCase))
        {
            return IngestAnswer.Error(415, $"content type '{request.ContentType}' is not taken; send {KnownTypes}");
        }

        var isGzip = string.Equals(request.Encoding, "gzip", StringComparison.OrdinalIgnoreCase);
        if (!isGzip && request.Encoding is { Length: > 0 } and not "identity")
        {
            return IngestAnswer.Error(415, $"content encoding '{request.Encoding}' is not taken; send gzip or none");
        }

        if (request.Length > options.BodyBytes)
        {
            return TooLarge();
        }

        if (log.FreeBytes < options.FreeBytes)
        {
            return IngestAnswer.Error(507, $"the disk of the embedded log has {log.FreeBytes >> 20} MiB free, less than Ingest:FreeBytes ({options.FreeBytes >> 20} MiB); free some space", retryAfter: 60);
        }

        if (lagOf(topic) is var lag && lag > options.LagRecords)
        {
            return IngestAnswer.Error(429, $"flows are {lag} records behind on topic '{topic.Name}', more than Ingest:LagRecords ({options.LagRecords})", retryAfter: 5);
        }

        return await BoundedAsync(topic, request, isJson, isGzip, stop);
    }

    private async Task<IngestAnswer> BoundedAsync(IngestTopic topic, IngestRequest request, bool isJson, bool isGzip, CancellationToken stop)
    {
        var reserved = isGzip ? options.BodyBytes : request.Length ?? options.BodyBytes;
        try
        {
            if (Interlocked.Add(ref _pending, reserved) > options.PendingBytes)
            {
                return IngestAnswer.Error(503, $"requests under way hold Ingest:PendingBytes ({options.PendingBytes}) already", retryAfter: 1);
            }

            using var body = await IngestBody.ReadAsync(request.Body, isGzip, options.BodyBytes, stop);
            return body is null ? TooLarge() : await AppendAsync(topic, body, isJson);
        }
        catch (InvalidDataException e)
        {
            return IngestAnswer.Error(400, $"the body is not gzip although Content-Encoding says so: {e.Message}");
        }
        finally
        {
            Interlocked.Add(ref _pending, -reserved);
        }
    }

    private Task<IngestAnswer> AppendAsync(IngestTopic topic, IngestBody body, bool isJson)
    {
        var isSingle = IngestLines.IsSingle(body.Bytes, out var hasDataId);
        return isJson && isSingle && hasDataId ? AppendPushAsync(topic, body) : AppendLinesAsync(topic, body, isJson && isSingle);
    }

    private async Task<IngestAnswer> AppendLinesAsync(IngestTopic topic, IngestBody body, bool isSingle)
    {
        using var batch = RawBatch.Rent("", 0, bytes: body.Bytes.Length);
        var errors = new List<LineError>();
        if (isSingle && body.Bytes.Length <= options.RecordBytes)
        {
            batch.Add(body.Bytes, 0, 0);
        }
        else
        {
            errors = IngestLines.Split(body.Bytes, options.RecordBytes, batch);
        }

        if (errors.Count == IngestLines.ErrorsMax)
        {
            return IngestAnswer.Error(400, $"{IngestLines.ErrorsMax} lines or more are wrong, so nothing was taken; the first is line {errors[0].Line}: {errors[0].Message}");
        }

        if (batch.Count + errors.Count == 0)
        {
            return IngestAnswer.Error(400, "the body holds no records; send one JSON value per line");
        }

        if (await StoreAsync(topic, batch, errors.Count) is { } refused)
        {
            return refused;
        }

        var status = batch.Count > 0 || errors.Count == 0 ? 200 : errors.TrueForAll(e => e.IsTooLarge) ? 413 : 400;
        return new IngestAnswer(status, new
        {
            topic = topic.Name,
            accepted = batch.Count,
            rejected = errors.Count,
            errors = errors.Take(ErrorsShown).Select(e => new { line = e.Line, message = e.Message }),
        });
    }

    private async Task<IngestAnswer> AppendPushAsync(IngestTopic topic, IngestBody body)
    {
        var rules = new ProxyRules { Type = topic.ProxyType ?? "", FutureMax = options.FutureMax, RecordBytesMax = options.RecordBytes };
        if (topic.ProxyType is null)
        {
            return Push(400, $"topic '{topic.Name}' is not read as bk_standard_v2_time_series or bk_standard_v2_event, the formats of a body with data_id", 0);
        }

        if (!ProxyRequest.TryRead(body.Bytes, rules, time.GetUtcNow().ToUnixTimeMilliseconds(), out var push, out var error))
        {
            metrics.Records(topic.Name, 0, 1);
            return Push(400, error.ToString(), 0);
        }

        using var batch = RawBatch.Rent("", 0, push.Records.Count);
        foreach (var record in push.Records)
        {
            batch.Add(record.Span, batch.Count, 0);
        }

        return await StoreAsync(topic, batch, 0) ?? Push(200, "", push.Items);
    }

    // The collector's own form of answers.
    private static IngestAnswer Push(int status, string message, int items) =>
        new(status, new { code = JsonSerializer.Serialize(status), result = status == 200 ? "true" : "false", message, accepted = items });

    private async Task<IngestAnswer?> StoreAsync(IngestTopic topic, RawBatch batch, int rejected)
    {
        try
        {
            if (batch.Count > 0)
            {
                await log.AppendAsync(topic.Name, batch);
            }
        }
        catch (IOException e)
        {
            return IngestAnswer.Error(507, $"the records are not durable: {e.Message}", retryAfter: 30);
        }
        catch (ObjectDisposedException)
        {
            return IngestAnswer.Error(503, "the platform is stopping; post again when it is back", retryAfter: 5);
        }

        metrics.Records(topic.Name, batch.Count, rejected);
        return null;
    }

    private IngestAnswer TooLarge() =>
        IngestAnswer.Error(413, $"the body is larger than Ingest:BodyBytes ({options.BodyBytes}) unpacked; send several requests");
}
