using System.Globalization;
using System.IO.Compression;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using BkBase.Store;

namespace BkBase.Host.Tests;

/// <summary><c>bkbase up</c> as users run it: a process, its HTTP side, its store, its signals.</summary>
public sealed class UpProcessTests
{
    [Fact]
    public async Task Posted_lines_and_push_bodies_become_rows_and_the_figures_agree()
    {
        var folder = new UpFolder().WithLines("a", "lines").With("m", """
            flow: m
            biz: 2
            sources:
              - { name: m, type: kafka, topic: push, etl: { type: bk_standard_v2_time_series, dimensions: [host] } }
            sinks:
              - { type: clickhouse, from: m, table: m }
            """);
        using var up = await UpProcess.StartAsync(folder);

        var (status, body) = await up.PostAsync("lines", UpFolder.Lines(0, 50) + "{bad\n" + UpFolder.Lines(-10, 10));
        Assert.Equal(200, status);
        Assert.Equal(60, body.GetProperty("accepted").GetInt32());
        Assert.Equal(51, body.GetProperty("errors")[0].GetProperty("line").GetInt32());

        var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            await gzip.WriteAsync(Encoding.UTF8.GetBytes(UpFolder.Lines(50, 50)), TestContext.Current.CancellationToken);
        }

        (status, body) = await up.PostAsync("lines", "", change: r =>
        {
            r.Content = new ByteArrayContent(packed.ToArray());
            r.Content.Headers.ContentType = new MediaTypeHeaderValue("application/x-ndjson");
            r.Content.Headers.ContentEncoding.Add("gzip");
        });
        Assert.Equal(200, status);
        Assert.Equal(50, body.GetProperty("accepted").GetInt32());

        (status, body) = await up.PostAsync("push", """{"data_id":1100002,"access_token":"t","data":[{"metrics":{"cpu":1.5,"mem":2},"dimension":{"host":"h1"}}]}""", "application/json");
        Assert.Equal(200, status);
        Assert.Equal("true", body.GetProperty("result").GetString());
        (status, body) = await up.PostAsync("push", """{"data_id":1100002,"data":[{"metrics":{"cpu":"1.5"}}]}""", "application/json");
        Assert.Equal(400, status);
        Assert.Equal("false", body.GetProperty("result").GetString());

        await UpSql.UntilAsync(folder.Data, "SELECT count(), uniqExact(n), min(n), max(n) FROM bkbase.`2_a`", "100\t100\t0\t99");
        await UpSql.UntilAsync(folder.Data, "SELECT metric, value, host FROM bkbase.`2_m` ORDER BY metric", "cpu\t1.5\th1\nmem\t2\th1");

        var (wellStatus, health) = await up.HealthAsync();
        Assert.Equal(200, wellStatus);
        Assert.Equal("well", health.GetProperty("status").GetString());

        var rows = await MetricsAsync(up);
        Assert.Equal(110, rows[("a", "input", "in")]);
        Assert.Equal(10, rows[("a", "kept", "filtered")]);
        Assert.Equal(100, rows[("a", "kept", "out")]);
        foreach (var node in rows.Keys.Select(k => (k.Flow, k.Node)).Distinct())
        {
            double Of(string outcome) => rows[(node.Flow, node.Node, outcome)];
            Assert.Equal(Of("in") + Of("made"), Of("out") + Of("filtered") + Of("rejected"));
        }

        await UpProcess.SignalAsync("TERM", up.Pid);
        Assert.Equal(0, await up.EndAsync());
        Assert.Contains(up.Output, l => l == "stopped: all that was read is confirmed");
    }

    [Theory]
    [InlineData("TERM", 0)]
    [InlineData("KILL", 137)]
    public async Task Started_again_it_goes_on_where_it_stopped_and_loses_nothing(string signal, int code)
    {
        var folder = new UpFolder().WithLines("a", "lines");
        var accepted = 0;
        using (var up = await UpProcess.StartAsync(folder))
        {
            await up.PostAsync("lines", UpFolder.Lines(0, 100));
            await UpSql.UntilAsync(folder.Data, "SELECT count() FROM bkbase.`2_a`", "100");
            var posting = Task.Run(async () =>
            {
                try
                {
                    for (var n = 100; ; n += 100)
                    {
                        if ((await up.PostAsync("lines", UpFolder.Lines(n, 100))).Status != 200)
                        {
                            return;
                        }

                        Volatile.Write(ref accepted, n + 100);
                    }
                }
                catch (Exception e) when (e is HttpRequestException or IOException)
                {
                    // It is gone; what it did not answer is not counted.
                }
            });
            await UpProcess.UntilAsync(() => Task.FromResult(Volatile.Read(ref accepted) >= 1000), () => up.Error);
            await UpProcess.SignalAsync(signal, up.Pid);
            Assert.Equal(code, await up.EndAsync());
            await posting;
        }

        using (var up = await UpProcess.StartAsync(folder))
        {
            // Unanswered posts may be in the log as well: at least what was accepted, in full.
            await UpSql.UntilAsync(folder.Data, $"SELECT uniqExactIf(n, n < {accepted}) FROM bkbase.`2_a`", accepted.ToString(CultureInfo.InvariantCulture));
            await UpSql.UntilAsync(folder.Data, "SELECT countIf(n < 100) FROM bkbase.`2_a`", "100"); // confirmed before: not read again
            await UpProcess.SignalAsync("TERM", up.Pid);
            Assert.Equal(0, await up.EndAsync());
        }
    }

    [Fact]
    public async Task Ctrl_c_reaches_the_whole_group_and_still_drains()
    {
        var folder = new UpFolder().WithLines("a", "lines");
        using var up = await UpProcess.StartAsync(folder);
        await up.PostAsync("lines", UpFolder.Lines(0, 1));
        await UpSql.UntilAsync(folder.Data, "SELECT count() FROM bkbase.`2_a`", "1");
        Assert.Equal(200, (await up.PostAsync("lines", UpFolder.Lines(1, 500))).Status);
        await UpProcess.SignalAsync("INT", up.Pid, StoreOwner.Read(folder.Data)!.Pid);
        Assert.Equal(0, await up.EndAsync());
        using var again = await UpProcess.StartAsync(folder);
        await UpSql.UntilAsync(folder.Data, "SELECT uniqExact(n) FROM bkbase.`2_a`", "501");
    }

    [Fact]
    public async Task A_second_ctrl_c_ends_at_once()
    {
        // A store that never answers: nothing can be confirmed, so the drain has to wait.
        using var silent = new TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        var folder = new UpFolder().WithLines("a", "lines");
        using var up = await UpProcess.StartAsync(folder, "--clickhouse", $"http://127.0.0.1:{((System.Net.IPEndPoint)silent.LocalEndpoint).Port}");
        await UpProcess.SignalAsync("INT", up.Pid);
        await UpProcess.UntilAsync(() => Task.FromResult(up.Output.Any(l => l.StartsWith("stopping", StringComparison.Ordinal))), () => up.Error);
        await UpProcess.SignalAsync("INT", up.Pid);
        Assert.Equal(130, await up.EndAsync(10));
    }

    [Fact]
    public async Task A_drain_that_cannot_end_is_given_up_at_its_bound_and_said()
    {
        using var silent = new TcpListener(System.Net.IPAddress.Loopback, 0);
        silent.Start();
        var folder = new UpFolder().WithLines("a", "lines");
        using (var up = await UpProcess.StartAsync(folder, "--clickhouse", $"http://127.0.0.1:{((System.Net.IPEndPoint)silent.LocalEndpoint).Port}", "--set", "Flows:Drain=00:00:01"))
        {
            Assert.Equal(200, (await up.PostAsync("lines", UpFolder.Lines(0, 5))).Status); // durable without the store
            await UpProcess.UntilAsync(
                async () => UpMetricsText.Parse(await up.Http.GetStringAsync("/metrics", TestContext.Current.CancellationToken)).Any(s => s.Name == "bkbase_rows_total" && s.Labels["outcome"] == "in" && s.Value == 5),
                () => "the flow has read the records");
            await UpProcess.SignalAsync("TERM", up.Pid);
            Assert.Equal(1, await up.EndAsync());
            Assert.Contains(up.Output, l => l.StartsWith("stopped: a could not confirm all within Flows:Drain", StringComparison.Ordinal));
        }

        using var again = await UpProcess.StartAsync(folder);
        await UpSql.UntilAsync(folder.Data, "SELECT uniqExact(n), count() FROM bkbase.`2_a`", "5\t5");
    }

    [Fact]
    public async Task A_file_is_read_once_over_restarts()
    {
        var folder = new UpFolder();
        await File.WriteAllTextAsync(Path.Combine(folder.Folder, "in.ndjson"), UpFolder.Lines(0, 20), TestContext.Current.CancellationToken);
        folder.With("f", """
            flow: f
            biz: 2
            sources:
              - { name: input, type: file, path: in.ndjson, etl: { type: json, time: { path: ts, unit: ms }, fields: { n: { path: n, type: int64 } } } }
            sinks:
              - { type: clickhouse, from: input, table: f }
            """);
        for (var run = 0; run < 2; run++)
        {
            using var up = await UpProcess.StartAsync(folder);
            await up.UntilStateAsync("f", "finished");
            Assert.Equal(200, (await up.HealthAsync()).Status);
            Assert.Equal("20", await UpSql.AskAsync(folder.Data, "SELECT count() FROM bkbase.`2_f`"));
            await UpProcess.SignalAsync("TERM", up.Pid);
            Assert.Equal(0, await up.EndAsync());
        }
    }

    [Fact]
    public async Task With_a_broker_that_is_away_flows_wait_and_posts_are_sent_there()
    {
        var folder = new UpFolder().WithLines("a", "lines");
        using var up = await UpProcess.StartAsync(folder, "--kafka", "127.0.0.1:1", "--set", "Ingest:Topics=extra");
        await UpProcess.UntilAsync(
            async () => Flow(await up.HealthAsync(), "a").GetProperty("sources")[0].TryGetProperty("waiting", out var waiting) && waiting.GetString()!.Contains("127.0.0.1:1", StringComparison.Ordinal),
            () => "the flow does not say what it waits for");
        var (status, body) = await up.PostAsync("lines", UpFolder.Line(1));
        Assert.Equal(409, status);
        Assert.Contains("read from Kafka", body.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(200, (await up.PostAsync("extra", UpFolder.Line(1))).Status);
        Assert.Equal(421, (await up.PostAsync("extra", UpFolder.Line(1), change: r => r.Headers.Host = "evil.example")).Status);
    }

    [Fact]
    public async Task A_failing_flow_starts_again_and_disturbs_no_other()
    {
        var folder = new UpFolder().WithLines("good", "lines").WithLines("odd", "lines");
        using var up = await UpProcess.StartAsync(folder, "--set", "Flows:RestartMin=00:00:00.2", "--set", "Flows:RestartMax=00:00:01");
        await up.PostAsync("lines", UpFolder.Lines(0, 10));
        await UpSql.UntilAsync(folder.Data, "SELECT count() FROM bkbase.`2_odd`", "10");
        await UpProcess.SignalAsync("TERM", up.Pid);
        Assert.Equal(0, await up.EndAsync());

        // The table gets another form: the flow cannot write to it until that is put right.
        await using (var store = await StoreProcess.StartAsync(new StoreOptions(folder.Data), ["dotnet", Path.Combine(AppContext.BaseDirectory, "bkbase.dll"), "store"], TimeProvider.System, TestContext.Current.CancellationToken))
        {
            Assert.Equal("", await UpSql.AskAsync(folder.Data, "ALTER TABLE bkbase.`2_odd` MODIFY COLUMN n String CODEC(ZSTD(1))"));
        }

        using var again = await UpProcess.StartAsync(folder, "--set", "Flows:RestartMin=00:00:00.2", "--set", "Flows:RestartMax=00:00:01");
        await again.PostAsync("lines", UpFolder.Lines(10, 10));
        await UpSql.UntilAsync(folder.Data, "SELECT count() FROM bkbase.`2_good`", "20");
        await UpProcess.UntilAsync(async () => Flow(await again.HealthAsync(), "odd").GetProperty("restarts").GetInt32() >= 2, () => "it was not started again");
        var (status, _) = await again.HealthAsync();
        var odd = Flow(await again.HealthAsync(), "odd");
        Assert.Equal(503, status);
        Assert.Contains("column 'n' has type String", odd.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal(0, Flow(await again.HealthAsync(), "good").GetProperty("restarts").GetInt32());

        Assert.Equal("", await UpSql.AskAsync(folder.Data, "ALTER TABLE bkbase.`2_odd` MODIFY COLUMN n Int64 CODEC(T64, ZSTD(1))"));
        await UpSql.UntilAsync(folder.Data, "SELECT count(), uniqExact(n) FROM bkbase.`2_odd`", "20\t20"); // with what it missed meanwhile
        await again.UntilStateAsync("odd", "running");
    }

    [Fact]
    public async Task A_bad_file_is_reported_and_the_others_run()
    {
        var folder = new UpFolder().WithLines("a", "lines").With("b", "flow: b\nbiz: x\n");
        using var up = await UpProcess.StartAsync(folder);
        await up.PostAsync("lines", UpFolder.Lines(0, 3));
        await UpSql.UntilAsync(folder.Data, "SELECT count() FROM bkbase.`2_a`", "3");
        Assert.Contains("b.yaml:2", up.Error, StringComparison.Ordinal);
        var (status, health) = await up.HealthAsync();
        Assert.Equal(503, status);
        Assert.Equal("not well: b", health.GetProperty("status").GetString());
        Assert.Equal("invalid", Flow((status, health), "b").GetProperty("state").GetString());
    }

    [Fact]
    public async Task With_a_token_only_health_is_open()
    {
        var folder = new UpFolder().WithLines("a", "lines");
        const string Token = "0123456789abcdef-token";
        using var up = await UpProcess.StartAsync(folder, "--listen", "0.0.0.0", "--set", $"Http:Token={Token}");
        var port = up.Http.BaseAddress!.Port;
        up.Http = null!;
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        up.Http = http;
        await up.UntilStateAsync("a", "running");
        Assert.Equal(401, (await up.PostAsync("lines", UpFolder.Line(1))).Status);
        Assert.Equal(401, (await up.PostAsync("lines", UpFolder.Line(1), change: r => r.Headers.Authorization = new("Bearer", Token + "x"))).Status);
        Assert.Equal(401, (int)(await http.GetAsync("/metrics", TestContext.Current.CancellationToken)).StatusCode);
        Assert.Equal(200, (await up.PostAsync("lines", UpFolder.Line(1), change: r => r.Headers.Authorization = new("Bearer", Token))).Status);
        Assert.DoesNotContain(Token, up.Error + string.Join('\n', up.Output), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_in_use_and_a_folder_in_use_are_said()
    {
        var folder = new UpFolder().WithLines("a", "lines");
        using var up = await UpProcess.StartAsync(folder);
        using (var second = UpProcess.Launch(folder, ["--port", "0"]))
        {
            Assert.Equal(1, await second.EndAsync());
            Assert.Contains("is open in another process; stop that one, or choose another folder", second.Error, StringComparison.Ordinal);
        }

        using var third = UpProcess.Launch(folder, ["--port", $"{up.Http.BaseAddress!.Port}", "--store", Path.Combine(folder.Folder, "other")]);
        Assert.Equal(1, await third.EndAsync());
        Assert.Contains($"port {up.Http.BaseAddress.Port} of 127.0.0.1 is in use", third.Error, StringComparison.Ordinal);
        Assert.Equal(200, (await up.PostAsync("lines", UpFolder.Line(1))).Status); // undisturbed
    }

    [Fact]
    public async Task All_that_is_wrong_with_the_settings_is_said_at_once()
    {
        var folder = new UpFolder();
        await File.WriteAllTextAsync(Path.Combine(folder.Folder, "appsettings.json"), """{"Http": {"Port": "many", "Token": "short"}, "Logging": {"Level": "x"}}""", TestContext.Current.CancellationToken);
        using var up = UpProcess.Launch(folder, ["--listen", "0.0.0.0", "--flows", "nowhere"], ("BKBASE__Ingest__BodyBites", "5"));
        Assert.Equal(78, await up.EndAsync());
        Assert.Contains("appsettings.json: 'many' is not right for Http:Port; write a whole number from 0 to 65535", up.Error, StringComparison.Ordinal);
        Assert.Contains("appsettings.json: the value is not right for Http:Token", up.Error, StringComparison.Ordinal);
        Assert.Contains("environment variable BKBASE__Ingest__BodyBites: there is no setting 'Ingest:BodyBites'. Did you mean 'Ingest:BodyBytes'?", up.Error, StringComparison.Ordinal);
        Assert.Contains("Http:Listen is 0.0.0.0, which other machines reach, and Http:Token is not set", up.Error, StringComparison.Ordinal);
        Assert.Contains("there is no folder 'nowhere'", up.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("short", up.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("Logging", up.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.Data));
    }

    [Fact]
    public async Task Without_a_flow_that_can_run_it_does_not_start()
    {
        using (var none = UpProcess.Launch(new UpFolder(), []))
        {
            Assert.Equal(78, await none.EndAsync());
            Assert.Contains("there are no flow files (*.yaml) in 'flows'", none.Error, StringComparison.Ordinal);
        }

        using var bad = UpProcess.Launch(new UpFolder().With("b", "flow: b\n"), []);
        Assert.Equal(78, await bad.EndAsync());
        Assert.Contains("none of the 1 flow files in 'flows' can run", bad.Error, StringComparison.Ordinal);
    }

    private static System.Text.Json.JsonElement Flow((int, System.Text.Json.JsonElement Body) health, string flow) =>
        health.Body.GetProperty("flows").EnumerateArray().Single(f => f.GetProperty("flow").GetString() == flow);

    private static async Task<Dictionary<(string Flow, string Node, string Outcome), double>> MetricsAsync(UpProcess up)
    {
        using var answer = await up.Http.GetAsync("/metrics", TestContext.Current.CancellationToken);
        Assert.StartsWith("text/plain; version=0.0.4", answer.Content.Headers.ContentType!.ToString().Replace("\"", "", StringComparison.Ordinal), StringComparison.Ordinal);
        var samples = UpMetricsText.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
        Assert.Contains(samples, s => s.Name == "dotnet_process_memory_working_set_bytes" && s.Value > 0);
        Assert.Contains(samples, s => s.Name == "bkbase_ingest_records_total" && s.Labels["topic"] == "lines" && s.Labels["outcome"] == "rejected" && s.Value == 1);
        foreach (var name in new[] { "bkbase_checkpoint_publications_total", "bkbase_checkpoint_bytes_total", "bkbase_checkpoint_duration_seconds_total" })
        {
            Assert.True(samples.Any(s => s.Name == name && s.Labels.ContainsKey("flow") && s.Value > 0), $"{name} is not among {string.Join(", ", samples.Select(s => s.Name).Where(n => n.Contains("checkpoint", StringComparison.Ordinal)).Distinct())}");
        }

        Assert.Contains(samples, s => s.Name == "bkbase_checkpoint_pending" && s.Value == 0);
        return samples.Where(s => s.Name == "bkbase_rows_total").ToDictionary(s => (s.Labels["flow"], s.Labels["node"], s.Labels["outcome"]), s => s.Value);
    }
}
