using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using BkBase.Store;

namespace BkBase.Host.Tests;

/// <summary>A folder for one test: flows and data; removed at the end of the run.</summary>
internal sealed class UpFolder
{
    private static readonly string Root = Directory.CreateTempSubdirectory("bkbase-up-").FullName;

    static UpFolder() => AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(Root, recursive: true);

    public UpFolder() => Directory.CreateDirectory(Path.Combine(Directory.CreateDirectory(Folder).FullName, "flows"));

    public string Folder { get; } = Path.Combine(Root, Guid.NewGuid().ToString("N"));

    public string Data => Path.Combine(Folder, "data");

    public UpFolder With(string name, string yaml)
    {
        File.WriteAllText(Path.Combine(Folder, "flows", name + ".yaml"), yaml);
        return this;
    }

    /// <summary>A flow of lines <c>{"ts", "n"}</c> from a topic into the table <c>2_{name}</c>.</summary>
    public UpFolder WithLines(string name, string topic) => With(name, $$"""
        flow: {{name}}
        biz: 2
        sources:
          - name: input
            type: kafka
            topic: {{topic}}
            etl: { type: json, time: { path: ts, unit: ms }, fields: { n: { path: n, type: int64 } } }
        nodes:
          - { name: kept, type: filter, from: input, where: "n >= 0" }
        sinks:
          - { type: clickhouse, from: kept, table: {{name}} }
        """);

    public static string Line(long n) => FormattableString.Invariant($"{{\"ts\":{TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()},\"n\":{n}}}\n");

    public static string Lines(long from, int count) => string.Concat(Enumerable.Range(0, count).Select(i => Line(from + i)));
}

/// <summary><c>bkbase up</c> as a process of its own.</summary>
internal sealed class UpProcess : IDisposable
{
    private readonly Process _process;
    private readonly ConcurrentQueue<string> _output = new();
    private readonly StringBuilder _error = new();

    private UpProcess(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        process.ErrorDataReceived += (_, line) =>
        {
            lock (_error)
            {
                _error.AppendLine(line.Data);
            }
        };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public HttpClient Http { get; set; } = null!;

    public IEnumerable<string> Output => _output;

    public string Error
    {
        get
        {
            lock (_error)
            {
                return _error.ToString();
            }
        }
    }

    public int Pid => _process.Id;

    /// <summary>Starts it with a free port and waits until it is up.</summary>
    public static async Task<UpProcess> StartAsync(UpFolder folder, params string[] args)
    {
        var up = Launch(folder, ["--port", "0", .. args]);
        try
        {
            await UntilAsync(() => Task.FromResult(up._process.HasExited || up.Output.Any(l => l.StartsWith("up at ", StringComparison.Ordinal))), () => up.Error);
            var ready = up.Output.FirstOrDefault(l => l.StartsWith("up at ", StringComparison.Ordinal));
            Assert.True(ready is not null, up.Error);
            up.Http = new HttpClient { BaseAddress = new Uri(ready["up at ".Length..].Split(',')[0]) };
            return up;
        }
        catch
        {
            up.Dispose();
            throw;
        }
    }

    /// <summary>Starts it without waiting for anything.</summary>
    public static UpProcess Launch(UpFolder folder, string[] args, params (string Name, string Value)[] environment)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", Path.Combine(AppContext.BaseDirectory, "bkbase.dll"), "up", .. args])
        {
            WorkingDirectory = folder.Folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        if (!args.Contains("--store"))
        {
            start.ArgumentList.Add("--store");
            start.ArgumentList.Add(folder.Data);
        }

        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        return new UpProcess(Process.Start(start)!);
    }

    /// <summary>Its exit code.</summary>
    public async Task<int> EndAsync(int seconds = 60)
    {
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(seconds));
        return _process.ExitCode;
    }

    /// <summary>Sends a signal by name (INT, TERM, KILL), as the shell does.</summary>
    public static async Task SignalAsync(string signal, params int[] pids)
    {
        using var kill = Process.Start("kill", [$"-{signal}", .. pids.Select(p => p.ToString(System.Globalization.CultureInfo.InvariantCulture))]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
    }

    public async Task<(int Status, JsonElement Body)> PostAsync(string topic, string body, string type = "application/x-ndjson", Action<HttpRequestMessage>? change = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/ingest/{topic}") { Content = new StringContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue(type);
        change?.Invoke(request);
        using var answer = await Http.SendAsync(request, TestContext.Current.CancellationToken);
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).RootElement);
    }

    public async Task<(int Status, JsonElement Body)> HealthAsync()
    {
        using var answer = await Http.GetAsync("/health", TestContext.Current.CancellationToken);
        return ((int)answer.StatusCode, JsonDocument.Parse(await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).RootElement);
    }

    public async Task UntilStateAsync(string flow, string state) => await UntilAsync(
        async () => (await HealthAsync()).Body.GetProperty("flows").EnumerateArray().Any(f => f.GetProperty("flow").GetString() == flow && f.GetProperty("state").GetString() == state),
        () => $"{flow} is not {state}; {string.Join('\n', Output)}");

    /// <summary>Polls, bounded, for what another process does.</summary>
    public static async Task UntilAsync(Func<Task<bool>> condition, Func<string> otherwise, int seconds = 90)
    {
        var deadline = Stopwatch.StartNew();
        while (!await condition())
        {
            Assert.True(deadline.Elapsed < TimeSpan.FromSeconds(seconds), otherwise());
            await Task.Delay(100, TestContext.Current.CancellationToken);
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            _process.WaitForExit();
        }

        Http?.Dispose();
        _process.Dispose();
    }
}

/// <summary>SQL on the store that serves a folder.</summary>
internal static class UpSql
{
    /// <summary>The answer as text, trimmed; what the server says when it refuses.</summary>
    public static async Task<string> AskAsync(string data, string sql)
    {
        var owner = StoreOwner.Read(data);
        if (owner is not { Address.Length: > 0 })
        {
            return "no store";
        }

        using var http = new HttpClient();
        using var content = new StringContent(sql);
        try
        {
            using var answer = await http.PostAsync(new Uri(owner.Address), content, TestContext.Current.CancellationToken);
            return (await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)).Trim();
        }
        catch (HttpRequestException e)
        {
            return e.Message;
        }
    }

    public static Task UntilAsync(string data, string sql, string expected)
    {
        var last = "";
        return UpProcess.UntilAsync(async () => (last = await AskAsync(data, sql)) == expected, () => $"{sql} gives {last}, not {expected}");
    }
}
