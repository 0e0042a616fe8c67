using System.Buffers;
using System.Diagnostics;
using BkBase.Lab;
using BkBase.Store;

namespace BkBase.Host.Bench;

/// <summary>A long run: memory at its tenths shows whether it grows.</summary>
/// <param name="Records">Records of the file.</param>
/// <param name="Rows">Rows found in the table.</param>
/// <param name="PeakMemoryBytes">Largest resident memory of <c>run</c>, the store apart.</param>
/// <param name="MemoryBytes">Largest resident memory in each tenth of the time.</param>
internal sealed record SoakFigures(long Records, long Rows, double Seconds, double CpuSeconds, long PeakMemoryBytes, IReadOnlyList<long> MemoryBytes, StorageFigures Storage)
{
    public double RecordsPerSecond => Records / Seconds;

    public double RecordsPerCpuSecond => Records / CpuSeconds;
}

/// <summary>Sends a file of many records through <c>bkbase run</c>, as a user would, and watches that process.</summary>
internal sealed class SoakRun(BenchSettings settings, string directory, Action<string> say)
{
    private const string Table = "bench_soak";

    public async Task<SoakFigures> RunAsync(long start, List<string> failures, CancellationToken stop)
    {
        var input = Path.Combine(directory, "soak.ndjson");
        var flow = Path.Combine(directory, "soak.yaml");
        var data = Path.Combine(directory, "soak");
        say($"soak: writing {settings.Soak} records to a file");
        await WriteAsync(input, start, stop);
        await File.WriteAllTextAsync(flow, BenchFlow.Text(BenchTask.Topic, Table), stop);
        say("soak: bkbase run");
        var (seconds, cpu, samples) = await RunAsync(flow, input, data, stop);
        File.Delete(input);
        await using var store = await StoreProcess.StartAsync(new StoreOptions(data) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
        say("soak: merging the table");
        var storage = await StorageFigures.OfAsync(store.Address, $"{BenchFlow.Biz}_{Table}", stop);
        if (storage.Rows != settings.Soak * BenchTask.RowsPerRecord)
        {
            failures.Add($"soak: {settings.Soak * BenchTask.RowsPerRecord} rows in, {storage.Rows} rows out");
        }

        return new SoakFigures(settings.Soak, storage.Rows, seconds, cpu, samples.Peak, samples.Tenths(), storage);
    }

    private async Task WriteAsync(string path, long start, CancellationToken stop)
    {
        var stream = new BenchmarkStream(new LabOptions { Seed = settings.Seed, MixedShapes = settings.Mixed, Start = start });
        var buffer = new ArrayBufferWriter<byte>(1 << 21);
        await using var file = File.Create(path);
        for (var i = 0L; i < settings.Soak; i++)
        {
            stream.Write(buffer);
            buffer.Write("\n"u8);
            if (buffer.WrittenCount > 1 << 20 || i == settings.Soak - 1)
            {
                await file.WriteAsync(buffer.WrittenMemory, stop);
                buffer.ResetWrittenCount();
            }
        }
    }

    private static async Task<(double Seconds, double Cpu, MemorySamples Samples)> RunAsync(string flow, string input, string data, CancellationToken stop)
    {
        var started = Stopwatch.GetTimestamp();
        await using var child = BenchChild.Start("run", flow, "--input", input, "--store", data, "--json");
        using var process = Process.GetProcessById(child.Pid);
        var samples = new MemorySamples();
        var cpu = TimeSpan.Zero;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!child.Exited.IsCompleted)
        {
            samples.Add(child.Pid);
            process.Refresh();
            try
            {
                cpu = process.TotalProcessorTime;
            }
            catch (InvalidOperationException)
            {
                break; // It has just ended.
            }

            await timer.WaitForNextTickAsync(stop);
        }

        await child.Exited;
        return child.ExitCode == 0
            ? (Stopwatch.GetElapsedTime(started).TotalSeconds, cpu.TotalSeconds, samples)
            : throw new InvalidOperationException($"bkbase run ended with code {child.ExitCode}: {child.Errors()}");
    }

    private sealed class MemorySamples
    {
        private readonly List<long> _samples = [];

        public long Peak { get; private set; }

        public void Add(int pid)
        {
            Peak = Math.Max(Peak, Meter.PeakMemory(pid));
            if (Meter.Memory(pid) is > 0 and var now)
            {
                _samples.Add(now);
            }
        }

        public IReadOnlyList<long> Tenths() =>
            [.. Enumerable.Range(0, 10).Select(t => _samples.Skip(t * _samples.Count / 10).Take(Math.Max(1, _samples.Count / 10)).DefaultIfEmpty().Max())];
    }
}
