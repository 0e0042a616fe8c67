using System.CommandLine;
using System.Text.Json;

namespace BkBase.Host.Bench;

/// <summary><c>bkbase bench</c>: throughput of the pipeline and of its stages, beside a naive one, as JSON.</summary>
internal static class BenchCommand
{
    /// <summary>Begins the line on which a stage's process gives its figures.</summary>
    public const string Figures = "figures ";

    public static Command Create()
    {
        var records = new Option<long>("--records") { Description = "records of each stage and round; the naive pipeline gets a fifth", DefaultValueFactory = _ => 1_500_000 };
        var partitions = new Option<int>("--partitions") { Description = "partitions of the topic", DefaultValueFactory = _ => 64 };
        var seed = new Option<ulong>("--seed") { Description = "seed of the generated records", DefaultValueFactory = _ => 1UL };
        var shape = new Option<string>("--shape") { Description = "'same': all records are of one shape; 'mixed': of five", DefaultValueFactory = _ => "same" };
        shape.AcceptOnlyFromAmong("same", "mixed");
        string[] known = [.. BenchStages.All, StorageFigures.Stage];
        var stages = new Option<string[]>("--stages") { Description = $"which of {string.Join(", ", known)} to run; all by default", DefaultValueFactory = _ => known, AllowMultipleArgumentsPerToken = true };
        stages.AcceptOnlyFromAmong([.. known, "none"]);
        var rounds = new Option<int>("--rounds") { Description = "how often each stage runs, in turns", DefaultValueFactory = _ => 1 };
        var soak = new Option<long>("--soak") { Description = "also send so many records from a file through 'bkbase run' and watch its memory" };
        var unpaced = new Option<bool>("--unpaced") { Description = "send without heed of what the broker keeps, to see that lost records are found" };
        var json = CommonOptions.Json();
        var command = new Command(
            "bench",
            "Measure the pipeline, its stages and a naive pipeline beside it; JSON unless on a terminal. It fails when rows out differ from rows in. Example: bkbase bench --json > bench.json")
        {
            records, partitions, seed, shape, stages, rounds, soak, unpaced, json,
            Role("stage", async (task, stop) =>
            {
                Console.Out.WriteLine(Figures + JsonSerializer.Serialize(await BenchStages.RunAsync(task, stop)));
                return ExitCodes.Good;
            }),
            Role("broker", BenchBroker.RunAsync),
        };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            new BenchSettings
            {
                Records = parsed.GetValue(records),
                Partitions = parsed.GetValue(partitions),
                Seed = parsed.GetValue(seed),
                Mixed = parsed.GetValue(shape) == "mixed",
                Stages = parsed.GetValue(stages)!,
                Rounds = parsed.GetValue(rounds),
                Soak = parsed.GetValue(soak),
                Unpaced = parsed.GetValue(unpaced),
            },
            parsed.GetValue(json) || Console.IsOutputRedirected,
            stop)));
        return command;
    }

    // The verbs of the benchmark's own processes.
    private static Command Role(string name, Func<BenchTask, CancellationToken, Task<int>> run)
    {
        var task = new Argument<string>("task");
        var command = new Command(name) { task };
        command.Hidden = true;
        command.SetAction((parsed, stop) => Guard.RunAsync(() => run(BenchTask.Read(parsed.GetValue(task)!), stop)));
        return command;
    }

    private static async Task<int> RunAsync(BenchSettings settings, bool json, CancellationToken stop)
    {
        if (settings.Records < 1 || settings.Partitions < 1 || settings.Rounds < 1 || settings.Soak < 0)
        {
            throw new InvalidSettingException("--records, --partitions and --rounds are at least 1, --soak is not negative");
        }

        var directory = Directory.CreateTempSubdirectory("bkbase-bench-").FullName;
        try
        {
            settings = settings with { Stages = [.. settings.Stages.Where(s => s != "none")] };
            var report = await new BenchRunner(settings, directory, Console.Error.WriteLine).RunAsync(stop);
            Console.Out.WriteLine(json ? report.ToJson() : report.ToText());
            foreach (var failure in report.Failures)
            {
                await Console.Error.WriteLineAsync($"bkbase: {failure}");
            }

            return report.Failures.Count == 0 ? ExitCodes.Good : ExitCodes.Failed;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
