using System.Diagnostics;
using BkBase.Store.Engine;

namespace BkBase.Store;

/// <summary>One run of the store's process.</summary>
internal sealed class StoreChild : IDisposable
{
    private const int LinesKept = 40;
    private const int SigTerm = 15;
    private readonly Process _process;
    private readonly Queue<string> _errors = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private StoreChild(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) =>
        {
            if (line.Data?.StartsWith(StoreServer.ReadyPrefix, StringComparison.Ordinal) == true)
            {
                _ready.TrySetResult();
            }
        };
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        Pid = process.Id;
        Exited = process.WaitForExitAsync(CancellationToken.None);
    }

    public int Pid { get; }

    public Task Exited { get; }

    /// <summary>Starts the process and waits until it serves.</summary>
    public static async Task<StoreChild> StartAsync(StoreOptions options, string[] command, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(command[0], [.. command[1..], .. StoreEntryPoint.ToArguments(options)])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        StoreChild child;
        try
        {
            child = new StoreChild(Process.Start(start)!);
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new IOException($"the store's process could not be started: {e.Message}", e);
        }

        try
        {
            await Task.WhenAny(child._ready.Task, child.Exited).WaitAsync(timeout, time, cancellationToken);
        }
        catch (Exception e)
        {
            await child.StopAsync(TimeSpan.Zero, time);
            var described = child.Describe();
            child.Dispose();
            if (e is TimeoutException)
            {
                throw new TimeoutException($"the store was not ready after {timeout.TotalSeconds:0} s; {described}", e);
            }

            throw;
        }

        if (child._ready.Task.IsCompleted)
        {
            return child;
        }

        var reason = child.Describe();
        child.Dispose();
        throw new IOException($"the store did not start; {reason}");
    }

    /// <summary>The exit code, if any, and the end of standard error.</summary>
    public string Describe()
    {
        lock (_errors)
        {
            return (_process.HasExited ? $"exit code {_process.ExitCode}" : "still running") + (_errors.Count > 0 ? ": " + string.Join('\n', _errors) : "");
        }
    }

    public async Task StopAsync(TimeSpan patience, TimeProvider time)
    {
        try
        {
            if (patience > TimeSpan.Zero && !OperatingSystem.IsWindows() && !Exited.IsCompleted)
            {
                _ = Native.SendSignal(Pid, SigTerm);
                await Exited.WaitAsync(patience, time);
            }
        }
        catch (TimeoutException)
        {
            // Killed below.
        }

        if (!Exited.IsCompleted)
        {
            _process.Kill(entireProcessTree: true);
        }

        await Exited;
    }

    public void Dispose() => _process.Dispose();

    private void Keep(string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_errors)
        {
            _errors.Enqueue(line);
            if (_errors.Count > LinesKept)
            {
                _errors.Dequeue();
            }
        }
    }
}
