using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace BkBase.Host.Bench;

/// <summary>A goal and what was measured.</summary>
internal sealed record BenchGoal(string Goal, double Measured, bool Holds);

/// <summary>All figures of one benchmark. It failed when what came out is not what went in; a goal missed on a busy machine is no failure.</summary>
internal sealed record BenchReport(
    BenchSettings Settings,
    double[] LoadBefore,
    double[] LoadAfter,
    IReadOnlyDictionary<string, StageFigures> Stages,
    StorageFigures? Storage,
    SoakFigures? Soak,
    IReadOnlyList<string> Failures)
{
    private const double Megabyte = 1 << 20;

    /// <summary>Whole pipeline against the naive one, records per CPU-second of their processes.</summary>
    public double? WholeToNaive => Ratio(Stages.GetValueOrDefault("whole")?.RecordsPerCpuSecond, Stages.GetValueOrDefault("naive")?.RecordsPerCpuSecond);

    /// <summary>The stage that alone gets the fewest records through in a second.</summary>
    public StageFigures? Slowest => Stages.Values.Where(s => s.Stage is not ("whole" or "naive")).MinBy(s => s.RecordsPerSecond);

    /// <summary>
    /// Whole pipeline against its slowest stage alone, records per second. The broker is not counted: of both the time
    /// that it had of the processors, spread over them, is taken off.
    /// </summary>
    public double? WholeToSlowest => Ratio(WithoutBroker(Stages.GetValueOrDefault("whole")), WithoutBroker(Slowest));

    public IReadOnlyList<BenchGoal> Goals()
    {
        var goals = new List<BenchGoal>();
        Add("whole / naive per CPU-second >= 8", WholeToNaive, v => v >= 8);
        Add("whole / slowest stage >= 0.6", WholeToSlowest, v => v >= 0.6);
        Add("bytes per row on disk < 10", Storage?.BytesPerRow, v => v < 10);
        Add("peak memory of the soak, MB < 700", Soak?.PeakMemoryBytes / Megabyte, v => v < 700);
        return goals;

        void Add(string goal, double? measured, Func<double, bool> holds)
        {
            if (measured is { } value)
            {
                goals.Add(new BenchGoal(goal, Math.Round(value, 2), holds(value)));
            }
        }
    }

    public string ToJson() => JsonSerializer.Serialize(
        new
        {
            ok = Failures.Count == 0,
            failures = Failures,
            machine = new { processors = Environment.ProcessorCount, system = RuntimeInformation.OSDescription, runtime = RuntimeInformation.FrameworkDescription, loadBefore = LoadBefore, loadAfter = LoadAfter },
            settings = new { Settings.Records, Settings.Partitions, Settings.Seed, shape = Settings.Mixed ? "mixed" : "same", Settings.Rounds },
            stages = Stages,
            ratios = new { wholeToNaivePerCpuSecond = WholeToNaive, wholeToSlowestStage = WholeToSlowest, slowestStage = Slowest?.Stage },
            Storage,
            Soak,
            goals = Goals(),
        },
        CommonOptions.JsonForm);

    public string ToText()
    {
        var lines = new List<string> { string.Create(CultureInfo.InvariantCulture, $"{"stage",-8} {"records/s",12} {"records/CPU-s",14} {"B/record",9} {"peak MB",8} {"store CPU s",12} {"broker CPU s",13} {"others CPU s",13}") };
        lines.AddRange(Stages.Values.Select(s => string.Create(
            CultureInfo.InvariantCulture,
            $"{s.Stage,-8} {s.RecordsPerSecond,12:N0} {s.RecordsPerCpuSecond,14:N0} {s.BytesAllocatedPerRecord,9:N0} {s.PeakMemoryBytes / Megabyte,8:N0} {s.StoreCpuSeconds,12:N2} {s.BrokerCpuSeconds,13:N2} {s.OtherCpuSeconds,13:N2}")));
        if (Storage is not null)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"storage: {Storage.Rows:N0} rows, {Storage.BytesPerRow:N2} bytes each"));
        }

        if (Soak is not null)
        {
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"soak: {Soak.Records:N0} records, {Soak.RecordsPerSecond:N0}/s, {Soak.RecordsPerCpuSecond:N0}/CPU-s, memory by tenths {string.Join(' ', Soak.MemoryBytes.Select(m => m >> 20))} MB"));
        }

        lines.AddRange(Goals().Select(g => string.Create(CultureInfo.InvariantCulture, $"{(g.Holds ? "holds " : "MISSED")} {g.Goal}: {g.Measured}")));
        lines.AddRange(Failures.Select(f => $"FAILED {f}"));
        return string.Join('\n', lines);
    }

    private static double? WithoutBroker(StageFigures? stage) =>
        stage is null ? null : stage.Records / Math.Max(1e-9, stage.Seconds - (stage.BrokerCpuSeconds / Environment.ProcessorCount));

    private static double? Ratio(double? a, double? b) => a / b;
}
