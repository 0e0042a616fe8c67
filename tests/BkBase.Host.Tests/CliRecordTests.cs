using System.Text.Json;

namespace BkBase.Host.Tests;

/// <summary>Bad records: each becomes a row of the dead letters, the rest goes on.</summary>
public sealed class CliRecordTests(CliStore store) : IClassFixture<CliStore>
{
    [Fact]
    public async Task Every_bad_record_is_a_dead_letter_with_reason_path_and_position_and_its_neighbours_stay()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var now = CliFlows.Now;
        var deep = string.Concat(Enumerable.Repeat("{\"a\":", 1000)) + "1" + new string('}', 1000);
        (string Line, string Reason, string Path, string Message)[] bad =
        [
            ("not json at all", "not_json", "", "a record is one JSON object"),
            ($$"""{"ts":{{now}},"level":"error" """, "not_json", "", "a record is one JSON object"),
            (deep, "too_deep", "", "nested at most"),
            (CliFlows.Line(now, new string('x', 10_000_000)), "too_large", "", "limits.record is 8388608"),
            (CliFlows.Line(now, "nan", cost: "NaN"), "not_json", "", "a record is one JSON object"),
            (CliFlows.Line(now, "infinite", cost: "1e999"), "wrong_type", "cost", "'cost'"),
            (CliFlows.Line(now, "text", cost: "\"abc\""), "wrong_type", "cost", "'cost'"),
            (CliFlows.Line(now / 1000, "seconds"), "bad_time", "time", "1970-01-"),
            (CliFlows.Line(now * 1000, "microseconds"), "bad_time", "ts", ""),
            (CliFlows.Line(now + 86_400_000, "a day ahead"), "future_time", "time", "a wrong clock, zone or unit?"),
            ("""{"level":"error","cost":1,"msg":"no time"}""", "bad_time", "ts", ""),
        ];
        folder.Write("bad.yaml", CliFlows.Lines("bad"));
        folder.Write("app.ndjson", [CliFlows.Line(now, "first"), .. bad.Select(b => b.Line), CliFlows.Line(now, "info", "info"), CliFlows.Line(now, "last")]);

        var result = await Cli.RunAsync(folder.Path, "run", "bad.yaml", "--store", store.Data, "--json");
        Assert.True(result.Code == 0, result.ToString());

        // Conservation, from the figures alone.
        using var json = JsonDocument.Parse(result.Output);
        var root = json.RootElement;
        Assert.Equal((bad.Length + 3L, 1L, (long)bad.Length, true),
            (root.GetProperty("records").GetInt64(), root.GetProperty("filtered").GetInt64(), root.GetProperty("rejected").GetInt64(), root.GetProperty("balanced").GetBoolean()));
        foreach (var n in root.GetProperty("nodes").EnumerateArray())
        {
            Assert.Equal(Of(n, "in") + Of(n, "made"), Of(n, "out") + Of(n, "filtered") + Of(n, "rejected"));
        }

        // A bad optional field costs the field, not its row.
        Assert.Equal(4, root.GetProperty("tables")[0].GetProperty("rows").GetInt64());
        Assert.Equal(["first", "infinite", "last", "text"], await store.QueryAsync("SELECT msg FROM bkbase.`2_bad` ORDER BY msg"));

        var letters = (await store.QueryAsync("SELECT reason, path, message, offset, length(sample), abs(dateDiff('minute', time, now64())) < 10, node FROM bkbase.dead_letters WHERE flow = 'bad' ORDER BY offset"))
            .Select(l => l.Split('\t')).ToList();
        Assert.Equal(bad.Length, letters.Count);
        var lines = await File.ReadAllLinesAsync(Path.Combine(folder.Path, "app.ndjson"), TestContext.Current.CancellationToken);
        for (var i = 0; i < bad.Length; i++)
        {
            Assert.Equal((bad[i].Reason, bad[i].Path, "lines", "1"), (letters[i][0], letters[i][1], letters[i][6], letters[i][5]));
            Assert.Contains(bad[i].Message, letters[i][2].Replace("\\'", "'", StringComparison.Ordinal), StringComparison.Ordinal);
            Assert.Equal(lines.Take(i + 1).Sum(l => l.Length + 1L).ToString(System.Globalization.CultureInfo.InvariantCulture), letters[i][3]);
            Assert.Equal(Math.Min(4096, bad[i].Line.Length).ToString(System.Globalization.CultureInfo.InvariantCulture), letters[i][4]);
        }

        static long Of(JsonElement node, string name) => node.GetProperty(name).GetInt64();
    }

    [Fact]
    public async Task The_summary_says_where_every_record_went()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("plain.yaml", CliFlows.Lines("plain"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"), CliFlows.Line(CliFlows.Now, "b", "info"), "nonsense");
        var result = await Cli.RunAsync(folder.Path, "run", "plain.yaml", "--store", store.Data);
        Assert.Equal(
            [
                "lines                3 in + 0 made = 2 out + 0 filtered + 1 rejected",
                "errors               2 in + 0 made = 1 out + 1 filtered + 0 rejected",
                "bkbase.2_plain: 1 rows from errors",
                "bkbase.dead_letters: 1 rows, one per refusal: SELECT reason, path, message, sample FROM bkbase.dead_letters WHERE flow = 'plain'",
                "balanced: every record and row is accounted for",
            ],
            result.Output.TrimEnd().Split('\n'));
        Assert.DoesNotContain("balanced", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rows_that_the_tables_ttl_drops_are_said()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("old.yaml", CliFlows.Lines("old"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now - (40L * 86_400_000), "old"), CliFlows.Line(CliFlows.Now, "new"));
        var result = await Cli.RunAsync(folder.Path, "run", "old.yaml", "--store", store.Data);
        Assert.Equal(0, result.Code);
        Assert.Contains("bkbase.2_old: 2 rows from errors\n  1 of them are older than the table's ttl", result.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Dead_letters_have_a_ttl()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("ttl.yaml", CliFlows.Lines("ttl"));
        folder.Write("app.ndjson", "nonsense");
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "ttl.yaml", "--store", store.Data)).Code);
        Assert.Contains("TTL toDateTime(time) + toIntervalDay(30)", (await store.QueryAsync("SELECT engine_full FROM system.tables WHERE name = 'dead_letters'"))[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exploding_patterns_of_a_user_end_in_time_and_the_flow_goes_on()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("rx.yaml", CliFlows.Lines("rx").Replace("level = 'error'", "regexp_match(msg, '^(a+)+$') or regexp_match(msg, '(a|aa)+b$') or msg = 'last'", StringComparison.Ordinal));
        folder.Write("app.ndjson", [.. Enumerable.Repeat(CliFlows.Line(CliFlows.Now, new string('a', 20_000) + "!"), 200), CliFlows.Line(CliFlows.Now, "last")]);
        var result = await Cli.RunAsync(folder.Path, "run", "rx.yaml", "--store", store.Data);
        Assert.True(result.Code == 0, result.ToString());
        Assert.Equal(["last"], await store.QueryAsync("SELECT msg FROM bkbase.`2_rx`"));
    }
}
