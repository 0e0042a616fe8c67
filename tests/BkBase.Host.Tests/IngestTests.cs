using System.Collections.Frozen;
using System.IO.Compression;
using System.Text;
using System.Text.Json;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;

namespace BkBase.Host.Tests;

/// <summary>Posted records, apart from HTTP and from the log: what is taken, what is refused, and with which words.</summary>
public sealed class IngestTests
{
    private readonly MemoryLog _log = new();
    private long _lag;

    [Fact]
    public async Task Good_lines_are_taken_and_bad_ones_named()
    {
        var answer = await PostAsync("{\"a\":1}\r\n\n  [2]\n{\"a\":\nnull\n");
        Assert.Equal(200, answer.Status);
        Assert.Equal(["{\"a\":1}", "[2]", "null"], _log.Records);
        var body = Body(answer);
        Assert.Equal(3, body.GetProperty("accepted").GetInt32());
        Assert.Equal(1, body.GetProperty("rejected").GetInt32());
        Assert.Equal(4, body.GetProperty("errors")[0].GetProperty("line").GetInt32());
    }

    [Fact]
    public async Task The_answer_waits_until_the_records_are_durable()
    {
        _log.Gate = new TaskCompletionSource();
        var answer = PostAsync("{}\n");
        await Assert.ThrowsAsync<TimeoutException>(() => answer.WaitAsync(TimeSpan.Zero));
        _log.Gate.SetResult();
        Assert.Equal(200, (await answer).Status);
    }

    [Fact]
    public async Task A_document_over_several_lines_is_one_record()
    {
        Assert.Equal(200, (await PostAsync("{\n \"a\": 1\n}\n", "application/json; charset=utf-8")).Status);
        Assert.Single(_log.Records);
        Assert.Equal(400, (await PostAsync("{\n \"a\": 1\n}\n")).Status); // lines are lines
    }

    [Theory]
    [InlineData("", 400, "no records")]
    [InlineData("\n \n", 400, "no records")]
    [InlineData("nonsense\n", 400, "not JSON")]
    public async Task Nothing_good_is_a_bad_request(string body, int status, string words)
    {
        var answer = await PostAsync(body);
        Assert.Equal(status, answer.Status);
        Assert.Contains(words, Body(answer).ToString(), StringComparison.Ordinal);
        Assert.Empty(_log.Records);
    }

    [Fact]
    public async Task Rubbish_without_end_is_given_up_and_leaves_nothing()
    {
        var answer = await PostAsync("{}\n" + string.Concat(Enumerable.Repeat("x\n", 5000)), bodyBytes: 1 << 20);
        Assert.Equal(400, answer.Status);
        Assert.Empty(_log.Records);
    }

    [Fact]
    public async Task Sizes_are_bounded()
    {
        var large = "\"" + new string('x', 3000) + "\"\n";
        var mixed = await PostAsync("1\n" + large);
        Assert.Equal(200, mixed.Status);
        Assert.Contains("Ingest:RecordBytes is 2048", Body(mixed).ToString(), StringComparison.Ordinal);
        Assert.Equal(413, (await PostAsync(large)).Status);
        Assert.Equal(413, (await PostAsync(new string('1', 9000))).Status);
        Assert.Equal(413, (await PostAsync(new string('1', 9000), length: null)).Status); // not announced

        var bomb = Gzip(new string(' ', 500_000));
        Assert.True(bomb.Length < 8192);
        var answer = await TakeAsync(new IngestRequest("lines", "application/json", "gzip", bomb.Length, new MemoryStream(bomb)));
        Assert.Equal(413, answer.Status);
        Assert.Equal(["1"], _log.Records);
    }

    [Fact]
    public async Task Gzip_is_unpacked_and_what_only_says_so_refused()
    {
        Assert.Equal(200, (await TakeAsync(new IngestRequest("lines", "application/x-ndjson", "gzip", null, new MemoryStream(Gzip("1\n2\n"))))).Status);
        Assert.Equal(["1", "2"], _log.Records);
        Assert.Equal(400, (await TakeAsync(new IngestRequest("lines", "application/x-ndjson", "gzip", null, new MemoryStream("1\n"u8.ToArray())))).Status);
        Assert.Equal(415, (await TakeAsync(new IngestRequest("lines", "application/x-ndjson", "br", null, new MemoryStream("1\n"u8.ToArray())))).Status);
    }

    [Theory]
    [InlineData("text/plain")]
    [InlineData(null)]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData(";;")]
    public async Task Other_content_is_refused(string? type)
    {
        var answer = await PostAsync("{}", type);
        Assert.Equal(415, answer.Status);
        Assert.Contains("application/x-ndjson", Body(answer).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_topic_that_nobody_reads_is_answered_with_those_that_are()
    {
        var answer = await TakeAsync(Request("{}", topic: "other"));
        Assert.Equal(404, answer.Status);
        Assert.Contains("events, lines, metrics, remote", Body(answer).ToString(), StringComparison.Ordinal);
        answer = await TakeAsync(Request("{}", topic: "remote"));
        Assert.Equal(409, answer.Status);
        Assert.Contains("read from Kafka", Body(answer).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Flows_far_behind_and_a_full_disk_hold_senders_back()
    {
        _lag = 101;
        var answer = await PostAsync("{}");
        Assert.Equal(429, answer.Status);
        Assert.NotNull(answer.RetryAfter);
        _lag = 100;
        Assert.Equal(200, (await PostAsync("{}")).Status);

        _log.FreeBytes = 10;
        answer = await PostAsync("{}");
        Assert.Equal(507, answer.Status);
        Assert.NotNull(answer.RetryAfter);
        _log.FreeBytes = long.MaxValue;

        _log.Failure = new IOException("the log cannot write to its disk: no space left on device");
        answer = await PostAsync("{}");
        Assert.Equal(507, answer.Status);
        Assert.Contains("not durable: the log cannot write to its disk: no space left", Body(answer).ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Requests_under_way_are_bounded_and_a_closed_door_says_so()
    {
        _log.Gate = new TaskCompletionSource();
        var ingest = Create(8192);
        var first = ingest.TakeAsync(Request("1") with { Length = null }, CancellationToken.None); // holds 8192 of 16384
        var second = ingest.TakeAsync(Request("1") with { Length = null }, CancellationToken.None);
        var third = await ingest.TakeAsync(Request("1") with { Length = null }, CancellationToken.None);
        Assert.Equal(503, third.Status);
        Assert.Equal(1, third.RetryAfter);
        Assert.Equal(2, ingest.Requests);
        ingest.Close();
        Assert.Equal(503, (await ingest.TakeAsync(Request("1"), CancellationToken.None)).Status);
        _log.Gate.SetResult();
        Assert.Equal(200, (await first).Status);
        Assert.Equal(200, (await second).Status);
        Assert.Equal(0, ingest.Requests);
    }

    [Theory]
    [InlineData("metrics", """{"data_id":1,"data":[{"metrics":{"cpu":1},"dimension":{}}]}""", 200)]
    [InlineData("metrics", """{"data_id":1,"data":[{"metrics":{"cpu":null}}]}""", 400)]
    [InlineData("events", """{"data_id":1,"data":[{"event_name":"e","event":{"content":"c"},"target":"t"}]}""", 200)]
    [InlineData("events", """{"data_id":1,"data":[{"metrics":{"cpu":1}}]}""", 400)]
    [InlineData("lines", """{"data_id":1,"data":[{"metrics":{"cpu":1}}]}""", 400)]
    public async Task A_push_body_is_held_to_the_form_of_its_topic(string topic, string body, int status)
    {
        var answer = await TakeAsync(Request(body, "application/json", topic));
        Assert.Equal(status, answer.Status);
        Assert.Equal(status == 200 ? "true" : "false", Body(answer).GetProperty("result").GetString());
        Assert.Equal($"{status}", Body(answer).GetProperty("code").GetString());
        Assert.Equal(status == 200 ? 1 : 0, _log.Records.Count);
        Assert.All(_log.Records, r => Assert.Contains("\"dataid\":1", r, StringComparison.Ordinal));
    }

    private static JsonElement Body(IngestAnswer answer) => JsonSerializer.SerializeToElement(answer.Body, UpServer.Json);

    private static byte[] Gzip(string text)
    {
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(text));
        }

        return packed.ToArray();
    }

    private static IngestRequest Request(string body, string? type = "application/x-ndjson", string topic = "lines")
    {
        var bytes = Encoding.UTF8.GetBytes(body);
        return new IngestRequest(topic, type, null, bytes.Length, new MemoryStream(bytes));
    }

    private Task<IngestAnswer> PostAsync(string body, string? type = "application/x-ndjson", int bodyBytes = 8192, long? length = 0) =>
        Create(bodyBytes).TakeAsync(length is null ? Request(body, type) with { Length = null } : Request(body, type), CancellationToken.None);

    private Task<IngestAnswer> TakeAsync(IngestRequest request) => Create(8192).TakeAsync(request, CancellationToken.None);

    private Ingest Create(int bodyBytes) => new(
        new IngestOptions { BodyBytes = bodyBytes, RecordBytes = 2048, PendingBytes = bodyBytes * 2L, LagRecords = 100, FreeBytes = 1000 },
        new IngestTopic[] { new("lines", false, null, []), new("metrics", false, "time_series", []), new("events", false, "event", []), new("remote", true, null, []) }.ToFrozenDictionary(t => t.Name, StringComparer.Ordinal),
        _log,
        _ => _lag,
        new IngestMetrics(),
        new FakeTimeProvider());

    private sealed class MemoryLog : IIngestLog
    {
        public long FreeBytes { get; set; } = long.MaxValue;

        public TaskCompletionSource? Gate { get; set; }

        public IOException? Failure { get; set; }

        public List<string> Records { get; } = [];

        public async Task AppendAsync(string topic, RawBatch batch)
        {
            if (Failure is not null)
            {
                throw Failure;
            }

            for (var i = 0; i < batch.Count; i++)
            {
                Records.Add(Encoding.UTF8.GetString(batch[i]));
            }

            await (Gate?.Task ?? Task.CompletedTask);
        }
    }
}
