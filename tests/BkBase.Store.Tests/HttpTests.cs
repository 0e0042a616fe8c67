using System.IO.Compression;
using System.Net;
using System.Text;

namespace BkBase.Store.Tests;

/// <summary>The HTTP interface as curl and other clients use it.</summary>
public sealed class HttpTests(SharedStore store)
{
    private static readonly HttpClient Http = new();

    [Fact]
    public async Task Answers_carry_the_servers_headers()
    {
        using var answer = await PostAsync("?query_id=q1", "SELECT 1 AS a FORMAT JSONEachRow");
        Assert.Equal("{\"a\":1}\n", await answer.Content.ReadAsStringAsync());
        Assert.Equal("q1", answer.Headers.GetValues("X-ClickHouse-Query-Id").Single());
        Assert.Equal("JSONEachRow", answer.Headers.GetValues("X-ClickHouse-Format").Single());
        Assert.NotEmpty(answer.Headers.GetValues("X-ClickHouse-Timezone").Single());
        Assert.Contains("read_rows", answer.Headers.GetValues("X-ClickHouse-Summary").Single(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("JSON")]
    [InlineData("JSONCompact")]
    [InlineData("Pretty")]
    [InlineData("Parquet")]
    [InlineData("Markdown")]
    public async Task Whole_formats_are_one_document(string format)
    {
        using var answer = await PostAsync("", "SELECT number FROM numbers(200000) FORMAT " + format);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var text = await answer.Content.ReadAsByteArrayAsync();
        Assert.NotEmpty(text);
        if (format.StartsWith("JSON", StringComparison.Ordinal))
        {
            using var document = System.Text.Json.JsonDocument.Parse(text);
            Assert.Equal(200_000, document.RootElement.GetProperty("rows").GetInt32());
        }
    }

    [Theory]
    [InlineData("TSVWithNames", 1)]
    [InlineData("CSVWithNames", 1)]
    [InlineData("TSVWithNamesAndTypes", 2)]
    [InlineData("TSV", 0)]
    public async Task Streamed_formats_have_their_header_once(string format, int headers)
    {
        using var answer = await PostAsync("?default_format=" + format, "SELECT number AS \"a\nb\" FROM numbers(200000)");
        var text = await answer.Content.ReadAsStringAsync();
        Assert.Equal(200_000 + headers + (format[0] == 'C' ? 1 : 0), text.Count(c => c == '\n'));
    }

    [Theory]
    [InlineData("gzip")]
    [InlineData("br")]
    [InlineData("deflate")]
    [InlineData("zstd")]
    public async Task Compressed_bodies_are_read(string coding)
    {
        using var packed = new MemoryStream();
        await using (Stream stream = coding switch
        {
            "gzip" => new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "br" => new BrotliStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            "deflate" => new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true),
            _ => new ZstdSharp.CompressionStream(packed, 1, leaveOpen: true),
        })
        {
            await stream.WriteAsync("SELECT 'packed'"u8.ToArray());
        }

        using var content = new ByteArrayContent(packed.ToArray());
        content.Headers.ContentEncoding.Add(coding);
        using var answer = await Http.PostAsync(new Uri(store.Address), content);
        Assert.Equal("packed\n", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task An_answer_is_compressed_only_on_request()
    {
        foreach (var (switched, expected) in new[] { ("1", "gzip"), ("0", "") })
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, store.Address + "/?enable_http_compression=" + switched) { Content = new StringContent("SELECT 1") };
            request.Headers.AcceptEncoding.ParseAdd("gzip");
            using var answer = await Http.SendAsync(request);
            Assert.Equal(expected, string.Join(',', answer.Content.Headers.ContentEncoding));
        }
    }

    [Fact]
    public async Task A_get_only_reads()
    {
        Assert.Equal("1\n", await Http.GetStringAsync(new Uri(store.Address + "/?query=SELECT%201")));
        using var answer = await Http.GetAsync(new Uri(store.Address + "/?query=CREATE%20DATABASE%20nothing"));
        Assert.Equal("164", answer.Headers.GetValues("X-ClickHouse-Exception-Code").Single());
    }

    [Fact]
    public async Task An_insert_says_how_many_rows_it_wrote()
    {
        using (await PostAsync("", "CREATE DATABASE IF NOT EXISTS http"))
        using (await PostAsync("", "CREATE TABLE http.t (a UInt64) ENGINE = MergeTree ORDER BY a"))
        {
        }

        var rows = string.Concat(Enumerable.Range(0, 300_000).Select(i => i + "\n"));
        using var answer = await PostAsync("?query=INSERT%20INTO%20http.t%20FORMAT%20TSV", rows);
        Assert.Contains("\"written_rows\":\"300000\"", answer.Headers.GetValues("X-ClickHouse-Summary").Single(), StringComparison.Ordinal);
        using var bad = await PostAsync("?query=INSERT%20INTO%20http.t%20FORMAT%20TSV", rows + "no number\n");
        Assert.Equal("27", bad.Headers.GetValues("X-ClickHouse-Exception-Code").Single());
        using var count = await PostAsync("", "SELECT sum(a), count() FROM http.t");
        Assert.Equal("44999850000\t300000\n", await count.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_busy_session_is_refused()
    {
        var running = PostAsync("?session_id=busy", "SELECT sleep(2)");
        await TestStore.UntilAsync(async () =>
        {
            // Seen from outside the session: a probe inside it could be the one that holds it.
            using var seen = await PostAsync("", "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleep(2)%'");
            return (await seen.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Trim() == "1";
        });
        using (var refused = await PostAsync("?session_id=busy", "SELECT 1"))
        {
            Assert.Equal("373", refused.Headers.GetValues("X-ClickHouse-Exception-Code").Single());
        }

        using var first = await running;
        using var missing = await PostAsync("?session_id=missing&session_check=1", "SELECT 1");
        Assert.Equal("372", missing.Headers.GetValues("X-ClickHouse-Exception-Code").Single());
    }

    [Fact]
    public async Task A_session_ends_when_idle()
    {
        using (await PostAsync("?session_id=idle&session_timeout=1", "SELECT 1"))
        {
        }

        await Task.Delay(TimeSpan.FromSeconds(1.5), TestContext.Current.CancellationToken);
        await TestStore.UntilAsync(async () =>
        {
            using var answer = await PostAsync("?session_id=idle&session_check=1&session_timeout=1", "SELECT 1");
            return answer.Headers.Contains("X-ClickHouse-Exception-Code") || await IdleAsync();
        });

        static async Task<bool> IdleAsync()
        {
            await Task.Delay(2500, TestContext.Current.CancellationToken);
            return false;
        }
    }

    [Fact]
    public async Task An_error_in_the_middle_cuts_the_answer()
    {
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            using var answer = await PostAsync("", "SELECT throwIf(number = 5000000), number FROM numbers(10000000) SETTINGS max_block_size = 65409");
            answer.EnsureSuccessStatusCode();
        });
    }

    private async Task<HttpResponseMessage> PostAsync(string query, string body)
    {
        using var content = new StringContent(body, Encoding.UTF8);
        return await Http.PostAsync(new Uri(store.Address + "/" + query), content);
    }
}
