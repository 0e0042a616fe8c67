using System.Diagnostics;
using BkBase.Store.Engine;
using BkBase.Store.Tests;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;

[assembly: AssemblyFixture(typeof(SharedStore))]

namespace BkBase.Store.Tests;

/// <summary>What the tests share: how to start the store as a process, and one running store.</summary>
internal static class TestStore
{
    public static string[] Command(string verb) =>
        [Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) == "dotnet" ? host : "dotnet", typeof(TestStore).Assembly.Location, verb];

    public static void SkipWithoutEngine() => Assert.SkipWhen(LibraryLocator.Find() is null, LibraryLocator.Missing);

    private static readonly string Root = Directory.CreateTempSubdirectory("bkbase-store-").FullName;

    static TestStore() => AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(Root, recursive: true);

    public static string NewDirectory() => Directory.CreateDirectory(Path.Combine(Root, Guid.NewGuid().ToString("N"))).FullName;

    public static Task<StoreProcess> StartAsync(string directory, Func<StoreOptions, StoreOptions>? change = null)
    {
        SkipWithoutEngine();
        var options = new StoreOptions(directory) { MaxServerMemoryBytes = 2L << 30 };
        return StoreProcess.StartAsync(change?.Invoke(options) ?? options, Command("store"), TimeProvider.System, TestContext.Current.CancellationToken);
    }

    public static ClickHouseClient Client(string address, string user = "default", Func<ClickHouseClientSettings, ClickHouseClientSettings>? change = null)
    {
        var uri = new Uri(address);
        var settings = new ClickHouseClientSettings { Host = uri.Host, Port = (ushort)uri.Port, Username = user };
        return new ClickHouseClient(change?.Invoke(settings) ?? settings);
    }

    /// <summary>Starts a process and collects what it says.</summary>
    public static async Task<(int Code, string Output, string Error)> RunAsync(string verb, IEnumerable<string> args, Action<ProcessStartInfo>? change = null)
    {
        var command = Command(verb);
        var start = new ProcessStartInfo(command[0], [.. command[1..], .. args]) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        change?.Invoke(start);
        using var process = Process.Start(start)!;
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(TimeSpan.FromSeconds(90));
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(patience.Token), process.StandardError.ReadToEndAsync(patience.Token));
            await process.WaitForExitAsync(patience.Token);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
        }
    }

    public static async Task UntilAsync(Func<Task<bool>> condition, int seconds = 30)
    {
        var deadline = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(deadline.Elapsed < TimeSpan.FromSeconds(seconds), "the condition was not met in time");
            await Task.Delay(50, TestContext.Current.CancellationToken);
        }
    }
}

/// <summary>One store for all tests that do not end it.</summary>
public sealed class SharedStore : IAsyncLifetime
{
    private readonly string _directory = TestStore.NewDirectory();
    private StoreProcess? _process;
    private int _databases;

    public string Address
    {
        get
        {
            TestStore.SkipWithoutEngine();
            return _process!.Address;
        }
    }

    public async ValueTask InitializeAsync()
    {
        if (LibraryLocator.Find() is not null)
        {
            _process = await TestStore.StartAsync(_directory, o => o with { AnalystMaxExecutionTime = TimeSpan.FromSeconds(2) });
        }
    }

    /// <summary>A client with a database of its own.</summary>
    internal async Task<ClickHouseClient> NewDatabaseAsync(bool compression = true)
    {
        var name = "t" + Interlocked.Increment(ref _databases);
        using var client = TestStore.Client(Address);
        await client.ExecuteNonQueryAsync("CREATE DATABASE " + name);
        return TestStore.Client(Address, change: s => new ClickHouseClientSettings(s) { Database = name, UseCompression = compression });
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }
}
