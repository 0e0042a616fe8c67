using System.Diagnostics;
using System.Threading.Channels;

namespace BkBase.Host.Bench;

/// <summary>A child process of the benchmark: its lines, one after another, and its end.</summary>
internal sealed class BenchChild : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
    private readonly List<string> _errors = [];

    private BenchChild(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, e) =>
        {
            if (e.Data is { } line)
            {
                _lines.Writer.TryWrite(line);
            }
            else
            {
                _lines.Writer.TryComplete();
            }
        };
        process.ErrorDataReceived += (_, e) =>
        {
            lock (_errors)
            {
                _errors.Add(e.Data ?? "");
            }
        };
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public int Pid => _process.Id;

    public Task Exited => _process.WaitForExitAsync();

    public int ExitCode => _process.ExitCode;

    /// <summary>Starts a verb of this program.</summary>
    public static BenchChild Start(string verb, params string[] arguments)
    {
        var command = SelfCommand.Of(verb);
        return new BenchChild(Process.Start(new ProcessStartInfo(command[0], [.. command[1..], .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        })!);
    }

    /// <summary>Waits for a line with this beginning and gives its rest.</summary>
    /// <exception cref="InvalidOperationException">The child ended before.</exception>
    public async Task<string> LineAsync(string prefix, CancellationToken stop)
    {
        while (await _lines.Reader.WaitToReadAsync(stop))
        {
            if (_lines.Reader.TryRead(out var line) && line.StartsWith(prefix, StringComparison.Ordinal))
            {
                return line[prefix.Length..];
            }
        }

        await _process.WaitForExitAsync(stop);
        throw new InvalidOperationException($"a process of the benchmark ended with code {_process.ExitCode} in place of '{prefix.Trim()}': {Errors()}");
    }

    /// <summary>All of its output that nobody has read, after its end.</summary>
    public async Task<string> RestAsync(CancellationToken stop)
    {
        var lines = new List<string>();
        await foreach (var line in _lines.Reader.ReadAllAsync(stop))
        {
            lines.Add(line);
        }

        return string.Join('\n', lines);
    }

    /// <summary>Its standard error; the middle of a long one left out.</summary>
    public string Errors()
    {
        lock (_errors)
        {
            return string.Join('\n', _errors.Count > 40 ? [.. _errors.Take(10), "...", .. _errors.TakeLast(20)] : _errors).Trim();
        }
    }

    /// <summary>Closes its input, which ends it, and kills it when it does not end.</summary>
    public async ValueTask DisposeAsync()
    {
        _process.StandardInput.Close();
        try
        {
            await _process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(10));
        }
        catch (TimeoutException)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }
}
