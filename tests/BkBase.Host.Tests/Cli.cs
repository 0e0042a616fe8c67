using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace BkBase.Host.Tests;

/// <summary>The program as people run it: a process of its own.</summary>
internal static partial class Cli
{
    public static string Assembly { get; } = Path.Combine(AppContext.BaseDirectory, "bkbase.dll");

    /// <summary>The folder of the solution.</summary>
    public static string Checkout { get; } = FindCheckout(AppContext.BaseDirectory);

    /// <summary>Runs a verb to its end.</summary>
    public static async Task<CliResult> RunAsync(string directory, params string[] args)
    {
        using var run = Start(directory, args);
        return await run.EndAsync();
    }

    public static CliRun Start(string directory, string[] args, IReadOnlyDictionary<string, string>? environment = null) =>
        Start(directory, "dotnet", [Assembly, .. args], environment);

    /// <summary>Runs a line as a shell would, where <c>bkbase</c> is the program.</summary>
    public static async Task<CliResult> ShellAsync(string directory, string line)
    {
        using var run = Start(directory, "bash", ["-c", $"bkbase() {{ dotnet '{Assembly}' \"$@\"; }}; {line}"], null);
        return await run.EndAsync();
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>The engine is fetched by npm; without it tests that need it say so.</summary>
    public static void SkipWithoutEngine() => Assert.SkipWhen(Missing is not null, Missing ?? "");

    public static string? Missing { get; } = HasEngine() ? null
        : "the embedded store engine was not fetched; run npm ci --prefix src/BkBase.Store/native, or set BKBASE_LIBCHDB";

    private static bool HasEngine()
    {
        if (Environment.GetEnvironmentVariable("BKBASE_LIBCHDB") is { Length: > 0 } given)
        {
            return File.Exists(given);
        }

        var packages = Path.Combine(Checkout, "src", "BkBase.Store", "native", "node_modules", "@chdb");
        return Directory.Exists(packages) && Directory.EnumerateFiles(packages, "libchdb.so", SearchOption.AllDirectories).Any();
    }

    private static CliRun Start(string directory, string program, string[] args, IReadOnlyDictionary<string, string>? environment)
    {
        var start = new ProcessStartInfo(program, args)
        {
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return new CliRun(Process.Start(start)!);
    }

    private static string FindCheckout(string? folder)
    {
        while (folder is not null && !File.Exists(Path.Combine(folder, "BkBase.Flows.sln")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new DirectoryNotFoundException("the tests run inside the checkout");
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    internal static partial int Kill(int pid, int signal);
}

internal sealed record CliResult(int Code, string Output, string Error)
{
    public override string ToString() => $"exit code {Code}\n{Output}\n{Error}";
}

/// <summary>A running process; killed with its children when a test ends early.</summary>
internal sealed class CliRun : IDisposable
{
    private const int SigTerm = 15;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _error = new();

    public CliRun(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Keep(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Keep(_error, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    /// <summary>Completes when the process has ended.</summary>
    public Task Exited => _process.WaitForExitAsync();

    public string Error => Text(_error);

    public string Output => Text(_output);

    /// <summary>SIGKILL.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Any signal: 19 stops, 18 wakes.</summary>
    public void Signal(int signal) => Assert.Equal(0, Cli.Kill(_process.Id, signal));

    /// <summary>Waits until the condition holds; fails with what the process said when it does not, or the process is gone.</summary>
    public Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    /// <inheritdoc cref="UntilAsync(Func{bool})"/>
    public async Task UntilAsync(Func<Task<bool>> condition)
    {
        var start = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(start.Elapsed < Patience, $"not in time; {Output}\n{Error}");
            Assert.False(_process.HasExited && !await condition(), $"the process ended; {Output}\n{Error}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    public async Task<CliResult> EndAsync()
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        patience.CancelAfter(Patience);
        await _process.WaitForExitAsync(patience.Token);
        return new CliResult(_process.ExitCode, Output, Error);
    }

    public Task<CliResult> TerminateAsync()
    {
        _ = Cli.Kill(_process.Id, SigTerm);
        return EndAsync();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }

    private static void Keep(StringBuilder kept, string? line)
    {
        lock (kept)
        {
            _ = line is null ? kept : kept.Append(line).Append('\n');
        }
    }

    private static string Text(StringBuilder kept)
    {
        lock (kept)
        {
            return kept.ToString();
        }
    }
}

/// <summary>A folder that goes with its test.</summary>
internal sealed class CliFolder : IDisposable
{
    public CliFolder() => Path = Directory.CreateTempSubdirectory("bkbase-cli-").FullName;

    public string Path { get; }

    public string Write(string name, params string[] lines)
    {
        var path = System.IO.Path.Combine(Path, name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllText(path, string.Join('\n', lines) + "\n");
        return path;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>One store for all tests of a class: a process of its own that <c>--store</c> attaches to.</summary>
public sealed class CliStore : IAsyncLifetime
{
    private readonly CliFolder _folder = new();
    private CliRun? _store;

    /// <summary>The data directory.</summary>
    public string Data => Path.Combine(_folder.Path, "data");

    /// <summary>The address of the store.</summary>
    public string Address { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        if (Cli.Missing is not null)
        {
            return;
        }

        _store = Cli.Start(_folder.Path, ["store", "--data", Data, "--max-memory", "2000000000"]);
        await _store.UntilAsync(() => _store.Output.Contains(Store.StoreServer.ReadyPrefix, StringComparison.Ordinal));
        Address = _store.Output.Trim()[Store.StoreServer.ReadyPrefix.Length..];
    }

    /// <summary>Rows of a query, columns parted by tabs.</summary>
    internal async Task<string[]> QueryAsync(string sql)
    {
        Cli.SkipWithoutEngine();
        using var client = new HttpClient();
        using var answer = await client.PostAsync(new Uri(Address), new StringContent(sql + " FORMAT TSV"), TestContext.Current.CancellationToken);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, text);
        return text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    internal async Task ExecuteAsync(string sql)
    {
        Cli.SkipWithoutEngine();
        using var client = new HttpClient();
        using var answer = await client.PostAsync(new Uri(Address), new StringContent(sql), TestContext.Current.CancellationToken);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken));
    }

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.TerminateAsync();
            _store.Dispose();
        }

        _folder.Dispose();
    }
}
