using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>An optional field of another type is null (or empty) in its row, and counted as refused with its path.</summary>
public sealed class OptionalFieldTests
{
    [Theory]
    [InlineData("bk_flat_batch", """{"utctime":"2019-11-21 13:07:01","cloudid":"abc","items":[{"data":"x"}]}""", "items[0].cloudid", "cloudId", null)]
    [InlineData("bk_flat_batch", """{"utctime":"2019-11-21 13:07:01","items":[{"data":"x","iterationindex":{}}]}""", "items[0].iterationindex", "iterationIndex", null)]
    [InlineData("bk_flat_batch", """{"utctime":"2019-11-21 13:07:01","gseindex":1.5,"data":"x"}""", "gseindex", "gseIndex", null)]
    [InlineData("otlp_span", """{"items":[{"trace_id":"a","span_id":"b","start_time":1696733860659202,"kind":"server"}]}""", "items[0].kind", "kind", 0)]
    [InlineData("otlp_span", """{"items":[{"trace_id":"a","span_id":"b","start_time":1696733860659202,"status":{"code":99999999999}}]}""", "items[0].status.code", "status_code", 0)]
    [InlineData("otlp_span", """{"items":[{"trace_id":"a","span_id":"b","start_time":1696733860659202,"attributes":[1]}]}""", "items[0].attributes", "attributes", "{}")]
    [InlineData("otlp_span", """{"items":[{"trace_id":"a","span_id":"b","start_time":1696733860659202,"links":"x"}]}""", "items[0].links", "links", "[]")]
    [InlineData("otlp_span", """{"items":[{"trace_id":"a","span_id":"b","start_time":1696733860659202,"bk_biz_id":"two"}]}""", "items[0].bk_biz_id", "bk_biz_id", null)]
    [InlineData("json, fields: { a: { type: int64, nullable: true } }", """{"a":"x"}""", "a", "a", null)]
    public void Costs_the_value_and_not_the_row(string type, string payload, string path, string column, object? left)
    {
        var (rows, refused, _) = EtlTests.Run($"{{ type: {type} }}", payload);
        Assert.Equal(left, Assert.Single(rows)[column]);
        Assert.Equal((RejectReason.WrongType, path), (Assert.Single(refused).Reason, refused[0].Path));
    }

    [Fact]
    public void Numbers_as_text_are_numbers()
    {
        var (rows, refused, _) = EtlTests.Run("{ type: bk_flat_batch }", """{"utctime":"2019-11-21 13:07:01","cloudid":"3","data":"x"}""");
        Assert.Empty(refused);
        Assert.Equal(3L, Assert.Single(rows)["cloudId"]);
    }

    [Fact]
    public void A_count_that_is_no_number_stays_in_the_event()
    {
        var (rows, refused, _) = EtlTests.Run("{ type: bk_standard_v2_event }", """{"data":[{"event_name":"e","target":"t","event":{"content":"c","count":"many"},"timestamp":1558774691000}]}""");
        Assert.Empty(refused);
        Assert.Equal((null, """{"count":"many"}"""), (rows[0]["count"], rows[0]["event"]));
    }

    [Theory]
    [InlineData("", "", 1574341621000L)]
    [InlineData("", ",\"timezone\":8", 1574312821000L)]
    [InlineData(", time_zone: -5.5", ",\"timezone\":8", 1574361421000L)]
    public void The_datetime_of_logs_is_read_in_its_zone(string settings, string field, long time)
    {
        var (rows, refused, _) = EtlTests.Run($"{{ type: bk_flat_batch{settings} }}", $$"""{"datetime":"2019-11-21 13:07:01"{{field}},"data":"x"}""");
        Assert.Empty(refused);
        Assert.Equal(time, Assert.Single(rows)["time"]);
    }

    [Fact]
    public void Events_follow_the_rules_of_their_configuration()
    {
        const string Settings = "{ type: bk_standard_v2_event, event_content: [content], event_dimension: [kind], must_have_event: [content], must_have_dimension: [kind, target], timestamp_precision: ms }";
        static string Event(string dimension, string said, string time) => $$$"""{"data":[{"event_name":"e","target":"t","event":{{{said}}},"dimension":{{{dimension}}},"timestamp":{{{time}}}}]}""";
        var (rows, refused, _) = EtlTests.Run(Settings, Event("""{"kind":"Pod","other":1}""", """{"content":"c","count":2,"x":1}""", "1558774691000"));
        Assert.Empty(refused);
        Assert.Equal(("c", null, "{}"), (rows[0]["content"], rows[0]["count"], rows[0]["event"]));
        Assert.Equal(["kind"], ((IDictionary<string, string>)rows[0]["dimensions"]!).Keys);
        Assert.Equal("data[0].event.content", Assert.Single(EtlTests.Run(Settings, Event("""{"kind":"Pod"}""", """{"x":1}""", "1558774691000")).Refused).Path);
        Assert.Equal("data[0].dimension.kind", Assert.Single(EtlTests.Run(Settings, Event("{}", """{"content":"c"}""", "1558774691000")).Refused).Path);
        Assert.Equal(RejectReason.BadTime, Assert.Single(EtlTests.Run(Settings, Event("""{"kind":"Pod"}""", """{"content":"c"}""", "1558774691")).Refused).Reason);
    }

    [Theory]
    [InlineData("bk_standard", "null", 1)]
    [InlineData("bk_standard", "[]", 0)]
    [InlineData("bk_standard", "[null]", 0)]
    [InlineData("bk_standard", """[{"g":"a"},null,{"g":"b"}]""", 2)]
    [InlineData("bk_exporter", """[{"g":"a"},{"g":"b"}]""", 2)]
    [InlineData("bk_exporter", "[]", 0)]
    public void Groups_make_rows(string type, string groups, int count)
    {
        var metrics = type == "bk_standard" ? "\"metrics\":{\"m\":\"1.5\"}" : """ "prometheus":{"collector":{"metrics":[{"key":"m","value":1.5,"timestamp":1695023812}]}} """;
        var (rows, refused, filtered) = EtlTests.Run($"{{ type: {type}, dimensions: [g] }}", $$"""{"time":1695023812,{{metrics}},"group_info":{{groups}}}""");
        Assert.Empty(refused);
        Assert.Equal(count == 0 ? 1 : 0, filtered);
        Assert.Equal(((string[])["a", "b"])[..(count < 2 ? 0 : 2)], rows.Select(r => (string)r["g"]!).Where(g => g.Length > 0));
        Assert.Equal(count, rows.Count);
        Assert.All(rows, r => Assert.Equal(1.5, r["value"]));
    }
}
