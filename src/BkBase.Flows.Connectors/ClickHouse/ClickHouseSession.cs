using System.Collections.Frozen;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>One client of one store: statements, queries as TSV, raw inserts, and retries with counted back-off.</summary>
public sealed class ClickHouseSession : IDisposable
{
    // Time-outs, network, memory, too many parts or queries, read-only replicas, keeper: what waiting heals.
    private static readonly FrozenSet<int> Waitable = new[]
    {
        3, 159, 160, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 319, 373, 394, 425, 439, 735, 999,
    }.ToFrozenSet();

    private static readonly FrozenSet<int> Denied = new[] { 192, 193, 194, 516 }.ToFrozenSet();

    private readonly ClickHouseOptions _options;
    private readonly TimeProvider _time;
    private readonly HttpClient _http;
    private readonly ClickHouseClient _client;
    private readonly Random _jitter;
    private long _retries;

    public ClickHouseSession(ClickHouseOptions options, TimeProvider time)
    {
        _options = options;
        _time = time;
        _jitter = new Random(options.Seed);
        _http = new HttpClient(options.Handler ?? new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(5), PooledConnectionLifetime = TimeSpan.FromMinutes(5) }, options.Handler is null)
        {
            Timeout = options.Timeout,
        };
        _client = new ClickHouseClient(new ClickHouseClientSettings
        {
            Host = options.Host,
            Port = options.Port,
            Protocol = options.Protocol,
            Username = options.User,
            Password = options.Password,
            Database = "default",
            UseCompression = false,
            JsonReadMode = JsonReadMode.None,
            JsonWriteMode = JsonWriteMode.None,
            HttpClient = _http,
        });
    }

    public ClickHouseOptions Options => _options;

    /// <summary>Failures tried again so far.</summary>
    public long Retries => Interlocked.Read(ref _retries);

    /// <summary>Runs a statement once.</summary>
    public Task ExecuteAsync(string sql, CancellationToken cancel = default) => _client.ExecuteNonQueryAsync(sql, cancellationToken: cancel);

    /// <summary>Runs a query once and writes its answer, in the format given, to a stream.</summary>
    public async Task QueryAsync(string sql, string format, Stream target, CancellationToken cancel = default)
    {
        using var result = await _client.ExecuteRawResultAsync($"{sql.TrimEnd().TrimEnd(';')}\nFORMAT {format}", cancellationToken: cancel);
        await using var stream = await result.ReadAsStreamAsync();
        await stream.CopyToAsync(target, cancel);
    }

    /// <summary>Runs a query once; rows as unescaped texts, null for NULL.</summary>
    public async Task<IReadOnlyList<string?[]>> QueryAsync(string sql, CancellationToken cancel = default)
    {
        using var bytes = new MemoryStream();
        await QueryAsync(sql, "TabSeparated", bytes, cancel);
        return Tsv.Parse(bytes.GetBuffer().AsSpan(0, (int)bytes.Length));
    }

    /// <summary>Sends one Native block once. Returns when the store has answered that it is in.</summary>
    public async Task InsertAsync(string table, IEnumerable<string> columns, ReadOnlyMemory<byte> block, string token, CancellationToken cancel = default)
    {
        var options = new QueryOptions
        {
            CustomSettings = new Dictionary<string, object>(StringComparer.Ordinal)
            {
                ["async_insert"] = 0,
                ["insert_deduplicate"] = 1,
                ["insert_deduplication_token"] = token,
                ["max_insert_block_size"] = 10_000_000,
                ["min_insert_block_size_rows"] = 10_000_000,
                ["max_partitions_per_insert_block"] = 1,
            },
        };
        await using var stream = new ReadOnlyMemoryStream(block);
        using var response = await _client.InsertRawStreamAsync(table, stream, "Native", columns, useCompression: false, options, cancel);
        response.EnsureSuccessStatusCode();
    }

    /// <summary>Tries until it works; waits between tries; ends at what no waiting heals.</summary>
    /// <exception cref="ClickHouseFailureException">The store refused for good.</exception>
    public async Task<T> WithRetriesAsync<T>(string what, Func<int, CancellationToken, Task<T>> action, CancellationToken cancel)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await action(attempt, cancel);
            }
            catch (Exception e) when (!cancel.IsCancellationRequested && IsWaitable(e))
            {
                var delay = Delay(attempt);
                Interlocked.Increment(ref _retries);
                _options.Retrying?.Invoke(new ClickHouseRetry(what, attempt, delay, FirstLine(e)));
                await Task.Delay(delay, _time, cancel);
            }
            catch (Exception e) when (!cancel.IsCancellationRequested && e is not ClickHouseFailureException)
            {
                throw new ClickHouseFailureException($"{what}: {Explain(e)}", Denied.Contains((e as ClickHouseServerException)?.ErrorCode ?? 0) ? null : e);
            }
        }
    }

    /// <summary>What went wrong and what to look at, in one line, never with a password.</summary>
    public string Explain(Exception e) => e switch
    {
        ClickHouseServerException { ErrorCode: var code } when Denied.Contains(code) => $"the store at {_options.Host}:{_options.Port} refuses user '{_options.User}' (code {code}): check user and password",
        HttpRequestException or TimeoutException => $"the store at {_options.Protocol}://{_options.Host}:{_options.Port} does not answer: {FirstLine(e)}",
        _ => FirstLine(e),
    };

    public void Dispose()
    {
        _client.Dispose();
        _http.Dispose();
    }

    internal static bool IsWaitable(Exception e) => e switch
    {
        ClickHouseServerException server => server.ErrorCode <= 0 || Waitable.Contains(server.ErrorCode),
        HttpRequestException or IOException or TimeoutException or OperationCanceledException => true,
        _ => false,
    };

    private static string FirstLine(Exception e) => e.Message.Split('\n')[0] is { Length: > 500 } text ? text[..500] : e.Message.Split('\n')[0];

    private TimeSpan Delay(int attempt)
    {
        var full = Math.Min(_options.RetryMax.TotalMilliseconds, _options.RetryMin.TotalMilliseconds * Math.Pow(2, Math.Min(attempt - 1, 20)));
        lock (_jitter)
        {
            return TimeSpan.FromMilliseconds(full * (0.5 + (_jitter.NextDouble() / 2)));
        }
    }
}

/// <summary>A read-only stream over memory, so that a retry sends the very same bytes without a copy.</summary>
internal sealed class ReadOnlyMemoryStream(ReadOnlyMemory<byte> memory) : Stream
{
    private int _at;

    public override bool CanRead => true;

    public override bool CanSeek => true;

    public override bool CanWrite => false;

    public override long Length => memory.Length;

    public override long Position { get => _at; set => _at = checked((int)value); }

    public override int Read(Span<byte> buffer)
    {
        var count = Math.Min(buffer.Length, memory.Length - _at);
        memory.Span.Slice(_at, count).CopyTo(buffer);
        _at += count;
        return count;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => new(Read(buffer.Span));

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => Task.FromResult(Read(buffer, offset, count));

    public override long Seek(long offset, SeekOrigin origin) => Position = origin switch
    {
        SeekOrigin.Begin => offset,
        SeekOrigin.Current => _at + offset,
        _ => memory.Length + offset,
    };

    public override void Flush()
    {
    }

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
}
