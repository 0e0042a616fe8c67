using System.Text;
using System.Text.Json.Nodes;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

public sealed class ProxyRequestTests
{
    private const long Now = 1_700_000_000_000;

    [Fact]
    public void Items_come_out_as_the_formats_read_them()
    {
        var request = Read("""{"data_id":7,"access_token":"t","data":[{"metrics":{"cpu":1.50},"target":"a\"b","dimension":{"n":1.0,"yes":true,"none":null,"text":"中"},"exemplar":{"x":1}},{"metrics":{"cpu":2},"timestamp":0},{"metrics":{"cpu":3},"timestamp":1600000000000.9}]}""");
        Assert.Equal((7L, "t", "time_series", 3), (request.DataId, request.AccessToken, request.Type, request.Items));
        var expected = """{"dataid":7,"version":"","data":[{"metrics":{"cpu":1.50},"target":"a\"b","exemplar":{"x":1},"dimension":{"n":"1.0","yes":"true","text":"中"},"timestamp":1700000000000},{"metrics":{"cpu":2},"dimension":{},"timestamp":1700000000000},{"metrics":{"cpu":3},"dimension":{},"timestamp":1600000000000}],"time":1700000000,"timestamp":1700000000}""";
        Assert.Equal(expected, Encoding.UTF8.GetString(Assert.Single(request.Records).Span));
    }

    [Fact]
    public void Events_keep_free_names()
    {
        var request = Read("""{"data_id":7,"data":[{"event_name":"OOM","event":{"content":"c"},"target":"t","dimension":{"a.b/c":"x"}}]}""");
        Assert.Equal("event", request.Type);
        var (rows, refused, _) = EtlTests.Run("{ type: bk_standard_v2_event }", Encoding.UTF8.GetString(request.Records[0].Span));
        Assert.Empty(refused);
        Assert.Equal("x", ((IDictionary<string, string>)Assert.Single(rows)["dimensions"]!)["a.b/c"]);
    }

    [Fact]
    public void Many_items_make_several_records_in_order()
    {
        var items = string.Join(',', Enumerable.Range(0, 100).Select(i => $$"""{"metrics":{"m":{{i}}},"timestamp":{{Now}}}"""));
        Assert.True(ProxyRequest.TryRead(Encoding.UTF8.GetBytes($$"""{"data_id":7,"data":[{{items}}]}"""), new ProxyRules { RecordBytesMax = 500 }, Now, out var request, out _));
        Assert.True(request.Records.Count > 5);
        Assert.All(request.Records, r => Assert.True(r.Length < 600));
        Assert.Equal(Enumerable.Range(0, 100), request.Records.SelectMany(r => JsonNode.Parse(r.Span)!["data"]!.AsArray()).Select(i => (int)i!["metrics"]!["m"]!));
    }

    [Theory]
    [InlineData("", RejectReason.NotJson, "", "empty")]
    [InlineData(" \n", RejectReason.NotJson, "", "empty")]
    [InlineData("{", RejectReason.NotJson, "", "not JSON")]
    [InlineData("[]", RejectReason.WrongType, "", "one JSON object")]
    [InlineData("""{"data":[]}""", RejectReason.MissingField, "data_id", "whole number")]
    [InlineData("""{"data_id":"x","data":[]}""", RejectReason.WrongType, "data_id", "whole number")]
    [InlineData("""{"data_id":1}""", RejectReason.MissingField, "data", "list")]
    [InlineData("""{"data_id":1,"type":"log","data":[{}]}""", RejectReason.Unsupported, "type", "time_series, event")]
    [InlineData("""{"data_id":1,"data":[{"metrics":{"a":1}},{"metrics":{"a-b":1}}]}""", RejectReason.NoMatch, "data[1].metrics.a-b", "letters")]
    [InlineData("""{"data_id":1,"data":[{"metrics":{"1a":1}}]}""", RejectReason.NoMatch, "data[0].metrics.1a", "letters")]
    [InlineData("""{"data_id":1,"data":[{"metrics":{"a":1e999}}]}""", RejectReason.NotFinite, "data[0].metrics.a", "number")]
    [InlineData("""{"data_id":1,"data":[{"metrics":{"a":1},"dimension":{"b":[1]}}]}""", RejectReason.WrongType, "data[0].dimension.b", "text, number")]
    [InlineData("""{"data_id":1,"data":[{"metrics":{"a":1},"timestamp":1700003600001}]}""", RejectReason.FutureTime, "data[0].timestamp", "3600 s")]
    [InlineData("""{"data_id":1,"data":[{"event":{"x":1},"event_name":"n","target":"t"}]}""", RejectReason.MissingField, "data[0].event.content", "content")]
    [InlineData("""{"data_id":1,"data":[{"event":{"content":1},"event_name":"n","target":""}]}""", RejectReason.MissingField, "data[0].target", "not empty")]
    public void One_bad_item_refuses_the_body_and_says_where(string body, string reason, string path, string message)
    {
        Assert.False(ProxyRequest.TryRead(Encoding.UTF8.GetBytes(body), new ProxyRules(), Now, out var request, out var error));
        Assert.Null(request);
        Assert.Equal((reason, path), (error.Reason, error.Path));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_item_larger_than_a_record_is_refused()
    {
        Assert.False(ProxyRequest.TryRead(Encoding.UTF8.GetBytes($$"""{"data_id":1,"data":[{"metrics":{"a":1},"target":"{{new string('x', 600)}}"}]}"""), new ProxyRules { RecordBytesMax = 500 }, Now, out _, out var error));
        Assert.Equal((RejectReason.TooLarge, "data[0]"), (error.Reason, error.Path));
    }

    [Fact]
    public void No_bytes_make_it_throw()
    {
        var random = new Random(3);
        var seed = Encoding.UTF8.GetBytes("""{"data_id":7,"access_token":"t","data":[{"metrics":{"cpu":1.5},"target":"\u00e4","dimension":{"n":1},"timestamp":1700000000000}]}""");
        for (var i = 0; i < 20_000; i++)
        {
            byte[] body = [.. seed];
            for (var k = 0; k <= i % 3; k++)
            {
                body[random.Next(body.Length)] = (byte)random.Next(256);
            }

            if (ProxyRequest.TryRead(body, new ProxyRules(), Now, out var request, out var error))
            {
                Assert.All(request.Records, r => JsonNode.Parse(r.Span));
            }
            else
            {
                Assert.NotEmpty(error.ToString());
            }
        }
    }

    private static ProxyRequest Read(string body)
    {
        Assert.True(ProxyRequest.TryRead(Encoding.UTF8.GetBytes(body), new ProxyRules(), Now, out var request, out var error), error?.ToString());
        return request!;
    }
}
