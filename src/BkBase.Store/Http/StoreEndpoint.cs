using System.Globalization;
using System.Text;
using BkBase.Store.Engine;
using Microsoft.AspNetCore.Http;

namespace BkBase.Store.Http;

/// <summary>ClickHouse's HTTP interface in front of the engine.</summary>
internal sealed class StoreEndpoint(StoreEngine engine, StoreOptions options, CancellationToken stopping) : IDisposable
{
    private const int HeadBytes = 64 * 1024;
    private const int MaxSqlBytes = 64 << 20;
    private readonly Sessions _sessions = new(engine, options.Time, options.MaxSessions);
    private readonly SemaphoreSlim _analysts = new(options.AnalystMaxConnections);

    public void Dispose()
    {
        _sessions.Dispose();
        _analysts.Dispose();
    }

    public async Task HandleAsync(HttpContext context)
    {
        if (context.Request.Path != "/")
        {
            var ping = context.Request.Path == "/ping" || context.Request.Path == "/replicas_status";
            context.Response.StatusCode = ping ? 200 : 404;
            await context.Response.WriteAsync(ping ? "Ok.\n" : "There is no handle " + context.Request.Path + "\n");
            return;
        }

        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        var request = StoreRequest.Open(context);
        try
        {
            await request.ReadAsync(context, HeadBytes, cancel.Token);
            if (request.Head.Length == 0)
            {
                await context.Response.WriteAsync("Ok.\n", cancel.Token);
                return;
            }

            await RunAsync(context, request, cancel.Token);
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            context.Abort();
        }
        catch (Exception e)
        {
            await FailAsync(context, request, e as EngineException ?? EngineException.Of(EngineException.UnknownException, e.Message, e.GetType().Name));
        }
    }

    private async Task RunAsync(HttpContext context, StoreRequest request, CancellationToken cancellationToken)
    {
        if (request.IsAnalyst)
        {
            await _analysts.WaitAsync(cancellationToken);
        }

        try
        {
            var connection = await ConnectAsync(request, cancellationToken);
            var reusable = false;
            try
            {
                await using var watch = new CancelWatch(engine, connection, options.Time, cancellationToken);
                reusable = await ExecuteAsync(context, request, connection, cancellationToken);
            }
            finally
            {
                Release(request, connection, reusable && !cancellationToken.IsCancellationRequested);
            }
        }
        finally
        {
            if (request.IsAnalyst)
            {
                _analysts.Release();
            }
        }
    }

    private async ValueTask<EngineConnection> ConnectAsync(StoreRequest request, CancellationToken cancellationToken) =>
        request.IsAnalyst ? await engine.RentFreshAsync(AnalystMode.Arguments(options, request.Settings, engine.Settings), cancellationToken)
        : request.SessionId is { } id ? _sessions.Enter(id, request.SessionTimeout, request.SessionCheck)
        : await engine.RentAsync(cancellationToken);

    private void Release(StoreRequest request, EngineConnection connection, bool reusable)
    {
        if (request.SessionId is { } id && !request.IsAnalyst)
        {
            _sessions.Leave(id, reusable);
        }
        else
        {
            engine.Return(connection, reusable && !request.IsAnalyst);
        }
    }

    private async Task<bool> ExecuteAsync(HttpContext context, StoreRequest request, EngineConnection connection, CancellationToken cancellationToken)
    {
        Prepare(request, connection);
        if (SqlText.TryInsert(request.Head, out var insert))
        {
            Refuse(request, StatementClass.Mutating);
            var written = await InsertAsync(connection, request, insert, cancellationToken);
            Headers(context, request, format: null, Summary(written, written.RowsWritten));
            await context.Response.StartAsync(cancellationToken);
            return true;
        }

        var sql = await WholeSqlAsync(request, cancellationToken);
        var (statement, count) = connection.Classify(sql);
        var isInsert = SqlText.StartsWith(sql, "INSERT");
        if (request.IsAnalyst)
        {
            AnalystMode.Check(statement, count);
        }
        else if (count > 1 && !isInsert)
        {
            throw EngineException.Of(EngineException.SyntaxError, "Syntax error (Multi-statements are not allowed)", "SYNTAX_ERROR");
        }

        Refuse(request, statement);
        var format = SqlText.ResultFormat(sql, request.DefaultFormat);
        if (statement == StatementClass.ReadOnly && format is not null && ChunkHeaders.TryGet(format, out var header) && IsSelect(sql))
        {
            await StreamAsync(context, request, connection, sql, format, header, cancellationToken);
            return true;
        }

        using var result = connection.Query(sql, request.DefaultFormat, request.Parameters);
        Headers(context, request, format ?? request.DefaultFormat, Summary(result, result.RowsRead));
        await WriteAsync(context, request, result.Slices(0), cancellationToken);

        // Anything else may have left settings or temporary tables behind; a session keeps them, the pool does not.
        return statement == StatementClass.ReadOnly || isInsert || request.SessionId is not null;
    }

    private void Prepare(StoreRequest request, EngineConnection connection)
    {
        if (request.IsAnalyst)
        {
            connection.Apply(new Dictionary<string, string>(StringComparer.Ordinal), request.Database);
            return;
        }

        var wanted = new Dictionary<string, string>(StoreEngine.BaseSettings, StringComparer.Ordinal);
        foreach (var (name, value) in request.Settings)
        {
            if (!engine.Settings.Contains(name))
            {
                throw EngineException.Of(EngineException.UnknownSetting, $"Unknown setting '{name}'", "UNKNOWN_SETTING");
            }

            wanted[name] = value;
        }

        connection.Apply(wanted, request.Database);
    }

    private static void Refuse(StoreRequest request, StatementClass statement)
    {
        if (request.IsAnalyst)
        {
            AnalystMode.Check(statement, 1);
        }
        else if (request.ReadOnlyMethod && statement is StatementClass.Mutating or StatementClass.Global or StatementClass.Control)
        {
            throw EngineException.Of(EngineException.ReadOnly, "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries", "READONLY");
        }
    }

    private static bool IsSelect(ReadOnlySpan<byte> sql) => SqlText.StartsWith(sql, "SELECT") || SqlText.StartsWith(sql, "WITH");

    private static async Task<EngineResultCounts> InsertAsync(EngineConnection connection, StoreRequest request, InsertHead insert, CancellationToken cancellationToken)
    {
        using var stream = new InsertStream(connection, request.Head.AsSpan(0, insert.SqlLength), insert.Format, request.Parameters);
        var goesOn = stream.Append(request.Head.AsSpan(insert.DataOffset));
        if (request.HasRest)
        {
            var buffer = new byte[1 << 20];
            while (goesOn && await request.Rest.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken) is var length and > 0)
            {
                goesOn = stream.Append(buffer.AsSpan(0, length));
            }
        }

        cancellationToken.ThrowIfCancellationRequested();
        using var result = stream.Complete();
        return new(result);
    }

    private static async Task<byte[]> WholeSqlAsync(StoreRequest request, CancellationToken cancellationToken)
    {
        if (!request.HasRest)
        {
            return request.Head;
        }

        using var all = new MemoryStream();
        all.Write(request.Head);
        var buffer = new byte[1 << 16];
        while (await request.Rest.ReadAsync(buffer, cancellationToken) is var length and > 0)
        {
            all.Write(buffer, 0, length);
            if (all.Length > MaxSqlBytes)
            {
                throw EngineException.Of(EngineException.SyntaxError, $"The statement is longer than {MaxSqlBytes} bytes; send data with INSERT ... FORMAT", "SYNTAX_ERROR");
            }
        }

        return all.ToArray();
    }

    private async Task StreamAsync(HttpContext context, StoreRequest request, EngineConnection connection, byte[] sql, string format, ChunkHeader header, CancellationToken cancellationToken)
    {
        using var stream = new SelectStream(connection, sql, format, header, request.Parameters);
        try
        {
            var more = stream.Start();
            Headers(context, request, format, stream.Ended ? Summary(new(stream.RowsRead, stream.BytesRead, 0, 0), stream.RowsRead) : null);
            var tag = Guid.NewGuid().ToString("N")[..16];
            context.Response.Headers["X-ClickHouse-Exception-Tag"] = tag;
            await using var body = Codings.Encode(context.Response.Body, request.Compression);
            try
            {
                for (; more; more = stream.Next())
                {
                    foreach (var slice in stream.Current)
                    {
                        await body.WriteAsync(slice, cancellationToken);
                    }
                }
            }
            catch (EngineException e)
            {
                await body.WriteAsync(ErrorBlock(e, tag), CancellationToken.None);
                throw;
            }
        }
        catch (Exception e) when (e is not EngineException && !stream.Ended)
        {
            engine.Kill(connection);
            throw;
        }
    }

    private static async Task WriteAsync(HttpContext context, StoreRequest request, IEnumerable<ReadOnlyMemory<byte>> slices, CancellationToken cancellationToken)
    {
        await using var body = Codings.Encode(context.Response.Body, request.Compression);
        foreach (var slice in slices)
        {
            await body.WriteAsync(slice, cancellationToken);
        }
    }

    private void Headers(HttpContext context, StoreRequest request, string? format, string? summary)
    {
        var headers = context.Response.Headers;
        headers["X-ClickHouse-Query-Id"] = request.QueryId;
        headers["X-ClickHouse-Timezone"] = engine.TimeZone;
        headers["X-ClickHouse-Format"] = format;
        headers["X-ClickHouse-Summary"] = summary;
        headers.ContentEncoding = format is null ? default : request.Compression;
        context.Response.ContentType = format is null ? null : ContentType(format);
    }

    /// <summary>How the server tells of an error behind rows that are sent already; only who knows the tag can tell it from rows.</summary>
    private static byte[] ErrorBlock(EngineException error, string tag)
    {
        var message = error.Message.TrimEnd('\n') + "\n";
        return Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"\r\n__exception__\r\n{tag}\r\n{message}{Encoding.UTF8.GetByteCount(message)} {tag}\r\n__exception__\r\n"));
    }

    private static string ContentType(string format) =>
        format.StartsWith("JSONEachRow", StringComparison.OrdinalIgnoreCase) ? "application/x-ndjson; charset=UTF-8"
        : format.StartsWith("JSON", StringComparison.OrdinalIgnoreCase) ? "application/json; charset=UTF-8"
        : format.StartsWith("CSV", StringComparison.OrdinalIgnoreCase) ? "text/csv; charset=UTF-8"
        : format.StartsWith("T", StringComparison.OrdinalIgnoreCase) ? "text/tab-separated-values; charset=UTF-8"
        : format.StartsWith("Pretty", StringComparison.OrdinalIgnoreCase) || format is "Vertical" or "Markdown" ? "text/plain; charset=UTF-8"
        : "application/octet-stream";

    private static string Summary(EngineResultCounts counts, ulong resultRows) => string.Create(
        CultureInfo.InvariantCulture,
        $$"""{"read_rows":"{{counts.RowsRead}}","read_bytes":"{{counts.BytesRead}}","written_rows":"{{counts.RowsWritten}}","written_bytes":"{{counts.BytesWritten}}","total_rows_to_read":"0","result_rows":"{{resultRows}}","result_bytes":"0","elapsed_ns":"0"}""");

    private async Task FailAsync(HttpContext context, StoreRequest request, EngineException error)
    {
        if (context.Response.HasStarted)
        {
            await context.Response.Body.FlushAsync(CancellationToken.None);
            throw error; // ends the connection without an end of the answer: nobody may take a cut result for a whole one
        }

        context.Response.Clear();
        Headers(context, request, format: null, summary: null);
        context.Response.StatusCode = ErrorStatus.Of(error.Code);
        context.Response.ContentType = "text/plain; charset=UTF-8";
        context.Response.Headers["X-ClickHouse-Exception-Code"] = error.Code.ToString(CultureInfo.InvariantCulture);
        await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(error.Message), CancellationToken.None);
    }

    private readonly record struct EngineResultCounts(ulong RowsRead, ulong BytesRead, ulong RowsWritten, ulong BytesWritten)
    {
        public EngineResultCounts(EngineResult result)
            : this(result.RowsRead, result.BytesRead, result.RowsWritten, result.BytesWritten)
        {
        }

        public static implicit operator EngineResultCounts(EngineResult result) => new(result);
    }
}
