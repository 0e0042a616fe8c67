using System.Text.Json.Nodes;

namespace BkBase.Flows.Tests.Etl;

/// <summary>Runs the shared cases of a directory (BKBASE_CONFORMANCE_DIR, else tests/conformance) through the real formats.</summary>
public sealed class ConformanceTests
{
    /// <summary>Processors without a counterpart in the formats, and why.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new()
    {
        ["flat-batch"] = "a step between nodes without a log line or time of its own",
        ["log(base)"] = "calls an outside SQL parser",
        ["json_log"] = "transfer's field configuration; bk_flat_batch with extract takes its place",
        ["event_v2_handler"] = "a step between nodes: configurable whitelists",
        ["group_injector"] = "a step between nodes: group_info is not fanned out",
        ["metric_cutter"] = "a step between nodes: rows are long already",
        ["proxy_validator"] = "rules of the HTTP push entry",
        ["otlp_metrics"] = "conversion in the collector",
        ["otlp_traces"] = "conversion in the collector",
        ["otlp_logs"] = "conversion in the collector",
        ["dataid_match"] = "belongs to linkage",
        ["k8s_event"] = "conversion in the beat",
    };

    /// <summary>Cases that are deliberately answered otherwise.</summary>
    private static readonly Dictionary<string, string> Better = new()
    {
        ["derived.timeseries_v2.zero_timestamp_stops"] = "a bad item costs no other: 2 rows and 1 refusal instead of 1 row",
    };

    public static TheoryData<string> Ids => [.. Cases().Select(c => (string)c["id"]!)];

    [Theory]
    [MemberData(nameof(Ids))]
    public void Case_holds(string id)
    {
        var c = Cases().Single(x => (string)x["id"]! == id);
        var processor = (string)c["processor"]!;
        if (Elsewhere.ContainsKey(processor))
        {
            return;
        }

        var input = c["input"]!;
        var isEvent = processor == "event_v2_standard";
        var (type, payload) = processor switch
        {
            "standard" => ("bk_standard", input.ToJsonString()),
            "exporter-filter" => ("bk_exporter", input.ToJsonString()),
            "event_v2_standard" => ("bk_standard_v2_event", new JsonObject { ["data"] = new JsonArray(input.DeepClone()) }.ToJsonString()),
            "timeseries_v2_handler" or "proxy" => ("bk_standard_v2_time_series", input.ToJsonString()),
            _ => throw new InvalidOperationException($"processor '{processor}' has neither a counterpart nor a reason"),
        };
        var (rows, refused, _) = EtlTests.Run($"{{ type: {type} }}", payload);
        if (Better.ContainsKey(id))
        {
            Assert.Equal((2, 1), (rows.Count, refused.Length));
            return;
        }

        var records = c["expect"]!["records"]!.AsArray();
        Assert.Equal(records.Count, rows.Count);
        for (var i = 0; i < records.Count; i++)
        {
            var expected = records[i]!;
            var dimensions = (IDictionary<string, string>)rows[i]["dimensions"]!;
            var given = expected["dimensions"] ?? expected["dimension"];
            var wanted = (isEvent ? given!["dimensions"] : given)!.AsObject().Where(p => p.Key != "target").ToDictionary(p => p.Key, p => p.Value!.ToString());
            Assert.Equal(wanted.OrderBy(p => p.Key, StringComparer.Ordinal), dimensions.OrderBy(p => p.Key, StringComparer.Ordinal));
            if ((string?)(given!["target"] ?? expected["target"]) is { } target)
            {
                Assert.Equal(target, rows[i]["target"]);
            }

            if (!isEvent && expected["metrics"] is JsonObject metrics)
            {
                var (name, value) = Assert.Single(metrics);
                Assert.Equal((name, value!.GetValue<double>()), (rows[i]["metric"], rows[i]["value"]));
            }
        }
    }

    private static IEnumerable<JsonNode> Cases()
    {
        var directory = Environment.GetEnvironmentVariable("BKBASE_CONFORMANCE_DIR");
        if (directory is null)
        {
            var root = new DirectoryInfo(AppContext.BaseDirectory);
            while (!File.Exists(Path.Combine(root.FullName, "BkBase.Flows.sln")))
            {
                root = root.Parent!;
            }

            directory = Path.Combine(root.FullName, "tests", "conformance");
        }

        return Directory.EnumerateFiles(directory, "etl*.json").SelectMany(f => JsonNode.Parse(File.ReadAllText(f))!["cases"]!.AsArray()).Select(c => c!);
    }
}
