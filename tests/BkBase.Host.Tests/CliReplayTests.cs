using System.Text;
using System.Text.Json;
using BkBase.Flows.Connectors.Log;

namespace BkBase.Host.Tests;

/// <summary><c>bkbase replay</c>: what was refused comes into the tables exactly once, its neighbours never again.</summary>
public sealed class CliReplayTests(CliStore store) : IClassFixture<CliStore>
{
    private static readonly long Now = CliFlows.Now;

    [Fact]
    public async Task Only_refused_items_are_written_and_only_once()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("again.yaml", Flow("again", required: true));
        folder.Write(
            "app.ndjson",
            Record(("a0", "1")),
            Record(("b0", "1"), ("b1", null), ("b2", "3")),
            Record(("c0", null), ("c1", null)),
            "not json",
            Record(("drop", null)),
            Record(("same", "1"), ("same", "1"), ("same", null)));
        await RunAsync(folder, "again");
        string[] first = ["a0 1", "b0 1", "b2 3", "same 1", "same 1"];
        Assert.Equal(first, await RowsAsync("again"));

        // By the revision that refused them nothing is new.
        Assert.Equal(["not_json refused 1 0", "missing_field refused 4 0"], await ReplayAsync(folder, "again", "--apply"));
        Assert.Equal(first, await RowsAsync("again"));

        folder.Write("again.yaml", Flow("again", required: false));
        string[] found = ["not_json refused 1 0", "missing_field rows 3 4", "missing_field filtered 1 0"];
        Assert.Equal(found, await ReplayAsync(folder, "again"));
        Assert.Equal(first, await RowsAsync("again"));
        Assert.Equal(found, await ReplayAsync(folder, "again", "--apply"));
        string[] all = ["a0 1", "b0 1", "b1 null", "b2 3", "c0 null", "c1 null", "same 1", "same 1", "same null"];
        Assert.Equal(all, await RowsAsync("again"));

        Assert.Equal(["not_json refused 1 0", "missing_field filtered 1 0", "missing_field done 3 0"], await ReplayAsync(folder, "again", "--apply"));
        await RunAsync(folder, "again");
        Assert.Equal(all, await RowsAsync("again"));
        Assert.Equal(["rows 3"], await store.QueryAsync("SELECT concat(result, ' ', toString(count())) FROM bkbase.replays WHERE flow = 'again' AND result = 'rows' GROUP BY result"));
    }

    [Fact]
    public async Task A_record_whose_old_rows_come_out_otherwise_is_left_alone()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("other.yaml", Flow("other", required: true));
        folder.Write("app.ndjson", Record(("a0", "1"), ("a1", null)), Record(("b0", null)));
        await RunAsync(folder, "other");
        folder.Write("other.yaml", Flow("other", required: false).Replace("msg: { type: text }", "msg: { path: level, type: text }", StringComparison.Ordinal));
        Assert.Equal(["missing_field changed 1 0", "missing_field rows 1 1"], (await ReplayAsync(folder, "other", "--apply")).Order());
        Assert.Equal(["a0 1", "error null"], await RowsAsync("other"));
    }

    [Fact]
    public async Task A_replay_that_is_killed_again_and_again_ends_with_exactly_the_rows()
    {
        Cli.SkipWithoutEngine();
        const int Records = 3000;
        using var folder = new CliFolder();
        folder.Write("torn.yaml", Flow("torn", required: true));
        folder.Write("app.ndjson", [.. Enumerable.Range(0, Records).Select(i => Record(($"m{i}", "1"), ($"n{i}", null)))]);
        await RunAsync(folder, "torn");
        folder.Write("torn.yaml", Flow("torn", required: false));
        for (var kills = 0; kills < 3; kills++)
        {
            using var run = Cli.Start(folder.Path, ["replay", "torn.yaml", "--store", store.Data, "--apply", "--rate", "500"]);
            var before = await CountAsync("torn");
            await run.UntilAsync(async () => await CountAsync("torn") > before);
            run.Kill();
            await run.EndAsync();
        }

        var partly = await CountAsync("torn");
        Assert.InRange(partly, Records + 3, (2 * Records) - 1);
        await ReplayAsync(folder, "torn", "--apply");
        Assert.Equal(["6000\t6000\t3000"], await store.QueryAsync("SELECT count(), uniqExact(msg), countIf(isNull(cost)) FROM bkbase.`2_torn`"));
        Assert.Equal(["missing_field done 3000 0"], await ReplayAsync(folder, "torn", "--apply"));
    }

    [Fact]
    public async Task Where_the_source_is_another_file_now_whole_samples_are_replayed_and_the_rest_is_named()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("gone.yaml", Flow("gone", required: true));
        folder.Write("app.ndjson", Record(("part", "1"), ("lost", null)), Line("whole"), Line(new string('x', 5000)), Line("good", ",\"unit\":\"s\""));
        await RunAsync(folder, "gone");
        folder.Write("app.ndjson", Line("intruder"));
        folder.Write("gone.yaml", Flow("gone", required: false));
        Assert.Equal(["missing_field gone 2 0", "missing_field rows 1 1"], (await ReplayAsync(folder, "gone", "--apply")).Order());
        Assert.Equal(["good null", "part 1", "whole null"], await RowsAsync("gone"));
    }

    [Fact]
    public async Task Records_of_the_embedded_log_are_read_again_at_their_offsets()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var log = EmbeddedLog.Open(new EmbeddedLogOptions(Path.Combine(store.Data, "log")), TimeProvider.System);
        await using (log)
        {
            log.Create("app", 2);
            for (var i = 0; i < 200; i++)
            {
                await log.AppendAsync("app", i % 2, Encoding.UTF8.GetBytes(Record(($"m{i}", "1"), ($"n{i}", i % 10 == 0 ? null : "2"))));
            }
        }

        folder.Write("logged.yaml", Flow("logged", required: true, "type: log, topic: app, bounded: true"));
        await RunAsync(folder, "logged");
        Assert.Equal(380, await CountAsync("logged"));
        folder.Write("logged.yaml", Flow("logged", required: false, "type: log, topic: app, bounded: true"));
        Assert.Equal(["missing_field rows 20 20"], await ReplayAsync(folder, "logged", "--apply"));
        Assert.Equal(["400\t400"], await store.QueryAsync("SELECT count(), uniqExact(msg) FROM bkbase.`2_logged`"));
    }

    [Fact]
    public async Task Without_dead_letters_a_replay_says_so()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("none.yaml", CliFlows.Lines("none"));
        var result = await Cli.RunAsync(folder.Path, "replay", "none.yaml", "--store", store.Data);
        Assert.Equal((0, "nothing was written, and nothing would be\n"), (result.Code, result.Output));
    }

    private static string Flow(string name, bool required, string source = "type: file, path: app.ndjson") => $$"""
        flow: {{name}}
        biz: 2
        sources:
          - { name: lines, {{source}}, etl: { type: json, explode: items, time: { path: ts, unit: ms }, fields: { level: { role: dimension }, cost: { type: float64, nullable: true }, msg: { type: text }{{(required ? ", unit: { type: string }" : "")}} } } }
        nodes:
          - { name: errors, type: filter, where: "msg != 'drop'" }
        sinks:
          - { type: clickhouse, table: {{name}}, ttl: 30d }
        """;

    private static string Record(params (string Message, string? Cost)[] items) =>
        $$"""{"items":[{{string.Join(',', items.Select(i => $$"""{"ts":{{Now}},"level":"error","msg":"{{i.Message}}"{{(i.Cost is null ? "" : $",\"cost\":{i.Cost},\"unit\":\"ms\"")}}}"""))}}]}""";

    private static string Line(string message, string more = "") => $$"""{"ts":{{Now}},"level":"error","msg":"{{message}}"{{more}}}""";

    private async Task RunAsync(CliFolder folder, string flow)
    {
        var run = await Cli.RunAsync(folder.Path, "run", $"{flow}.yaml", "--store", store.Data);
        Assert.True(run.Code == 0, run.ToString());
    }

    private async Task<string[]> ReplayAsync(CliFolder folder, string flow, params string[] more)
    {
        var replay = await Cli.RunAsync(folder.Path, ["replay", $"{flow}.yaml", "--store", store.Data, "--json", .. more]);
        Assert.True(replay.Code == 0, replay.ToString());
        using var json = JsonDocument.Parse(replay.Output);
        return [.. json.RootElement.GetProperty("results").EnumerateArray()
            .Select(r => $"{r.GetProperty("reason").GetString()} {r.GetProperty("result").GetString()} {r.GetProperty("records").GetInt64()} {r.GetProperty("rows").GetInt64()}")
            .OrderDescending(StringComparer.Ordinal)];
    }

    private async Task<string[]> RowsAsync(string table) => await store.QueryAsync($"SELECT concat(msg, ' ', ifNull(toString(cost), 'null')) FROM bkbase.`2_{table}` ORDER BY 1");

    private async Task<long> CountAsync(string table) =>
        long.Parse((await store.QueryAsync($"SELECT count() FROM bkbase.`2_{table}`"))[0], System.Globalization.CultureInfo.InvariantCulture);
}
