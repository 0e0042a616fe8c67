using System.Text.Json;

namespace BkBase.Host.Tests;

/// <summary>Tables stay exact, and are proved to be, whatever becomes of the processes, the store and the checkpoints.</summary>
public sealed class DeliveryTests(CliStore store) : IClassFixture<CliStore>
{
    private const int SigKill = 9;
    private const int SigCont = 18;
    private const int SigStop = 19;
    private const int Records = 300_000;

    [Fact]
    public async Task The_later_of_two_runs_takes_over_and_the_earlier_ends_with_a_clear_message()
    {
        Cli.SkipWithoutEngine();
        using var folder = Folder("taken");
        using var first = Cli.Start(folder.Path, ["run", "taken.yaml", "--store", store.Data]);
        await first.UntilAsync(async () => await CountAsync("taken") > 0);
        var second = await Cli.RunAsync(folder.Path, "run", "taken.yaml", "--store", store.Data);
        Assert.True(second.Code == 0, second.ToString());
        await AssertFencedAsync(first, "taken");
        await AssertExactAsync(folder, "taken");
    }

    [Fact]
    public async Task A_run_that_was_stopped_and_wakes_after_its_successor_has_ended_writes_nothing_more()
    {
        Cli.SkipWithoutEngine();
        using var folder = Folder("zombie");
        using var first = Cli.Start(folder.Path, ["run", "zombie.yaml", "--store", store.Data]);
        await first.UntilAsync(async () => await CountAsync("zombie") > 0);
        first.Signal(SigStop);
        var second = await Cli.RunAsync(folder.Path, "run", "zombie.yaml", "--store", store.Data);
        Assert.True(second.Code == 0, second.ToString());
        await AssertExactAsync(folder, "zombie");
        first.Signal(SigCont);
        await AssertFencedAsync(first, "zombie");
        await AssertExactAsync(folder, "zombie");
    }

    // The seed is printed; BKBASE_SEED replays it.
    [Fact]
    public async Task Kills_of_the_store_of_the_run_and_of_both_leave_tables_exact()
    {
        Cli.SkipWithoutEngine();
        var seed = int.TryParse(Environment.GetEnvironmentVariable("BKBASE_SEED"), System.Globalization.CultureInfo.InvariantCulture, out var given) ? given : 5;
        var random = new Random(seed);
        using var folder = Folder("both");
        var data = Path.Combine(folder.Path, "data");
        var (storeKills, bothKills) = (0, 0);
        for (var run = 0; run < 4; run++)
        {
            using var process = Cli.Start(folder.Path, ["run", "both.yaml", "--store", "data"]);
            var exited = process.Exited;
            for (var kill = 0; kill < 3 && !exited.IsCompleted; kill++)
            {
                await Task.WhenAny(exited, Task.Delay(random.Next(500, 3000), TestContext.Current.CancellationToken));
                var isBoth = kill == 2 && !exited.IsCompleted;
                if (Store.StoreOwner.Read(data) is { Address.Length: > 0 } owner && Cli.Kill(owner.Pid, SigKill) == 0)
                {
                    storeKills++;
                    bothKills += isBoth ? 1 : 0;
                }

                if (isBoth)
                {
                    process.Kill();
                }
            }

            await process.EndAsync();
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"BKBASE_SEED={seed}: {storeKills} kills of the store, {bothKills} of both");
        Assert.True(storeKills > 2 && bothKills > 0, $"BKBASE_SEED={seed}: only {storeKills} kills of the store and {bothKills} of both, the test proves nothing");
        var last = await Cli.RunAsync(folder.Path, "run", "both.yaml", "--store", "data");
        Assert.True(last.Code == 0, last.ToString());
        var audit = await Cli.RunAsync(folder.Path, "audit", "both", "--store", "data");
        Assert.True(audit.Code == 0, audit.ToString());
        var query = await Cli.RunAsync(folder.Path, "query", "SELECT count(), uniqExact(msg) FROM bkbase.`2_both`", "--store", "data", "--format", "TSV");
        Assert.Equal($"{Records}\t{Records}\n", query.Output);
    }

    [Fact]
    public async Task A_store_restored_to_yesterday_fails_the_flow_until_the_loss_is_accepted()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("restored.yaml", CliFlows.Lines("restored"));
        foreach (var input in new[] { "old", "lost", "new" })
        {
            folder.Write($"{input}.ndjson", CliFlows.Line(CliFlows.Now, input));
        }

        Assert.Equal(0, (await RunAsync("old")).Code);
        await store.ExecuteAsync("CREATE TABLE bkbase.yesterday CLONE AS bkbase.`2_restored`");
        Assert.Equal(0, (await RunAsync("lost")).Code);
        Assert.Equal(0, (await AuditAsync()).Code);
        await store.ExecuteAsync("EXCHANGE TABLES bkbase.yesterday AND bkbase.`2_restored`");
        for (var i = 0; i < 2; i++)
        {
            var refused = await RunAsync("new");
            Assert.Equal(1, refused.Code);
            Assert.Contains("flow restored: restored/lines/0@", refused.Error, StringComparison.Ordinal);
            Assert.Contains("2_restored holds no row of block", refused.Error, StringComparison.Ordinal);
            Assert.Contains("say 'bkbase audit restored --accept-loss'", refused.Error, StringComparison.Ordinal);
        }

        var audit = await AuditAsync("--json");
        Assert.Equal(1, audit.Code);
        using (var json = JsonDocument.Parse(audit.Output))
        {
            var finding = Assert.Single(json.RootElement.GetProperty("findings").EnumerateArray());
            Assert.Equal(("missing", "2_restored", 1, 0), (finding.GetProperty("fault").GetString(), finding.GetProperty("table").GetString(), finding.GetProperty("recorded").GetInt32(), finding.GetProperty("found").GetInt32()));
        }

        Assert.Equal(0, (await AuditAsync("--accept-loss")).Code);
        var again = await RunAsync("new");
        Assert.True(again.Code == 0, again.ToString());
        Assert.Equal(["new", "old"], await store.QueryAsync("SELECT msg FROM bkbase.`2_restored` ORDER BY msg"));
        Assert.Equal(0, (await AuditAsync()).Code);

        Task<CliResult> RunAsync(string input) => Cli.RunAsync(folder.Path, "run", "restored.yaml", "--input", $"{input}.ndjson", "--store", store.Data);

        Task<CliResult> AuditAsync(params string[] options) => Cli.RunAsync(folder.Path, ["audit", "restored.yaml", "--store", store.Data, .. options]);
    }

    [Fact]
    public async Task Rows_that_are_gone_or_double_are_named_by_the_audit()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("changed.yaml", CliFlows.Lines("changed"));
        folder.Write("app.ndjson", [.. Enumerable.Range(0, 10).Select(i => CliFlows.Line(CliFlows.Now, $"m{i}"))]);
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "changed.yaml", "--store", store.Data)).Code);
        await store.ExecuteAsync("DELETE FROM bkbase.`2_changed` WHERE msg = 'm3'");
        var less = await Cli.RunAsync(folder.Path, "audit", "changed", "--store", store.Data);
        Assert.Equal(1, less.Code);
        Assert.Contains("PARTIAL changed/lines/0@", less.Output, StringComparison.Ordinal);
        Assert.Contains("2_changed holds only 9 rows of block", less.Output, StringComparison.Ordinal);
        await store.ExecuteAsync("INSERT INTO bkbase.`2_changed` SELECT * FROM bkbase.`2_changed`");
        var more = await Cli.RunAsync(folder.Path, "audit", "changed", "--store", store.Data);
        Assert.Equal(1, more.Code);
        Assert.Contains("2_changed holds 18 rows of block", more.Output, StringComparison.Ordinal);
        var unknown = await Cli.RunAsync(folder.Path, "audit", "nosuch", "--store", store.Data);
        Assert.Equal(1, unknown.Code);
        Assert.Contains("flow 'nosuch' has no checkpoint in", unknown.Error, StringComparison.Ordinal);
        var nowhere = await Cli.RunAsync(folder.Path, "audit", "changed", "--store", "nowhere");
        Assert.Equal(1, nowhere.Code);
        Assert.Contains("no flow ran with --store nowhere", nowhere.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Path.Combine(folder.Path, "nowhere")));
    }

    [Theory]
    [InlineData("damaged", "is damaged: its checksum does not fit")]
    [InlineData("cut", "is damaged: its checksum does not fit")]
    [InlineData("empty", "is not a checkpoint record (0 bytes")]
    [InlineData("alien", "is not a checkpoint record")]
    [InlineData("newer", "has version 2; this program reads up to 1: run the program that wrote it, or a newer one")]
    [InlineData("foreign", "a foreign file stands in its place")]
    public async Task A_checkpoint_that_cannot_be_used_is_named_with_the_way_out_and_nothing_is_written(string how, string why)
    {
        Cli.SkipWithoutEngine();
        var name = $"bad_{how}";
        using var folder = new CliFolder();
        folder.Write($"{name}.yaml", CliFlows.Lines(name));
        folder.Write("other.yaml", CliFlows.Lines($"{name}_other"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        foreach (var flow in new[] { name, "other" })
        {
            Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", $"{flow}.yaml", "--store", store.Data)).Code);
        }

        var file = RecordOf(name);
        var bytes = await File.ReadAllBytesAsync(file, TestContext.Current.CancellationToken);
        switch (how)
        {
            case "damaged":
                bytes[^5] ^= 1;
                break;
            case "newer":
                bytes[4]++;
                break;
            default:
                bytes = how switch
                {
                    "cut" => bytes[..^20],
                    "empty" => [],
                    "alien" => "something else altogether"u8.ToArray(),
                    _ => await File.ReadAllBytesAsync(RecordOf($"{name}_other"), TestContext.Current.CancellationToken),
                };
                break;
        }

        await File.WriteAllBytesAsync(file, bytes, TestContext.Current.CancellationToken);
        foreach (var verb in new[] { "run", "audit" })
        {
            var result = await Cli.RunAsync(folder.Path, verb, $"{name}.yaml", "--store", store.Data);
            Assert.Equal(1, result.Code);
            Assert.Contains($"checkpoint of {name}/lines/0@", result.Error, StringComparison.Ordinal);
            Assert.Contains(file, result.Error, StringComparison.Ordinal);
            Assert.Contains(why, result.Error, StringComparison.Ordinal);
            Assert.DoesNotContain("please report", result.Error, StringComparison.Ordinal);
        }

        Assert.Equal(["1"], await store.QueryAsync($"SELECT count() FROM bkbase.`2_{name}`"));
    }

    private static CliFolder Folder(string name)
    {
        var folder = new CliFolder();
        folder.Write($"{name}.yaml", CliFlows.Lines(name) + "\nlimits: { block_rows: 1000 }\n");
        folder.Write("app.ndjson", [.. Enumerable.Range(0, Records).Select(i => CliFlows.Line(CliFlows.Now - (i % 3 * 86_400_000L), $"m{i}"))]);
        return folder;
    }

    private string RecordOf(string flow) => Directory.EnumerateFiles(Path.Combine(store.Data, "checkpoints", "tasks", flow), "*.ckpt", SearchOption.AllDirectories).Max(StringComparer.Ordinal)!;

    private static async Task AssertFencedAsync(CliRun run, string flow)
    {
        var result = await run.EndAsync();
        Assert.True(result.Code == 1, result.ToString());
        Assert.Contains($"bkbase: {flow}/lines/0@", result.Error, StringComparison.Ordinal);
        Assert.Contains("has another owner now; this process writes no more of it", result.Error, StringComparison.Ordinal);
    }

    private async Task AssertExactAsync(CliFolder folder, string flow)
    {
        Assert.Equal([$"{Records}\t{Records}"], await store.QueryAsync($"SELECT count(), uniqExact(msg) FROM bkbase.`2_{flow}`"));
        var audit = await Cli.RunAsync(folder.Path, "audit", $"{flow}.yaml", "--store", store.Data);
        Assert.True(audit.Code == 0, audit.ToString());
        Assert.Contains("exact", audit.Output, StringComparison.Ordinal);
    }

    private async Task<long> CountAsync(string flow)
    {
        var found = await store.QueryAsync($"SELECT coalesce(sum(total_rows), 0) FROM system.tables WHERE database = 'bkbase' AND name = '2_{flow}'");
        return long.Parse(found[0], System.Globalization.CultureInfo.InvariantCulture);
    }
}
