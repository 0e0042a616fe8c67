using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using ClickHouse.Driver;

namespace BkBase.Store.Tests;

/// <summary>The store as a process: start, stop, crash, and what the engine must not do to the runtime.</summary>
public sealed class ProcessTests
{
    [Fact]
    public async Task The_runtime_stays_whole_with_the_engine_open()
    {
        TestStore.SkipWithoutEngine();
        var (code, output, error) = await TestStore.RunAsync("probe", ["--data", TestStore.NewDirectory()]);
        Assert.True(code == 0, error);
        Assert.Contains("null True", output, StringComparison.Ordinal);
        Assert.Contains("zero True", output, StringComparison.Ordinal);
        var stall = int.Parse(output.Split('\n').Single(l => l.StartsWith("gc ", StringComparison.Ordinal))[3..]);
        Assert.True(stall < 1500, $"a garbage collection took {stall} ms beside a loop of 4 s");
    }

    [Fact]
    public async Task Terminated_while_merges_run_it_exits_with_0()
    {
        TestStore.SkipWithoutEngine();
        var command = TestStore.Command("store");
        using var process = Process.Start(new ProcessStartInfo(command[0], [.. command[1..], "--data", TestStore.NewDirectory()]) { RedirectStandardOutput = true, UseShellExecute = false })!;
        var ready = await process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        using var client = TestStore.Client(ready![StoreServer.ReadyPrefix.Length..]);
        await client.ExecuteNonQueryAsync("CREATE TABLE default.t (a UInt64, s String) ENGINE = MergeTree ORDER BY a");
        for (var i = 0; i < 20; i++)
        {
            await client.ExecuteNonQueryAsync("INSERT INTO default.t SELECT rand64(), toString(number) FROM numbers(100000)");
        }

        var endless = client.ExecuteScalarAsync("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)");
        _ = client.ExecuteNonQueryAsync("OPTIMIZE TABLE default.t FINAL").ContinueWith(t => t.Exception, TaskScheduler.Default);
        await TestStore.UntilAsync(async () => Convert.ToInt32(await client.ExecuteScalarAsync("SELECT count() FROM system.processes")) >= 2);
        Assert.Equal(0, await TerminateAsync(process));
        await Assert.ThrowsAnyAsync<Exception>(() => endless);
    }

    [Fact]
    public async Task Killed_while_inserting_it_keeps_what_it_acknowledged_and_starts_again_at_its_address()
    {
        var directory = TestStore.NewDirectory();
        await using var store = await TestStore.StartAsync(directory);
        using var client = TestStore.Client(store.Address);
        await client.ExecuteNonQueryAsync("CREATE TABLE default.t (b UInt32, i UInt32) ENGINE = MergeTree ORDER BY b");
        var acknowledged = 0;
        var inserting = Task.Run(async () =>
        {
            try
            {
                for (; ; acknowledged++)
                {
                    var batch = acknowledged;
                    await client.InsertBinaryAsync("default.t", ["b", "i"], Enumerable.Range(0, 1000).Select(i => new object[] { (uint)batch, (uint)i }));
                }
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
            }
        });
        await TestStore.UntilAsync(() => Task.FromResult(Volatile.Read(ref acknowledged) >= 20));
        using (var process = Process.GetProcessById(store.ProcessId!.Value))
        {
            process.Kill();
        }

        await inserting;
        await TestStore.UntilAsync(async () => store.Restarts > 0 && await PingsAsync(client));
        using var reader = await client.ExecuteReaderAsync("SELECT uniqExact(b), count(), countIf(b < " + acknowledged + ") FROM default.t");
        Assert.True(reader.Read());
        var batches = (ulong)reader.GetValue(0);
        Assert.InRange(batches, (ulong)acknowledged, (ulong)acknowledged + 1);
        Assert.Equal(batches * 1000, reader.GetValue(1));
        Assert.Equal((ulong)acknowledged * 1000, reader.GetValue(2));
    }

    [Fact]
    public async Task A_directory_is_served_once()
    {
        var directory = TestStore.NewDirectory();
        await using var store = await TestStore.StartAsync(directory);
        var (code, _, error) = await TestStore.RunAsync("store", ["--data", directory]);
        Assert.Equal(1, code);
        Assert.Contains($"data directory '{directory}' is in use by process {store.ProcessId} serving {store.Address}; use that address or stop it", error, StringComparison.Ordinal);
        await using var attached = await StoreProcess.AttachOrStartAsync(new StoreOptions(directory), TestStore.Command("store"), TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.True(attached.IsAttached);
        Assert.Equal(store.Address, attached.Address);
    }

    [Fact]
    public async Task Who_is_attached_takes_over_at_the_same_address_when_the_owner_goes()
    {
        var directory = TestStore.NewDirectory();
        var owner = await TestStore.StartAsync(directory);
        await using var attached = await StoreProcess.AttachOrStartAsync(new StoreOptions(directory), TestStore.Command("store"), TimeProvider.System, TestContext.Current.CancellationToken);
        Assert.True(attached.IsAttached);
        using var client = TestStore.Client(attached.Address);
        await client.ExecuteNonQueryAsync("CREATE TABLE default.t (a UInt8) ENGINE = MergeTree ORDER BY a");
        await owner.DisposeAsync();
        await TestStore.UntilAsync(async () => attached.Restarts == 1 && await PingsAsync(client), 60);
        Assert.False(attached.IsAttached);
        Assert.Equal(0UL, await client.ExecuteScalarAsync("SELECT count() FROM default.t"));
    }

    [Fact]
    public async Task An_owned_store_serves_on_after_ctrl_c()
    {
        await using var store = await TestStore.StartAsync(TestStore.NewDirectory());
        using (var kill = Process.Start("kill", ["-INT", store.ProcessId.ToString()!]))
        {
            await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        using var client = TestStore.Client(store.Address);
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal(1, Convert.ToInt32(await client.ExecuteScalarAsync("SELECT sleep(0.1) + 1")));
        }

        Assert.Equal(0, store.Restarts);
    }

    [Fact]
    public async Task A_port_in_use_is_said()
    {
        TestStore.SkipWithoutEngine();
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        var (code, _, error) = await TestStore.RunAsync("store", ["--data", TestStore.NewDirectory(), "--port", port.ToString()]);
        Assert.Equal(1, code);
        Assert.Contains("address already in use", error, StringComparison.Ordinal);
        Assert.Contains(port.ToString(), error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_missing_library_is_said()
    {
        var (code, _, error) = await TestStore.RunAsync("store", ["--data", TestStore.NewDirectory()], s => s.Environment["BKBASE_LIBCHDB"] = "/nowhere/libchdb.so");
        Assert.Equal(1, code);
        Assert.Contains("npm ci --prefix src/BkBase.Store/native", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_child_that_does_not_start_is_reported_with_its_words()
    {
        var error = await Assert.ThrowsAsync<IOException>(() =>
            StoreProcess.StartAsync(new StoreOptions(TestStore.NewDirectory()), TestStore.Command("mute"), TimeProvider.System, TestContext.Current.CancellationToken));
        Assert.Contains("exit code 3: nothing to serve", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_ends_with_its_parent()
    {
        TestStore.SkipWithoutEngine();
        using var parent = Process.Start(new ProcessStartInfo("sleep", ["60"]) { UseShellExecute = false })!;
        var running = TestStore.RunAsync("store", ["--data", TestStore.NewDirectory(), "--parent-pid", parent.Id.ToString()]);
        parent.Kill();
        await parent.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, (await running).Code);
    }

    private static async Task<bool> PingsAsync(ClickHouseClient client)
    {
        try
        {
            return await client.PingAsync();
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static async Task<int> TerminateAsync(Process process)
    {
        using (Process.Start("kill", ["-TERM", process.Id.ToString()]))
        {
        }

        await process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(60));
        return process.ExitCode;
    }
}
