using System.Diagnostics;
using System.Globalization;
using System.Runtime;

namespace BkBase.Host.Bench;

/// <summary>Takes time, CPU time and allocation between two moments; of this process, and of the store's and the broker's.</summary>
internal sealed class Meter : IDisposable
{
    private const double TicksPerSecond = 100;
    private readonly Process _self = Process.GetCurrentProcess();
    private readonly Process? _store;
    private readonly Process? _broker;
    private readonly TimeSpan _cpu;
    private readonly TimeSpan _storeCpu;
    private readonly TimeSpan _brokerCpu;
    private readonly double _machine;
    private readonly TimeSpan _compile;
    private readonly long _allocated;
    private readonly long _started;

    public Meter(BenchTask task)
    {
        _store = task.StorePid == 0 ? null : Process.GetProcessById(task.StorePid);
        _broker = task.BrokerPid == 0 ? null : Process.GetProcessById(task.BrokerPid);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        (_storeCpu, _brokerCpu, _machine) = (Cpu(_store), Cpu(_broker), MachineCpu());
        _compile = JitInfo.GetCompilationTime();
        _allocated = GC.GetTotalAllocatedBytes(precise: true);
        _cpu = Cpu(_self);
        _started = Stopwatch.GetTimestamp();
    }

    /// <summary>The figures from the start until now.</summary>
    public StageFigures Read(string stage, long records, long rows)
    {
        var seconds = Stopwatch.GetElapsedTime(_started).TotalSeconds;
        var own = (Cpu(_self) - _cpu).TotalSeconds;
        var store = (Cpu(_store) - _storeCpu).TotalSeconds;
        var broker = (Cpu(_broker) - _brokerCpu).TotalSeconds;
        return new StageFigures
        {
            Stage = stage,
            Records = records,
            Rows = rows,
            Seconds = seconds,
            CpuSeconds = own,
            CompileSeconds = (JitInfo.GetCompilationTime() - _compile).TotalSeconds,
            StoreCpuSeconds = store,
            BrokerCpuSeconds = broker,
            OtherCpuSeconds = Math.Max(0, MachineCpu() - _machine - own - store - broker),
            BytesAllocated = GC.GetTotalAllocatedBytes(precise: true) - _allocated,
            PeakMemoryBytes = PeakMemory(_self.Id),
        };
    }

    public void Dispose()
    {
        _self.Dispose();
        _store?.Dispose();
        _broker?.Dispose();
    }

    /// <summary>Largest resident memory of a process so far; 0 when it is gone or the system does not say.</summary>
    public static long PeakMemory(int pid) => Status(pid, "VmHWM:");

    /// <summary>Resident memory of a process now; 0 when it is gone or the system does not say.</summary>
    public static long Memory(int pid) => Status(pid, "VmRSS:");

    /// <summary>Load averages of 1, 5 and 15 minutes; empty where the system has none.</summary>
    public static double[] Load() => File.Exists("/proc/loadavg")
        ? [.. File.ReadAllText("/proc/loadavg").Split(' ').Take(3).Select(v => double.Parse(v, CultureInfo.InvariantCulture))]
        : [];

    private static long Status(int pid, string key)
    {
        try
        {
            var line = File.ReadLines($"/proc/{pid}/status").FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal));
            return line is null ? 0 : long.Parse(line[key.Length..].Trim().Split(' ')[0], CultureInfo.InvariantCulture) << 10;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private static TimeSpan Cpu(Process? process)
    {
        process?.Refresh();
        return process is null || process.HasExited ? TimeSpan.Zero : process.TotalProcessorTime;
    }

    // Busy time of all processors: everything but idle and waiting for input and output.
    private static double MachineCpu()
    {
        if (!File.Exists("/proc/stat"))
        {
            return 0;
        }

        var ticks = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1)
            .Select(v => double.Parse(v, CultureInfo.InvariantCulture)).ToArray();
        return (ticks.Take(7).Sum() - ticks[3] - ticks[4]) / TicksPerSecond;
    }
}
