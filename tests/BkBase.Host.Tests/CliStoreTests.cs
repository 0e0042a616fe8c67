using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using BkBase.Flows.Connectors.Tests.Kafka;

namespace BkBase.Host.Tests;

/// <summary>Stores that are down, go away, refuse, are full, or are somebody else's.</summary>
public sealed class CliStoreTests(CliStore store) : IClassFixture<CliStore>
{
    [Fact]
    public async Task A_store_that_is_down_at_start_is_waited_for_and_said()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("down.yaml", CliFlows.Lines("down"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        var port = Cli.FreePort();
        using var run = Cli.Start(folder.Path, ["run", "down.yaml", "--clickhouse", $"http://127.0.0.1:{port}"]);
        await run.UntilAsync(() => run.Error.Contains($"the store at 127.0.0.1:{port} does not take this now (tables of the flow): Connection refused", StringComparison.Ordinal));
        using var late = Cli.Start(folder.Path, ["store", "--data", "late", "--port", $"{port}"]);
        var result = await run.EndAsync();
        Assert.True(result.Code == 0, result.ToString());
        Assert.Contains("bkbase.2_down: 1 rows from errors", result.Output, StringComparison.Ordinal);
        Assert.Equal(0, (await late.TerminateAsync()).Code);
    }

    [Fact]
    public async Task A_store_killed_in_the_middle_is_started_again_and_no_row_is_lost_or_doubled()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        const int Rows = 300_000;
        folder.Write("kill.yaml", CliFlows.Lines("kill") + "\nlimits: { block_rows: 10000 }");
        folder.Write("app.ndjson", [.. Enumerable.Range(0, Rows).Select(i => CliFlows.Line(CliFlows.Now - Rows + i, "m" + i, cost: $"{i}"))]);
        using var run = Cli.Start(folder.Path, ["run", "kill.yaml", "--store", "data"]);
        var data = Path.Combine(folder.Path, "data");
        Store.StoreOwner? owner = null;
        await run.UntilAsync(async () => (owner = Store.StoreOwner.Read(data)) is { Address.Length: > 0 } && await CountAsync(owner.Address, "bkbase.`2_kill`") > 0);
        Assert.Equal(0, Cli.Kill(owner!.Pid, 9));
        var result = await run.EndAsync();
        Assert.True(result.Code == 0, result.ToString());
        Assert.Contains("the store's process ended (exit code 137); it is started again, nothing is lost", result.Error, StringComparison.Ordinal);
        Assert.Contains($"bkbase.2_kill: {Rows} rows from errors", result.Output, StringComparison.Ordinal);
        var query = await Cli.RunAsync(folder.Path, "query", "SELECT count() AS n, uniqExact(cost) AS u FROM bkbase.`2_kill`", "--store", "data");
        Assert.Equal($"n\tu\n{Rows}\t{Rows}\n", query.Output);
    }

    [Theory]
    [InlineData("query", "SELECT 1")]
    [InlineData("run", "pass.yaml")]
    public async Task A_wrong_password_names_user_and_store_and_never_the_password(string verb, string argument)
    {
        using var folder = new CliFolder();
        folder.Write("pass.yaml", CliFlows.Lines("pass"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        using var refusing = new HttpListener();
        var port = Cli.FreePort();
        refusing.Prefixes.Add($"http://127.0.0.1:{port}/");
        refusing.Start();
        _ = Task.Run(() => RefuseAsync(refusing), TestContext.Current.CancellationToken);
        var result = await Cli.RunAsync(folder.Path, verb, argument, "--clickhouse", $"http://writer:s3cret@127.0.0.1:{port}");
        Assert.Equal(1, result.Code);
        Assert.Contains($"the store at 127.0.0.1:{port} refuses user 'writer' (code 516): check user and password", result.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", result.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_table_with_another_schema_is_left_alone_and_the_way_out_is_said()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        await store.ExecuteAsync("CREATE DATABASE IF NOT EXISTS bkbase");
        await store.ExecuteAsync("CREATE TABLE bkbase.`2_typed` (time DateTime64(3, 'UTC'), level Int32, _block UInt64) ENGINE = MergeTree ORDER BY time");
        await store.ExecuteAsync("CREATE TABLE bkbase.`2_alien` (a Int32) ENGINE = MergeTree ORDER BY a");
        folder.Write("typed.yaml", CliFlows.Lines("typed"));
        folder.Write("alien.yaml", CliFlows.Lines("alien"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        var typed = await Cli.RunAsync(folder.Path, "run", "typed.yaml", "--store", store.Data);
        Assert.Equal(1, typed.Code);
        Assert.Contains("table bkbase.2_typed: column 'level' has type Int32, the flow wants LowCardinality(String); give the column another name", typed.Error, StringComparison.Ordinal);
        var alien = await Cli.RunAsync(folder.Path, "run", "alien.yaml", "--store", store.Data);
        Assert.Equal(1, alien.Code);
        Assert.Contains("table bkbase.2_alien is there already and is none of ours: it has no column 'time', only a; give the sink another table", alien.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_run_goes_on_where_the_tables_end()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("twice.yaml", CliFlows.Lines("twice"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        folder.Write("more.ndjson", CliFlows.Line(CliFlows.Now, "b"));
        foreach (var input in new[] { "app.ndjson", "app.ndjson", "more.ndjson", "app.ndjson" })
        {
            var run = await Cli.RunAsync(folder.Path, "run", "twice.yaml", "--input", input, "--store", store.Data);
            Assert.True(run.Code == 0, run.ToString());
        }

        Assert.Equal(["a", "b"], await store.QueryAsync("SELECT msg FROM bkbase.`2_twice` ORDER BY msg"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"), CliFlows.Line(CliFlows.Now, "c"));
        var changed = await Cli.RunAsync(folder.Path, "run", "twice.yaml", "--input", "app.ndjson", "--store", store.Data);
        Assert.Equal(1, changed.Code);
        Assert.Contains("is not the file that flow twice began to read", changed.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Rows_that_no_checkpoint_accounts_for_are_not_written_beside_unless_told()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("foreign.yaml", CliFlows.Lines("foreign"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "foreign.yaml", "--store", store.Data)).Code);
        Directory.Delete(Path.Combine(store.Data, "checkpoints", "tasks", "foreign"), recursive: true);
        var second = await Cli.RunAsync(folder.Path, "run", "foreign.yaml", "--store", store.Data);
        Assert.Equal(1, second.Code);
        Assert.Contains("2_foreign hold rows that no checkpoint of flow 'foreign'", second.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "foreign.yaml", "--store", store.Data, "--append")).Code);
        Assert.Equal(["a", "a"], await store.QueryAsync("SELECT msg FROM bkbase.`2_foreign`"));
    }

    // The seed is printed; BKBASE_SEED replays it.
    [Fact]
    public async Task A_run_that_is_killed_again_and_again_ends_with_exactly_the_rows_of_its_file()
    {
        Cli.SkipWithoutEngine();
        const int Records = 400_000;
        var seed = int.TryParse(Environment.GetEnvironmentVariable("BKBASE_SEED"), System.Globalization.CultureInfo.InvariantCulture, out var given) ? given : 11;
        var random = new Random(seed);
        using var folder = new CliFolder();
        folder.Write("killed.yaml", CliFlows.Lines("killed") + "\nlimits: { block_rows: 1000 }\n");
        folder.Write("app.ndjson", [.. Enumerable.Range(0, Records).Select(i => i % 1000 == 7 ? $"broken {i}" : CliFlows.Line(CliFlows.Now - (i % 3 * 86_400_000L), $"m{i}"))]);
        var kills = 0;
        for (var run = 0; run < 8; run++)
        {
            using var process = Cli.Start(folder.Path, ["run", "killed.yaml", "--store", store.Data]);
            var exited = process.Exited;
            if (await Task.WhenAny(exited, Task.Delay(random.Next(400, 1800), TestContext.Current.CancellationToken)) == exited)
            {
                break;
            }

            process.Kill();
            await exited;
            kills++;
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"BKBASE_SEED={seed}, {kills} kills");
        Assert.True(kills > 2, $"BKBASE_SEED={seed}: only {kills} kills, the test proves nothing");
        var last = await Cli.RunAsync(folder.Path, "run", "killed.yaml", "--store", store.Data);
        Assert.True(last.Code == 0, last.ToString());
        var good = Records - (Records / 1000);
        Assert.Equal([$"{good}\t{good}"], await store.QueryAsync("SELECT count(), uniqExact(msg) FROM bkbase.`2_killed`"));
        Assert.Equal([$"{Records / 1000}\t{Records / 1000}"], await store.QueryAsync("SELECT count(), uniqExact(offset) FROM bkbase.dead_letters WHERE flow = 'killed'"));
    }

    [Fact]
    public async Task A_second_store_on_one_directory_and_a_port_in_use_are_refused_with_what_to_do()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var second = await Cli.RunAsync(folder.Path, "store", "--data", store.Data);
        Assert.Equal(1, second.Code);
        Assert.Contains($"data directory '{store.Data}' is in use by process", second.Error, StringComparison.Ordinal);
        Assert.Contains($"serving {store.Address}; use that address or stop it", second.Error, StringComparison.Ordinal);

        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var busy = await Cli.RunAsync(folder.Path, "store", "--data", "busy", "--port", $"{port}");
        Assert.Equal(1, busy.Code);
        Assert.Contains($"http://127.0.0.1:{port}: address already in use", busy.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_embedded_log_is_one_process_at_a_time_and_a_missing_topic_is_said()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("log.yaml", CliFlows.Lines("log", "type: log, topic: nosuch"));
        using var first = Cli.Start(folder.Path, ["run", "log.yaml", "--store", store.Data]);
        await first.UntilAsync(() => first.Error.Contains("topic 'nosuch' of source 'lines' does not exist in the embedded log", StringComparison.Ordinal));
        var second = await Cli.RunAsync(folder.Path, "run", "log.yaml", "--store", store.Data);
        Assert.Equal(1, second.Code);
        Assert.Contains("is open in another process; stop that one, or choose another folder", second.Error, StringComparison.Ordinal);

        // Files do not need the log: another flow runs beside it.
        folder.Write("beside.yaml", CliFlows.Lines("beside"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "beside.yaml", "--store", store.Data)).Code);
        Assert.Equal(0, (await first.TerminateAsync()).Code);
    }

    [Fact]
    public async Task A_broker_that_is_not_there_is_said_and_waited_for()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("kafka.yaml", CliFlows.Lines("kafka", "type: kafka, topic: nosuch"));
        using var run = Cli.Start(folder.Path, ["run", "kafka.yaml", "--store", store.Data, "--kafka", "127.0.0.1:1"]);
        await run.UntilAsync(() => run.Error.Contains("kafka/lines: Kafka at 127.0.0.1:1 cannot be reached", StringComparison.Ordinal));
        Assert.Equal(0, (await run.TerminateAsync()).Code);
    }

    [Fact]
    public async Task A_kafka_topic_that_does_not_exist_is_said_and_waited_for()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        using var kafka = new MockKafka();
        kafka.Create("other", 1);
        folder.Write("topic.yaml", CliFlows.Lines("topic", "type: kafka, topic: nosuch"));
        using var run = Cli.Start(folder.Path, ["run", "topic.yaml", "--store", store.Data, "--kafka", kafka.Bootstrap]);
        await run.UntilAsync(() => run.Error.Contains($"topic/lines: topic nosuch does not exist at {kafka.Bootstrap}", StringComparison.Ordinal));
        Assert.Equal(0, (await run.TerminateAsync()).Code);
    }

    [Theory]
    [InlineData("query", "SELECT 1")]
    [InlineData("run", "f.yaml")]
    [InlineData("store", "--data")]
    public async Task Without_the_engine_the_three_ways_out_are_said(string verb, string argument)
    {
        using var folder = new CliFolder();
        folder.Write("f.yaml", CliFlows.Lines("f"));
        folder.Write("app.ndjson", CliFlows.Line(CliFlows.Now, "a"));
        string[] words = verb == "store" ? [verb, argument, "data"] : [verb, argument, "--store", "data"];
        using var run = Cli.Start(folder.Path, words, new Dictionary<string, string> { ["BKBASE_LIBCHDB"] = Path.Combine(folder.Path, "nowhere.so") });
        var result = await run.EndAsync();
        Assert.Equal(1, result.Code);
        Assert.Contains("Use a ClickHouse server, or set BKBASE_LIBCHDB to the full path of libchdb.so, or install Node.js with npm", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_full_disk_is_said_and_waited_for_and_no_row_is_lost()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var disk = Directory.CreateDirectory(Path.Combine(folder.Path, "disk")).FullName;
        var refusal = await MountAsync("-t", "tmpfs", "-o", "size=40m", "tmpfs", disk);
        Assert.SkipWhen(refusal is not null, $"needs the right to mount a small file system: {refusal}");
        try
        {
            const int Rows = 120_000;
            folder.Write("full.yaml", CliFlows.Lines("full"));
            var random = new Random(1);
            var text = new byte[60]; // random, so that the rows do not shrink to what is free
            folder.Write("app.ndjson", [.. Enumerable.Range(0, Rows).Select(i =>
            {
                random.NextBytes(text);
                return CliFlows.Line(CliFlows.Now - Rows + i, Convert.ToHexString(text), cost: $"{i}");
            })]);
            var filler = Path.Combine(disk, "filler");
            await File.WriteAllBytesAsync(filler, new byte[37 << 20], TestContext.Current.CancellationToken);
            using var run = Cli.Start(folder.Path, ["run", "full.yaml", "--store", Path.Combine(disk, "data")]);
            await run.UntilAsync(() => run.Error.Contains("not enough space", StringComparison.Ordinal) || run.Error.Contains("No space left", StringComparison.Ordinal));
            Assert.Contains("does not take this now (insert into bkbase.2_full)", run.Error, StringComparison.Ordinal);
            File.Delete(filler);
            var result = await run.EndAsync();
            Assert.True(result.Code == 0, result.ToString());
            Assert.Contains($"bkbase.2_full: {Rows} rows from errors", result.Output, StringComparison.Ordinal);
        }
        finally
        {
            using var unmount = Process.Start("umount", ["-l", disk]);
            await unmount.WaitForExitAsync(CancellationToken.None);
        }
    }

    /// <summary>Rows of a table; 0 when there is none, or no store yet.</summary>
    private static async Task<long> CountAsync(string address, string table)
    {
        try
        {
            using var client = new HttpClient();
            using var answer = await client.PostAsync(new Uri(address), new StringContent($"SELECT count() FROM {table}"), TestContext.Current.CancellationToken);
            return answer.IsSuccessStatusCode ? long.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken), System.Globalization.CultureInfo.InvariantCulture) : 0;
        }
        catch (HttpRequestException)
        {
            return 0;
        }
    }

    /// <summary>Null when it is mounted, else why not.</summary>
    private static async Task<string?> MountAsync(params string[] args)
    {
        try
        {
            using var mount = Process.Start(new ProcessStartInfo("mount", args) { RedirectStandardError = true, UseShellExecute = false })!;
            var error = await mount.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            await mount.WaitForExitAsync(TestContext.Current.CancellationToken);
            return mount.ExitCode == 0 ? null : error.Trim();
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            return e.Message;
        }
    }

    private static async Task RefuseAsync(HttpListener listener)
    {
        try
        {
            while (true)
            {
                var context = await listener.GetContextAsync();
                context.Response.StatusCode = 403;
                context.Response.Headers["X-ClickHouse-Exception-Code"] = "516";
                await context.Response.OutputStream.WriteAsync(Encoding.UTF8.GetBytes("Code: 516. DB::Exception: writer: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"));
                context.Response.Close();
            }
        }
        catch (Exception e) when (e is HttpListenerException or ObjectDisposedException)
        {
            // The test is over.
        }
    }
}
