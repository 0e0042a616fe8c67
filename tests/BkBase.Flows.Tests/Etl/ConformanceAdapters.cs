using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>Cases of metrics: a record with n metrics is n rows here.</summary>
internal static class MetricCases
{
    /// <summary>Fields of records that rows do not carry.</summary>
    private static readonly Dictionary<string, string> NotCarried = new()
    {
        ["bk_cmdb_level"] = "the hierarchy of CMDB, passed along upstream for a later join; here an enrich node joins it",
    };

    private static readonly HashSet<string> Known = ["time", "dimensions", "metrics", "group_info", "exemplar"];

    public static void Standard(Case c) => Compare(c, "bk_standard", c.Input.DeepClone(), "");

    public static void Exporter(Case c)
    {
        var fields = c.Config?["result_table_list"]?[0]?["field_list"]?.AsArray() ?? [];
        var metrics = fields.Where(f => (string?)f!["tag"] == "metric" && !((bool?)f["is_disabled"] ?? false)).Select(f => (string)f!["field_name"]!);
        var isBlackList = (bool?)c.Config?["result_table_list"]?[0]?["option"]?["enable_field_black_list"] ?? false;
        Compare(c, "bk_exporter", c.Input.DeepClone(), isBlackList || fields.Count == 0 ? "" : $", metrics: [{string.Join(',', metrics)}]");
    }

    public static void Groups(Case c)
    {
        var (rows, refused, _) = EtlTests.Run("{ type: bk_standard }", Timed(c.Input).ToJsonString());
        Assert.Empty(refused);
        Match([.. c.Records.SelectMany(r => Expected(r, null, c, null))], rows);
    }

    public static void Cut(Case c)
    {
        var (rows, refused, _) = EtlTests.Run("{ type: bk_standard, group_info: false }", Timed(c.Input).ToJsonString());
        Assert.Empty(refused);
        Match([.. c.Records.Select(r => Cut(r, c))], rows);
    }

    public static void TimeSeries(Case c)
    {
        var (rows, refused, _) = EtlTests.Run("{ type: bk_standard_v2_time_series }", c.Input.ToJsonString());
        Assert.Empty(refused);
        Match([.. c.Records.SelectMany(r => Expected(r, null, c, (string?)c.Option?["align_time_unit"]))], rows);
    }

    public static void Proxy(Case c)
    {
        var rules = new ProxyRules { Type = (string?)c.Config?["type"] };
        Assert.True(ProxyRequest.TryRead(Encoding.UTF8.GetBytes(c.Input.ToJsonString()), rules, 1_709_899_044_852, out var request, out _));
        Assert.Equal((long)c.Expect["dataid"]!, request.DataId);
        Assert.Equal("proxy", (string)c.Expect["record_type"]!);
        var messages = request.Records.Select(r => JsonNode.Parse(r.Span)!).ToList();
        Assert.All(messages, m => Assert.Equal(request.DataId, (long)m["dataid"]!));
        var items = messages.SelectMany(m => m["data"]!.AsArray()).ToList();
        Assert.Equal(c.Records.Count, items.Count);
        Assert.All(c.Records.Zip(items), pair => Assert.True(JsonNode.DeepEquals(pair.First, pair.Second), pair.Second!.ToJsonString()));
        Assert.All(request.Records, r => Assert.Empty(EtlTests.Run("{ type: bk_standard_v2_time_series }", Encoding.UTF8.GetString(r.Span)).Refused));
    }

    private static void Compare(Case c, string type, JsonNode message, string settings)
    {
        var (rows, refused, filtered) = EtlTests.Run($"{{ type: {type}, group_info: false{settings} }}", message.ToJsonString());
        if (c.Records.Count == 0)
        {
            // No record: then the reason is told.
            Assert.Empty(rows);
            Assert.True(refused.Length + filtered > 0);
            return;
        }

        Assert.Empty(refused);
        Assert.All(c.Records.SelectMany(r => r.Select(p => p.Key)), name => Assert.True(Known.Contains(name) || NotCarried.ContainsKey(name), $"'{name}' is not compared"));
        Match([.. c.Records.SelectMany(r => Expected(r, null, c, null))], rows);
        if (c.Records.Exists(r => r["group_info"] is JsonArray))
        {
            // What upstream passes along as group_info is here a row per group.
            var (grouped, _, _) = EtlTests.Run($"{{ type: {type}{settings} }}", message.ToJsonString());
            Match([.. c.Records.SelectMany(r => r["group_info"]!.AsArray().SelectMany(g => Expected(r, g!.AsObject(), c, null)))], grouped);
        }
    }

    private static JsonObject Timed(JsonNode input)
    {
        var message = input.DeepClone().AsObject();
        message["time"] ??= 1_551_924_409;
        return message;
    }

    private static ExpectedRow Cut(JsonObject record, Case c)
    {
        var dimensions = record["dimensions"]!.DeepClone().AsObject();
        var name = (string)dimensions["metric_name"]!;
        dimensions.Remove("metric_name");
        return new ExpectedRow(null, dimensions, c.Suspect, name, record["metrics"]!["metric_value"], null);
    }

    private static IEnumerable<ExpectedRow> Expected(JsonObject record, JsonObject? group, Case c, string? unit)
    {
        var dimensions = record["dimensions"]!.DeepClone().AsObject();
        foreach (var (name, value) in group ?? [])
        {
            dimensions[name] = value?.DeepClone();
        }

        // Cases that state dimensions only leave metrics and time as they came.
        var metrics = record["metrics"] ?? (c.HasDimensionsOnly ? c.Input["metrics"] : null);
        var time = record["time"] ?? (c.HasDimensionsOnly ? c.Input["time"] : null);
        return metrics!.AsObject().Where(m => m.Value is not null).Select(m => new ExpectedRow(time, dimensions, c.Suspect, m.Key, m.Value, unit));
    }

    private static void Match(List<ExpectedRow> expected, List<Dictionary<string, object?>> rows)
    {
        Assert.Equal(expected.Count, rows.Count);
        foreach (var row in rows)
        {
            var at = expected.FindIndex(e => e.Matches(row));
            Assert.True(at >= 0, $"not expected: {row["time"]} {row["target"]} {string.Join(',', (IDictionary<string, string>)row["dimensions"]!)} {row["metric"]}={row["value"]}");
            expected.RemoveAt(at);
        }
    }

    private sealed record ExpectedRow(JsonNode? Time, JsonObject Dimensions, IReadOnlyList<string> Suspect, string Metric, JsonNode? Value, string? Unit)
    {
        public bool Matches(Dictionary<string, object?> row)
        {
            var dimensions = new Dictionary<string, string>((IDictionary<string, string>)row["dimensions"]!);
            if ((string)row["target"]! is { Length: > 0 } target)
            {
                dimensions["target"] = target;
            }

            return SameTime((long)row["time"]!)
                && dimensions.Keys.Union(Dimensions.Select(d => d.Key)).Except(Suspect).All(d => Case.Same(Dimensions[d], dimensions.GetValueOrDefault(d)))
                && (string)row["metric"]! == Metric
                && (Case.Same(Value, ((double)row["value"]!).ToString("R", CultureInfo.InvariantCulture))
                    || (Value is JsonValue v && v.TryGetValue<string>(out var text) && double.Parse(text, CultureInfo.InvariantCulture).Equals(row["value"])));
        }

        // Rows keep milliseconds; a case in seconds states whole seconds.
        private bool SameTime(long time) =>
            Time is null || (Unit == "s" || Time.GetValue<double>() < 1e12 ? time / 1000 == Case.Milliseconds(Time) / 1000 : time == Case.Milliseconds(Time));
    }
}

/// <summary>Cases of events.</summary>
internal static class EventCases
{
    public static void Standard(Case c) => Compare(c, c.Input.DeepClone().AsObject(), "");

    public static void Handler(Case c)
    {
        var (dimensions, option) = (c.Input["dimensions"]!, c.Option?.AsObject() ?? []);
        var item = new JsonObject { ["event"] = c.Input["metrics"]!["event"]!.DeepClone(), ["timestamp"] = c.Input["time"]!.DeepClone(), ["dimension"] = dimensions["dimensions"]?.DeepClone() };
        foreach (var name in new[] { "event_name", "target" })
        {
            if (dimensions[name] is { } value)
            {
                item[name] = value.DeepClone();
            }
        }

        Compare(c, item, string.Concat(option.Select(o => $", {o.Key}: {Names(o.Value!)}")));
    }

    /// <summary>A list of keys, which may stand as an object whose keys they are.</summary>
    private static string Names(JsonNode value) =>
        value is JsonObject map ? new JsonArray([.. map.Select(p => (JsonNode)p.Key)]).ToJsonString() : value.ToJsonString();

    private static void Compare(Case c, JsonObject item, string settings)
    {
        var (rows, refused, _) = EtlTests.Run($"{{ type: bk_standard_v2_event{settings} }}", new JsonObject { ["data"] = new JsonArray(item) }.ToJsonString());
        Assert.Equal(c.Records.Count, rows.Count);
        Assert.Equal(1 - c.Records.Count, refused.Length);
        foreach (var (record, row) in c.Records.Zip(rows))
        {
            Assert.Equal(["dimensions", "metrics", "time"], record.Select(p => p.Key).Where(k => k != "exemplar").Order(StringComparer.Ordinal));
            Assert.Equal(Case.Milliseconds(record["time"]!), row["time"]);
            Assert.True(Case.Same(record["dimensions"]!["event_name"], (string)row["event_name"]!));
            Assert.True(Case.Same(record["dimensions"]!["target"], (string)row["target"]!));
            var (wanted, given) = (record["dimensions"]!["dimensions"]!.AsObject(), (IDictionary<string, string>)row["dimensions"]!);
            Assert.All(wanted.Select(d => d.Key).Union(given.Keys), d => Assert.True(Case.Same(wanted[d], given.TryGetValue(d, out var value) ? value : null), d));
            Assert.True(JsonNode.DeepEquals(record["metrics"]!["event"], Body(row, record["metrics"]!["event"]!)), (string)row["event"]!);
            Assert.Single(record["metrics"]!.AsObject());
        }
    }

    /// <summary>The event as it came: its content and count have columns of their own.</summary>
    private static JsonNode Body(Dictionary<string, object?> row, JsonNode wanted)
    {
        var body = JsonNode.Parse((string)row["event"]!)!;
        if (wanted["content"] is not null || (string)row["content"]! != "")
        {
            body["content"] = (string)row["content"]!;
        }

        if (row["count"] is long count)
        {
            body["count"] = JsonNode.Parse(count.ToString(CultureInfo.InvariantCulture));
        }

        return body;
    }
}

/// <summary>Cases of the push entry, of batches and of logs.</summary>
internal static class OtherCases
{
    public static void ProxyRules(Case c)
    {
        var rules = new ProxyRules
        {
            Type = (string?)c.Config?["type"] ?? "",
            Version = (string?)c.Config?["version"] ?? "",
            FutureMax = TimeSpan.FromSeconds((double?)c.Config?["max_future_time_offset"] ?? 3600),
        };

        // The upstream tests run at the time they are run; this one lies behind all times that they accept.
        var now = new DateTimeOffset(2026, 8, 21, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds();
        var isValid = ProxyRequest.TryRead(Encoding.UTF8.GetBytes(c.Input.ToJsonString()), rules, now, out var request, out var error);
        Assert.Equal((bool)c.Expect["valid"]!, isValid);
        if (!isValid)
        {
            Assert.NotEmpty(error!.Message);
            Assert.Contains(error.Reason, RejectReason.All.AsEnumerable());
            return;
        }

        // What is accepted is read by the format it is meant for, without a refusal.
        var type = request!.Type == "event" ? "bk_standard_v2_event" : "bk_standard_v2_time_series";
        var read = request.Records.Select(r => EtlTests.Run($"{{ type: {type} }}", Encoding.UTF8.GetString(r.Span))).ToList();
        Assert.All(read, r => Assert.Empty(r.Refused));
        Assert.NotEmpty(read.SelectMany(r => r.Rows));
    }

    /// <summary>A list made rows of, with the message's fields around each: the json format with 'explode'.</summary>
    public static void FlatBatch(Case c)
    {
        var list = (string?)c.Option?["flat_batch_key"] ?? "items";
        var names = c.Records.SelectMany(r => r.Select(p => p.Key)).Distinct().ToList();
        var fields = names.Select((name, i) => $"c{i}: {{ path: \"{Path(name, list)}\", type: {Type(c, name)}, nullable: true }}");
        var (rows, refused, _) = EtlTests.Run($"{{ type: json, explode: {list}, fields: {{ {string.Join(", ", fields)} }} }}", c.Input.ToJsonString());
        Assert.Empty(refused);
        Assert.Equal(c.Records.Count, rows.Count);
        foreach (var (record, row) in c.Records.Zip(rows))
        {
            Assert.All(names, name => Assert.True(Case.Same(record[name], Text(row[$"c{names.IndexOf(name)}"])), name));
        }
    }

    /// <summary>Upstream's list of fields, as a tree of the clean format.</summary>
    public static void JsonLog(Case c)
    {
        var groups = (string?)c.Config!["option"]?["group_info_alias"] ?? "_private_";
        var (outer, inner) = (new List<string>(), new List<string>());
        foreach (var field in c.Config["result_table_list"]!.AsArray().SelectMany(t => t!["field_list"]!.AsArray()).Where(f => (string?)f!["field_name"] is { Length: > 0 }))
        {
            var name = (string)field!["field_name"]!;
            if (name != "log")
            {
                var alias = (string?)field["alias_name"] is { Length: > 0 } given ? given : name;
                var assignment = $"{{ key: {name}, assign_to: {alias}, type: {((string?)field["type"] is "int" or "uint" ? "long" : (string?)field["type"] == "float" ? "double" : "string")} }}";
                (c.Input[name] is null ? inner : outer).Add(assignment);
            }
        }

        var tree = $$"""
            { type: fun, method: from_json, next: { type: branch, next: [
              { type: assign, subtype: assign_obj, assign: [{{string.Join(", ", outer)}}, { key: {{groups}}, assign_to: group_info }] },
              { type: access, subtype: access_obj, key: _value_, next: { type: fun, method: iterate, next: { type: branch, next: [
                { type: assign, subtype: assign_value, assign: { assign_to: log } },
                { type: fun, method: from_json, next: { type: assign, subtype: assign_obj, assign: [{{string.Join(", ", inner)}}] } } ] } } } ] } }
            """;
        var (rows, refused) = CleanTests.Run(tree, c.Input.ToJsonString());
        Assert.Empty(refused);
        Assert.Equal(c.Records.Count, rows.Count);
        foreach (var record in c.Records)
        {
            // Upstream counts lines from 0, the clean format elements from 1.
            var number = (int)record["metrics"]!["_iteration_idx"]!;
            var row = Assert.Single(rows, r => (int)r["_iteration_idx"]! == number + 1);
            Assert.Equal(["dimensions", "group_info", "metrics"], record.Select(p => p.Key).Order(StringComparer.Ordinal));
            Assert.True(JsonNode.DeepEquals(record["group_info"], JsonNode.Parse((string)row["group_info"]!)));
            foreach (var (name, value) in record["dimensions"]!.AsObject().Concat(record["metrics"]!.AsObject()).Where(p => p.Key != "_iteration_idx"))
            {
                Assert.True(Case.Same(value, Text(row[name])), name);
            }

            var stated = record["dimensions"]!.AsObject().Concat(record["metrics"]!.AsObject()).Select(p => p.Key);
            Assert.Empty(row.Keys.Except(stated).Except(["time", "group_info"]));
        }
    }

    private static string Path(string name, string list) => name == list ? "." : name switch { "bk_cloud_id" => "cloudid", "bk_supplier_id" => "bizid", _ => name };

    private static string Type(Case c, string name) => c.Records.Select(r => r[name]).FirstOrDefault(v => v is not null) switch
    {
        JsonObject or JsonArray => "json",
        JsonValue v when v.TryGetValue<double>(out _) => "float64",
        _ => "text",
    };

    private static string? Text(object? value) => value switch { null => null, bool flag => flag ? "true" : "false", IFormattable f => f.ToString(null, CultureInfo.InvariantCulture), _ => value.ToString() };
}
