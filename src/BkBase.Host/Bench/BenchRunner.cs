using System.Globalization;
using System.Text.Json;
using BkBase.Store;

namespace BkBase.Host.Bench;

/// <summary>What the user asked of a benchmark.</summary>
internal sealed record BenchSettings
{
    public required long Records { get; init; }

    public required int Partitions { get; init; }

    public required ulong Seed { get; init; }

    public required bool Mixed { get; init; }

    public required IReadOnlyList<string> Stages { get; init; }

    public required int Rounds { get; init; }

    public required bool Unpaced { get; init; }

    /// <summary>Records of the long run through <c>run</c>; 0 for none.</summary>
    public required long Soak { get; init; }
}

/// <summary>
/// Runs the stages round after round, each in a process of its own over one store in another, each that reads Kafka with
/// a broker of its own, and compares what went in with what came out.
/// </summary>
internal sealed class BenchRunner(BenchSettings settings, string directory, Action<string> say)
{
    private const long StorageRecords = 400_000;

    // The naive pipeline takes as long for a fifth of the records.
    private const long NaiveShare = 5;
    private const long DayMs = 86_400_000;
    private readonly Dictionary<string, List<StageFigures>> _runs = new(StringComparer.Ordinal);
    private readonly List<string> _failures = [];

    public async Task<BenchReport> RunAsync(CancellationToken stop)
    {
        var load = Meter.Load();
        var (storage, soak) = ((StorageFigures?)null, (SoakFigures?)null);
        if (settings.Stages.Count > 0)
        {
            await using var store = await StoreProcess.StartAsync(
                new StoreOptions(Path.Combine(directory, "store")) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
            for (var round = 1; round <= settings.Rounds; round++)
            {
                foreach (var stage in BenchStages.All.Where(settings.Stages.Contains))
                {
                    say($"round {round} of {settings.Rounds}: {stage}");
                    Take(await StageAsync(Task(store, stage), stop));
                }
            }

            if (settings.Stages.Contains(StorageFigures.Stage))
            {
                say("storage: the Lab's metrics, merged");
                storage = await StorageAsync(store, stop);
            }
        }

        if (settings.Soak > 0)
        {
            soak = await new SoakRun(settings, directory, say).RunAsync(DayStart() - (3 * DayMs), _failures, stop);
        }

        return new BenchReport(settings, load, Meter.Load(), _runs.ToDictionary(r => r.Key, r => StageFigures.Sum(r.Value)), storage, soak, _failures);
    }

    private void Take(StageFigures figures)
    {
        if (!_runs.TryGetValue(figures.Stage, out var runs))
        {
            _runs[figures.Stage] = runs = [];
        }

        runs.Add(figures);
    }

    private BenchTask Task(StoreProcess store, string stage) => new()
    {
        Stage = stage,
        Records = stage switch
        {
            StorageFigures.Stage => Math.Min(StorageRecords, settings.Records),
            "naive" => Math.Max(1, settings.Records / NaiveShare),
            _ => settings.Records,
        },
        WarmRecords = Math.Clamp(settings.Records / 8, 1, 150_000),
        Partitions = settings.Partitions,
        Seed = settings.Seed,
        Mixed = settings.Mixed,
        Start = DayStart() - DayMs,
        Unpaced = settings.Unpaced,
        Board = Path.Combine(directory, "positions"),
        Store = Path.Combine(directory, "store"),
        StorePid = store.ProcessId ?? 0,
    };

    /// <summary>The last midnight, UTC: recent enough for the tables' TTL, and no round crosses a day.</summary>
    private static long DayStart() => TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() / DayMs * DayMs;

    private async Task<StageFigures> StageAsync(BenchTask task, CancellationToken stop)
    {
        if (!BenchStages.Consumes(task.Stage))
        {
            var alone = await ChildAsync(task, stop);
            Check(alone, task, BenchStages.Stores(task.Stage) ? Expected(task) : null);
            return alone;
        }

        PositionBoard.Create(task.Board, task.Partitions);
        await using var broker = BenchChild.Start("bench", "broker", task.ToString());
        task = task with { Bootstrap = await broker.LineAsync(BenchBroker.Started, stop), BrokerPid = broker.Pid };
        await broker.LineAsync(BenchBroker.Primed, stop);
        var figures = await ChildAsync(task, stop);
        Check(figures, task, BenchStages.Stores(task.Stage) ? await SentAsync(broker, figures, task, stop) : null);
        return figures;
    }

    // A feed that is still held back has a reader that ended early: the count shows that, not the feed.
    private static async Task<string?> SentAsync(BenchChild broker, StageFigures figures, BenchTask task, CancellationToken stop) =>
        figures.Records < task.Records ? null : (await broker.LineAsync(BenchBroker.Sent, stop)).Split(' ')[1];

    private static string Expected(BenchTask task)
    {
        var stream = task.Stream(warm: false);
        var buffer = new System.Buffers.ArrayBufferWriter<byte>(4096);
        Int128 times = 0;
        for (var i = 0L; i < task.Records; i++)
        {
            times += stream.NextTime;
            buffer.ResetWrittenCount();
            stream.Write(buffer);
        }

        return times.ToString(CultureInfo.InvariantCulture);
    }

    /// <param name="times">Sum of the event times of all messages sent; null where no table is written.</param>
    private void Check(StageFigures figures, BenchTask task, string? times)
    {
        if (BenchStages.Consumes(figures.Stage) && figures.Records != task.Records)
        {
            _failures.Add($"{figures.Stage}: {task.Records} records in, {figures.Records} records out");
        }

        var rows = task.Records * BenchTask.RowsPerRecord;
        if (BenchStages.Stores(figures.Stage) && figures.Rows != rows)
        {
            _failures.Add($"{figures.Stage}: {rows} rows in, {figures.Rows} rows out");
        }
        else if (times is not null && Int128.Parse(times, CultureInfo.InvariantCulture) * BenchTask.RowsPerRecord != Int128.Parse(figures.Times!, CultureInfo.InvariantCulture))
        {
            _failures.Add($"{figures.Stage}: as many rows out as in, but not the same ones");
        }
    }

    private static async Task<StageFigures> ChildAsync(BenchTask task, CancellationToken stop)
    {
        await using var child = BenchChild.Start("bench", "stage", task.ToString());
        return JsonSerializer.Deserialize<StageFigures>(await child.LineAsync(BenchCommand.Figures, stop))!;
    }

    private async Task<StorageFigures> StorageAsync(StoreProcess store, CancellationToken stop)
    {
        var task = Task(store, StorageFigures.Stage);
        var figures = await ChildAsync(task, stop);
        if (figures.Records != task.Records || figures.Rows == 0)
        {
            _failures.Add($"storage: {task.Records} records in, {figures.Records} records and {figures.Rows} rows out");
        }

        return await StorageFigures.OfAsync(store.Address, "1_bench_storage", stop);
    }
}
