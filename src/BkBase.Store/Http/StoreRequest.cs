using System.Text;
using BkBase.Store.Engine;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Primitives;

namespace BkBase.Store.Http;

/// <summary>One request of ClickHouse's HTTP interface, taken apart.</summary>
internal sealed class StoreRequest
{
    private static readonly HashSet<string> ProtocolKeys = new(StringComparer.OrdinalIgnoreCase)
    {
        "query", "query_id", "database", "default_format", "session_id", "session_timeout", "session_check", "user", "password", "role",
        "compress", "decompress", "quota_key", "enable_http_compression", "http_zlib_compression_level", "wait_end_of_query", "buffer_size",
        "http_response_buffer_size", "send_progress_in_http_headers", "http_headers_progress_interval_ms", "client_protocol_version", "close_session", "log_comment",
    };

    private StoreRequest(HttpContext context)
    {
        var query = context.Request.Query;
        QueryId = Text(query["query_id"]) ?? Text(context.Request.Headers["X-ClickHouse-Query-Id"]) ?? Guid.NewGuid().ToString();
        IsAnalyst = Users(context.Request).Contains(StoreOptions.AnalystUser, StringComparer.Ordinal);
        Database = Text(query["database"]) ?? Text(context.Request.Headers["X-ClickHouse-Database"]) ?? "default";
        DefaultFormat = Text(query["default_format"]) ?? Text(context.Request.Headers["X-ClickHouse-Format"]) ?? "TabSeparated";
        SessionId = Text(query["session_id"]);
        SessionCheck = query["session_check"] == "1";
        SessionTimeout = TimeSpan.FromSeconds(int.TryParse(query["session_timeout"], out var seconds) ? Math.Clamp(seconds, 1, 3600) : 60);
        ReadOnlyMethod = HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method);
        Compression = query["enable_http_compression"] == "1" ? Codings.Accepted(context.Request.Headers.AcceptEncoding.ToString()) : null;
    }

    public string QueryId { get; }

    public bool IsAnalyst { get; }

    public bool ReadOnlyMethod { get; }

    public string Database { get; }

    public string DefaultFormat { get; }

    public string? SessionId { get; }

    public bool SessionCheck { get; }

    public TimeSpan SessionTimeout { get; }

    /// <summary>The content coding of the answer.</summary>
    public string? Compression { get; }

    public Dictionary<string, string> Settings { get; } = new(StringComparer.Ordinal);

    public QueryParameters Parameters { get; private set; } = QueryParameters.None;

    /// <summary>The statement's beginning: the query parameter and the first part of the body.</summary>
    public byte[] Head { get; private set; } = [];

    /// <summary>What follows <see cref="Head"/>.</summary>
    public Stream Rest { get; private set; } = Stream.Null;

    public bool HasRest { get; private set; }

    public static StoreRequest Open(HttpContext context) => new(context);

    /// <summary>Reads the parameters and the beginning of the body.</summary>
    public async Task ReadAsync(HttpContext context, int headBytes, CancellationToken cancellationToken)
    {
        var request = context.Request;
        request.Body = Codings.Decode(request.Body, request.Headers.ContentEncoding.ToString());
        if (request.Query["decompress"] == "1" || request.Query["compress"] == "1")
        {
            throw EngineException.Of(EngineException.NotImplemented, "ClickHouse's own block compression is not offered here; use Content-Encoding", "NOT_IMPLEMENTED");
        }

        var sql = Text(request.Query["query"]);
        var parameters = new List<KeyValuePair<string, string>>();
        foreach (var (key, value) in request.Query)
        {
            Take(parameters, key, value.ToString());
        }

        if (request.HasFormContentType && request.ContentType!.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase))
        {
            var form = await request.ReadFormAsync(cancellationToken);
            if (form.Files.Count > 0)
            {
                throw EngineException.Of(EngineException.NotImplemented, "External tables are not offered here", "NOT_IMPLEMENTED");
            }

            foreach (var (key, value) in form)
            {
                Take(parameters, key, value.ToString());
            }

            Head = Encoding.UTF8.GetBytes(Text(form["query"]) ?? sql ?? "");
        }
        else
        {
            await ReadHeadAsync(request.Body, sql, headBytes, cancellationToken);
        }

        Parameters = new QueryParameters(parameters);
    }

    private async Task ReadHeadAsync(Stream body, string? sql, int headBytes, CancellationToken cancellationToken)
    {
        var buffer = new byte[headBytes];
        var length = await body.ReadAtLeastAsync(buffer, headBytes, throwOnEndOfStream: false, cancellationToken);
        Head = sql is null ? buffer[..length] : length == 0 ? Encoding.UTF8.GetBytes(sql) : [.. Encoding.UTF8.GetBytes(sql), (byte)'\n', .. buffer.AsSpan(0, length)];
        (Rest, HasRest) = (body, length == headBytes);
    }

    private void Take(List<KeyValuePair<string, string>> parameters, string key, string value)
    {
        if (key.StartsWith("param_", StringComparison.Ordinal))
        {
            parameters.Add(new(key["param_".Length..], value));
        }
        else if (!ProtocolKeys.Contains(key))
        {
            Settings[key] = value;
        }
    }

    private static IEnumerable<string> Users(HttpRequest request)
    {
        yield return request.Headers["X-ClickHouse-User"].ToString();
        yield return request.Query["user"].ToString();
        if (request.Headers.Authorization.ToString() is var basic && basic.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase))
        {
            var bytes = new byte[basic.Length];
            yield return Convert.TryFromBase64String(basic[6..].Trim(), bytes, out var length) ? Encoding.UTF8.GetString(bytes, 0, length).Split(':')[0] : "";
        }
    }

    private static string? Text(StringValues values) => values.ToString() is { Length: > 0 } text ? text : null;
}
