using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Tests.Etl;

public sealed class EtlTests
{
    private const string Item = """{"metrics":{"cpu":1.5,"mem":2},"target":"t","dimension":{"pod":"a","n":3},"timestamp":1700000000000}""";

    [Fact]
    public void Every_entry_reads_its_example_clean()
    {
        foreach (var entry in EtlCatalog.All)
        {
            var bag = new DiagnosticBag("f.yaml");
            var settings = Settings(entry.Example, bag);
            Assert.Empty(bag.Sorted());
            Assert.NotNull(settings.Create());
        }
    }

    [Fact]
    public void Time_series_makes_a_row_per_item_and_metric()
    {
        var (rows, refused, _) = Run("{ type: bk_standard_v2_time_series, dimensions: [pod] }", $"{{\"data\":[{Item}]}}\0\n");
        Assert.Empty(refused);
        Assert.Equal(["cpu", "mem"], rows.Select(r => r["metric"]));
        Assert.Equal("a", rows[0]["pod"]);
        Assert.Equal(1_700_000_000_000L, rows[0]["time"]);
        Assert.Equal("3", ((IDictionary<string, string>)rows[0]["dimensions"]!)["n"]);
    }

    [Theory]
    [InlineData("""{"metrics":{"a":"NaN"},"timestamp":1}""", RejectReason.NotFinite)]
    [InlineData("""{"metrics":{"a":1e999},"timestamp":1}""", RejectReason.NotFinite)]
    [InlineData("""{"metrics":{"a":true},"timestamp":1}""", RejectReason.WrongType)]
    [InlineData("""{"metrics":{"a":1}}""", RejectReason.MissingField)]
    [InlineData("""{"metrics":{"a":1},"timestamp":0}""", RejectReason.MissingField)]
    [InlineData("""{"metrics":{"a":1},"timestamp":-5}""", RejectReason.BadTime)]
    [InlineData("""{"metrics":{"a":1},"dimension":{"x":{}},"timestamp":1}""", RejectReason.WrongType)]
    public void A_bad_item_costs_no_other(string bad, string reason)
    {
        var (rows, refused, _) = Run("{ type: bk_standard_v2_time_series }", $"{{\"data\":[{Item},{bad},{Item}]}}");
        Assert.Equal(4, rows.Count);
        var one = Assert.Single(refused);
        Assert.Equal(reason, one.Reason);
        Assert.StartsWith("data[1]", one.Path, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", RejectReason.NotJson)]
    [InlineData("{", RejectReason.NotJson)]
    [InlineData("{} x", RejectReason.NotJson)]
    [InlineData("[]", RejectReason.WrongType)]
    [InlineData("""{"a":"\ud800"}""", RejectReason.BadEncoding)]
    public void Bad_records_are_refused(string payload, string reason)
    {
        foreach (var entry in EtlCatalog.All.Where(e => e.Name != "text"))
        {
            Assert.Equal(reason, Assert.Single(Run(entry.Example, payload).Refused).Reason);
        }
    }

    [Fact]
    public void Depth_is_bounded()
    {
        Assert.Equal(RejectReason.TooDeep, Assert.Single(Run("{ type: bk_standard_v2_event }", "{\"a\":" + new string('[', 64) + new string(']', 64) + "}").Refused).Reason);
        Assert.Empty(Run("{ type: bk_standard_v2_event }", "{\"a\":" + new string('[', 63) + new string(']', 63) + "}").Refused);
    }

    [Fact]
    public void Null_metrics_alone_are_filtered()
    {
        var (rows, refused, filtered) = Run("{ type: bk_standard_v2_time_series }", """{"data":[{"metrics":{"a":null},"timestamp":1}]}""");
        Assert.Empty(rows);
        Assert.Empty(refused);
        Assert.Equal(1, filtered);
    }

    [Fact]
    public void The_last_of_a_repeated_name_counts()
    {
        var (rows, _, _) = Run("{ type: bk_standard_v2_time_series }", """{"data":[{"metrics":{"a":1,"a":2},"timestamp":5,"dimension":{"d":"x","d":"y"},"timestamp":1700000000}]}""");
        var row = Assert.Single(rows);
        Assert.Equal(2d, row["value"]);
        Assert.Equal(1_700_000_000_000L, row["time"]);
        Assert.Equal("y", ((IDictionary<string, string>)row["dimensions"]!)["d"]);
    }

    [Fact]
    public void Event_keeps_what_is_not_content_or_count()
    {
        var (rows, _, _) = Run("{ type: bk_standard_v2_event, dimensions: [kind] }", """{"data":[{"event_name":"OOM","target":"kubelet","event":{"content":"c\n","count":2,"x":{"y":1}},"dimension":{"kind":"Pod"},"timestamp":1558774691000}]}""");
        var row = Assert.Single(rows);
        Assert.Equal("c\n", row["content"]);
        Assert.Equal(2L, row["count"]);
        Assert.Equal("""{"x":{"y":1}}""", row["event"]);
        Assert.Equal("Pod", row["kind"]);
    }

    [Fact]
    public void Log_items_become_rows_and_a_bad_line_is_marked()
    {
        var (rows, _, _) = Run(
            "{ type: bk_flat_batch, extract: { type: key_value, separator: ' ', fields: { level: string, cost: float64 } } }",
            """{"ip":"10.0.0.1","cloudid":0,"utctime":"2019-11-21 13:07:01","time":1574341621,"filename":"/a.log","gseindex":794,"items":[{"data":"level=info cost=1.5","iterationindex":0},{"data":"oops","iterationindex":1}]}""");
        Assert.Equal(2, rows.Count);
        Assert.Equal(1_574_341_621_000L, rows[0]["time"]);
        Assert.Equal("info", rows[0]["level"]);
        Assert.Equal(1.5, rows[0]["cost"]);
        Assert.Equal([false, true], rows.Select(r => r["parse_failure"]));
        Assert.Null(rows[1]["cost"]);
    }

    [Fact]
    public void Json_takes_paths_and_explodes()
    {
        var (rows, refused, _) = Run(
            "{ type: json, explode: a.list, fields: { host: { path: meta.host, role: dimension }, v: { path: 'x[1]', type: float64 } }, time: { path: ts, unit: s } }",
            """{"meta":{"host":"h"},"ts":1700000000,"a":{"list":[{"x":[0,7]},{"x":[]}]}}""");
        Assert.Equal(7d, Assert.Single(rows)["v"]);
        Assert.Equal(RejectReason.MissingField, Assert.Single(refused).Reason);
    }

    [Fact]
    public void Spans_keep_microseconds()
    {
        var (rows, _, _) = Run("{ type: otlp_span }", """{"items":[{"trace_id":"a","span_id":"b","span_name":"n","kind":3,"start_time":1696733860659202,"end_time":1696733860660293,"elapsed_time":1091,"status":{"code":2,"message":"m"},"resource":{"service.name":"web"}}]}""");
        var row = Assert.Single(rows);
        Assert.Equal(1_696_733_860_659L, row["time"]);
        Assert.Equal("web", row["service_name"]);
        Assert.Equal(2, row["status_code"]);
    }

    [Fact]
    public void Backtracking_patterns_are_refused()
    {
        var bag = new DiagnosticBag("f.yaml");
        Settings("{ type: text, extract: { type: regexp, pattern: '(?<a>x)\\k<a>', fields: { a: string } } }", bag);
        Assert.Equal(DiagnosticCodes.BadRegex, Assert.Single(bag.Sorted()).Code);
    }

    [Fact]
    public void The_fast_way_and_the_general_way_agree()
    {
        var random = new Random(11);
        var fast = Settings("{ type: bk_standard_v2_time_series, dimensions: [pod] }", new DiagnosticBag("f")).Create();
        var output = new EtlOutput(fast.Schema);
        string[] values = ["1", "-0", "0.1", "123456789.125", "1e5", "00", "1.", "9007199254740993", "0.30000000000000004", "null", "-5.5", "12345678901234567890"];
        for (var i = 0; i < 4000; i++)
        {
            var text = $"{{\"dataid\":{i},\"data\":[{{\"metrics\":{{\"cpu\":{values[random.Next(values.Length)]},\"mem\":2}},\"target\":\"t{i % 3}\",\"dimension\":{{\"pod\":\"a{i % 5}\"{(i % 7 == 0 ? ",\"timestamp\":\"x\\\"\"" : "")}}},\"timestamp\":17000000000{i % 90 + 10}}}]}}";
            var bytes = Encoding.UTF8.GetBytes(text);
            if (i % 4 == 3)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            var general = Settings("{ type: bk_standard_v2_time_series, dimensions: [pod] }", new DiagnosticBag("f")).Create();
            var expected = new EtlOutput(general.Schema);
            general.Parse(bytes, expected);
            fast.Parse(bytes, output);
            Assert.Equal(Dump(expected), Dump(output));
        }
    }

    private static string Dump(EtlOutput output)
    {
        var batch = output.Rows.Build(default);
        var rows = Enumerable.Range(0, batch.Count).Select(r => string.Join('|', batch.Columns.Select(c => c.GetValue(r) is IDictionary<string, string> m ? string.Join(',', m) : c.GetValue(r) is double d ? BitConverter.DoubleToInt64Bits(d).ToString(System.Globalization.CultureInfo.InvariantCulture) : c.GetValue(r))));
        return string.Join('\n', rows) + string.Join(',', output.TakeRejections().Select(r => r.Reason + r.Path));
    }

    [Fact]
    public void No_bytes_make_a_format_throw()
    {
        var random = new Random(7);
        var seed = Encoding.UTF8.GetBytes($"{{\"data\":[{Item}],\"items\":[{{\"data\":\"a\\u00e4\"}}],\"time\":1700000000,\"metrics\":{{\"a\":1e5}}}}");
        foreach (var entry in EtlCatalog.All)
        {
            var etl = Settings(entry.Example, new DiagnosticBag("f")).Create();
            var output = new EtlOutput(etl.Schema);
            for (var i = 0; i < 3000; i++)
            {
                var bytes = i % 3 == 0 ? new byte[random.Next(40)] : [.. seed];
                if (i % 3 == 0)
                {
                    random.NextBytes(bytes);
                }

                for (var k = 0; k < i % 4 && bytes.Length > 0; k++)
                {
                    bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
                }

                output.BeginRecord(i, i, 1);
                etl.Parse(bytes, output);
            }

            output.TakeRejections();
            output.Rows.Build(default);
        }
    }

    internal static IEtlSettings Settings(string yaml, DiagnosticBag bag)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        var map = (YamlMappingNode)stream.Documents[0].RootNode;
        var type = ((YamlScalarNode)map.Children[new YamlScalarNode("type")]).Value;
        var entry = EtlCatalog.All.Single(e => e.Name == type);
        return entry.Read(new Section(map, [new Key("type", KeyKind.Text, "format"), .. entry.Keys], bag, "etl"));
    }

    internal static (List<Dictionary<string, object?>> Rows, Rejection[] Refused, long Filtered) Run(string yaml, string payload)
    {
        var bag = new DiagnosticBag("f.yaml");
        var etl = Settings(yaml, bag).Create();
        Assert.Empty(bag.Sorted());
        var output = new EtlOutput(etl.Schema);
        return Parse(etl, Encoding.UTF8.GetBytes(payload), output);
    }

    internal static (List<Dictionary<string, object?>> Rows, Rejection[] Refused, long Filtered) Parse(IEtl etl, ReadOnlySpan<byte> payload, EtlOutput output)
    {
        output.BeginRecord(0, 0, 1_700_000_000_000);
        etl.Parse(payload, output);
        var batch = output.Rows.Build(new Lineage("s", 0, 0, 0));
        var rows = Enumerable.Range(0, batch.Count)
            .Select(r => Enumerable.Range(0, batch.Schema.Count).ToDictionary(c => batch.Schema[c].Name, c => batch[c].GetValue(r)))
            .ToList();
        return (rows, output.TakeRejections(), output.Filtered);
    }
}
