using System.Net;
using System.Text;
using System.Web;
using BkBase.Flows.Connectors.ClickHouse;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

/// <summary>A store that answers as a test says. Keeps the inserts it saw.</summary>
internal sealed class ScriptedStore : HttpMessageHandler
{
    private readonly Lock _gate = new();
    private readonly List<Insert> _inserts = [];

    /// <summary>Answers an insert, by its number from 0; null means OK.</summary>
    public Func<int, Insert, Task<HttpResponseMessage?>> OnInsert { get; set; } = (_, _) => Task.FromResult<HttpResponseMessage?>(null);

    /// <summary>Answers other statements; null means an empty OK.</summary>
    public Func<string, string?> OnQuery { get; set; } = _ => null;

    /// <summary>Answers everything when it gives something.</summary>
    public Func<HttpResponseMessage?> OnAny { get; set; } = () => null;

    public IReadOnlyList<Insert> Inserts
    {
        get
        {
            lock (_gate)
            {
                return [.. _inserts];
            }
        }
    }

    public static HttpResponseMessage Error(int code, string message, HttpStatusCode status = HttpStatusCode.InternalServerError)
    {
        var response = new HttpResponseMessage(status) { Content = new StringContent(FormattableString.Invariant($"Code: {code}. DB::Exception: {message}")) };
        if (code > 0)
        {
            response.Headers.Add("X-ClickHouse-Exception-Code", code.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        return response;
    }

    public ClickHouseConnector Connect(TimeProvider? time = null) => new(
        new ClickHouseOptions { Host = "store", User = "writer", Password = "s3cret", Handler = this, RetryMin = TimeSpan.FromMilliseconds(1), RetryMax = TimeSpan.FromMilliseconds(2) },
        time ?? TimeProvider.System);

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var body = request.Content is null ? [] : await request.Content.ReadAsByteArrayAsync(cancellationToken);
        var query = HttpUtility.ParseQueryString(request.RequestUri!.Query);
        if (OnAny() is { } any)
        {
            return any;
        }

        var sql = query["query"] ?? Encoding.UTF8.GetString(body);
        if (!sql.StartsWith("INSERT", StringComparison.OrdinalIgnoreCase))
        {
            return new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent(OnQuery(sql) ?? Columns(sql)) };
        }

        var insert = new Insert(sql.Split('\n')[0], query["insert_deduplication_token"] ?? "", query, body);
        int number;
        lock (_gate)
        {
            number = _inserts.Count;
            _inserts.Add(insert);
        }

        return await OnInsert(number, insert) ?? new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("") };
    }

    private static string Columns(string sql) => sql.Contains("system.columns", StringComparison.Ordinal)
        ? string.Concat(new TableSchema(Rows.Metric, "bkbase", "t", TimeSpan.FromDays(1)).Columns.Select(c => $"{c.Name}\t{c.Type.Replace("'", "\\'", StringComparison.Ordinal)}\t\n"))
        : "";

    internal sealed record Insert(string Sql, string Token, System.Collections.Specialized.NameValueCollection Settings, byte[] Body);
}
