using System.Text.Json.Nodes;

namespace BkBase.Flows.Tests.Etl;

/// <summary>
/// Runs cases of a directory (BKBASE_CONFORMANCE_DIR, else tests/conformance) through the real formats: every *.json of
/// schema etl_cases. A case runs and is compared in all it states, or it stands in a list here and is skipped with its
/// reason; an unknown processor fails.
/// </summary>
public sealed class ConformanceTests
{
    /// <summary>Processors without a counterpart, and why.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new()
    {
        ["log(base)"] = "its one case asks an HTTP service to parse SQL; no ETL here calls out, and an enrich node reads tables",
        ["otlp_metrics"] = "the collector's conversion of OTLP into items; what arrives here is the item",
        ["otlp_traces"] = "the collector's conversion of OTLP into span items; what arrives here is the item",
        ["otlp_logs"] = "the collector's conversion of OTLP into log items; what arrives here is the item",
        ["k8s_event"] = "the beat's conversion of Kubernetes events into items; what arrives here is the item",
        ["dataid_match"] = "which monitor reports to which DataID: linkage, not ETL",
    };

    /// <summary>The cases of the copy in this repository that have no counterpart, one by one.</summary>
    private static readonly string[] WithoutCounterpart =
    [
        "beat.kubeevent.TestGatherOOMEvent",
        "beat.kubeevent.TestGatherUpdateEvent",
        "collector.logs.observed_time",
        "collector.logs.time",
        "collector.otlp_metrics.gauge",
        "collector.otlp_metrics.sum",
        "collector.otlp_metrics.summary",
        "collector.traces.token_fields",
        "collector.traces.token_zero",
        "log.log_base.TestDbmParse",
        "operator.dataid_match.0",
        "operator.dataid_match.1",
        "operator.dataid_match.2",
        "operator.dataid_match.3",
        "operator.dataid_match.5",
    ];

    /// <summary>
    /// Cases that are answered otherwise on purpose. zero_timestamp_stops: an item without time ends the whole message
    /// upstream, so that the items behind it are lost; here a bad item costs no neighbour.
    /// </summary>
    private static readonly Dictionary<string, Action<Case>> Better = new()
    {
        ["derived.timeseries_v2.zero_timestamp_stops"] = c =>
        {
            var (rows, refused, _) = EtlTests.Run("{ type: bk_standard_v2_time_series }", c.Input.ToJsonString());
            Assert.Equal([("a", 1d), ("c", 3d)], rows.Select(r => ((string)r["metric"]!, (double)r["value"]!)));
            Assert.Equal("data[1].timestamp", Assert.Single(refused).Path);
        },
    };

    private static readonly Dictionary<string, Action<Case>> Adapters = new()
    {
        ["standard"] = MetricCases.Standard,
        ["exporter-filter"] = MetricCases.Exporter,
        ["group_injector"] = MetricCases.Groups,
        ["metric_cutter"] = MetricCases.Cut,
        ["timeseries_v2_handler"] = MetricCases.TimeSeries,
        ["proxy"] = MetricCases.Proxy,
        ["event_v2_standard"] = EventCases.Standard,
        ["event_v2_handler"] = EventCases.Handler,
        ["proxy_validator"] = OtherCases.ProxyRules,
        ["flat-batch"] = OtherCases.FlatBatch,
        ["json_log"] = OtherCases.JsonLog,
    };

    /// <summary>Ids of all cases.</summary>
    public static TheoryData<string> Ids => [.. Cases().Select(c => c.Id)];

    [Theory]
    [MemberData(nameof(Ids))]
    public void Case_holds(string id)
    {
        var c = Cases().Single(x => x.Id == id);
        if (Elsewhere.TryGetValue(c.Processor, out var reason))
        {
            Assert.Skip(reason);
        }

        if (Better.TryGetValue(id, out var better))
        {
            better(c);
            return;
        }

        Assert.True(Adapters.TryGetValue(c.Processor, out var run), $"processor '{c.Processor}' has neither an adapter nor a reason to be left out");
        run!(c);
    }

    [Fact]
    public void Ids_are_unique_and_no_file_is_empty()
    {
        Assert.NotEmpty(Cases());
        Assert.Empty(Cases().GroupBy(c => c.Id).Where(g => g.Count() > 1).Select(g => g.Key));
    }

    [Fact]
    public void What_has_no_counterpart_is_listed()
    {
        var left = Cases(Case.DefaultDirectory).Where(c => Elsewhere.ContainsKey(c.Processor)).Select(c => c.Id).Order(StringComparer.Ordinal);
        Assert.Equal(WithoutCounterpart, left);
        Assert.All(Better.Keys, id => Assert.Contains(Cases(Case.DefaultDirectory), c => c.Id == id));
    }

    private static List<Case> Cases(string? directory = null) =>
    [
        .. Directory.EnumerateFiles(directory ?? Environment.GetEnvironmentVariable("BKBASE_CONFORMANCE_DIR") ?? Case.DefaultDirectory, "*.json")
            .Order(StringComparer.Ordinal)
            .Select(f => JsonNode.Parse(File.ReadAllText(f))!)
            .Where(f => ((string?)f["schema"] ?? "etl_cases").StartsWith("etl_cases", StringComparison.Ordinal))
            .SelectMany(f => f["cases"]!.AsArray())
            .Select(c => new Case(c!.AsObject())),
    ];
}

/// <summary>One case of a file.</summary>
internal sealed class Case(JsonObject json)
{
    public static string DefaultDirectory { get; } = Find();

    public string Id => (string)json["id"]!;

    public string Processor => (string)json["processor"]!;

    public JsonNode Input => json["input"]!;

    public JsonNode? Config => json["config"];

    public JsonNode? Option => json["config"]?["option"];

    public JsonNode Expect => json["expect"]!;

    /// <summary>Expected records, which are as many as the case counts.</summary>
    public List<JsonObject> Records
    {
        get
        {
            List<JsonObject> records = [.. Expect["records"]!.AsArray().Select(r => r!.AsObject())];
            Assert.Equal((int?)Expect["count"] ?? records.Count, records.Count);
            return records;
        }
    }

    /// <summary>Whether only dimensions are stated.</summary>
    public bool HasDimensionsOnly => (string?)json["compare"] == "dimensions-exact";

    /// <summary>Names whose expected value the case itself doubts.</summary>
    public IReadOnlyList<string> Suspect => [.. (Expect["suspect_fields"] as JsonArray ?? []).Select(f => (string)f!)];

    /// <summary>A time of a case, in whatever unit, as Unix milliseconds.</summary>
    public static long Milliseconds(JsonNode time) => time.GetValue<double>() switch
    {
        < 1e12 and var s => (long)(s * 1000),
        < 1e15 and var ms => (long)ms,
        < 1e18 and var us => (long)(us / 1000),
        var ns => (long)(ns / 1_000_000),
    };

    /// <summary>Whether a text is the expected value.</summary>
    public static bool Same(JsonNode? expected, string? actual) => expected switch
    {
        null => actual is null,
        JsonValue v when v.TryGetValue<string>(out var text) => text == "$any" || text == actual,
        JsonValue v when v.TryGetValue<double>(out var number) => double.TryParse(actual, System.Globalization.CultureInfo.InvariantCulture, out var given) && given.Equals(number),
        JsonValue v when v.TryGetValue<bool>(out var flag) => actual == (flag ? "true" : "false"),
        _ => actual is not null && JsonNode.DeepEquals(expected, JsonNode.Parse(actual)),
    };

    private static string Find()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "BkBase.Flows.sln")))
        {
            root = root.Parent!;
        }

        return Path.Combine(root.FullName, "tests", "conformance");
    }
}
