using System.CommandLine;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host.Letters;

/// <summary><c>bkbase replay</c>: dead letters of a flow through its current revision; a dry run unless told to write.</summary>
internal static class ReplayCommand
{
    public static Command Create()
    {
        var path = new Argument<string>("flow") { Description = "flow file, as it is now" };
        var input = new Option<string[]>("--input") { Description = "[SOURCE=]FILE: the file that was in the place of a source", DefaultValueFactory = _ => [] };
        var (node, reason, since) = LetterFilter.Options();
        var apply = new Option<bool>("--apply") { Description = "write the rows; without it nothing is written" };
        var rate = new Option<int>("--rate") { Description = "records per second at most", DefaultValueFactory = _ => 1000 };
        var store = CommonOptions.Store();
        var clickHouse = CommonOptions.ClickHouse();
        var kafka = new Option<string?>("--kafka")
        {
            Description = "bootstrap servers of Kafka; without them sources of topics are read from the embedded log",
            DefaultValueFactory = _ => Environment.GetEnvironmentVariable("BKBASE__Kafka__BootstrapServers"),
        };
        var json = CommonOptions.Json();
        var command = new Verb(
            "replay",
            "Take up the dead letters of a flow again: read the records at their offsets, send what was refused of them through the flow as it is now, and say what comes out. With --apply the new rows are written, each exactly once however often the replay runs or is killed.",
            "bkbase replay flows/k8s/container_logs.yaml --store data",
            "bkbase replay flows/k8s/container_logs.yaml --reason bad_time --since 7d --store data --apply --rate 500 --json") { path, input, node, reason, since, apply, rate, store, clickHouse, kafka, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            new ReplaySettings(
                parsed.GetValue(path)!, parsed.GetValue(input)!, LetterFilter.Of(null, parsed.GetValue(node), parsed.GetValue(reason), parsed.GetValue(since)),
                parsed.GetValue(apply), parsed.GetValue(rate), parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(kafka), parsed.GetValue(json)),
            stop)));
        return command;
    }

    private static async Task<int> RunAsync(ReplaySettings settings, CancellationToken stop)
    {
        if (settings.Rate is < 1 or > 1_000_000)
        {
            throw new InvalidSettingException($"--rate {settings.Rate}: write a number of records per second from 1 to 1000000");
        }

        var offline = FlowFiles.Read(new FlowReader(HostCatalog.Offline()), settings.Flow);
        foreach (var diagnostic in offline.Diagnostics)
        {
            await Console.Error.WriteLineAsync(diagnostic.ToString());
        }

        if (offline.Flow is not { } checkedFlow)
        {
            return ExitCodes.Invalid;
        }

        if (FlowCompiler.IsStateful(checkedFlow))
        {
            throw new InvalidSettingException($"flow {checkedFlow.Name} has a node that holds state: a replayed record would meet another state than it did. Only flows of stateless nodes can be replayed");
        }

        var inputs = RunCommand.Inputs(checkedFlow, settings.Input);
        await using var platform = await Platform.OpenAsync(
            new PlatformOptions(settings.Store) { ClickHouse = settings.ClickHouse, Kafka = new KafkaOptions(settings.Kafka ?? "localhost:9092"), WithLog = false }, stop);
        var flow = FlowFiles.Read(new FlowReader(platform.Catalog), settings.Flow).Flow!;
        await using var log = OpenLog(settings.Store, flow, inputs);
        var job = new ReplayJob(platform, TablesOnly(flow), settings.Filter with { Flow = flow.Name }, settings.Apply, settings.Rate);
        var report = await job.RunAsync(source => Open(platform, log, settings, source, inputs), stop);
        if (settings.Json)
        {
            Console.Out.WriteLine(report.Json());
        }
        else
        {
            report.Print(Console.Out);
        }

        return ExitCodes.Good;
    }

    // Rows of other sinks may be read by anybody already: only tables can be proved to lack them.
    private static FlowDefinition TablesOnly(FlowDefinition flow)
    {
        foreach (var sink in flow.Sinks.Where(s => s.Settings is not ClickHouseSinkSettings))
        {
            Notices.Say($"{sink.Settings.Describe} is left out: a replay writes tables only");
        }

        return flow with { Sinks = [.. flow.Sinks.Where(s => s.Settings is ClickHouseSinkSettings)] };
    }

    private static EmbeddedLog? OpenLog(string store, FlowDefinition flow, Dictionary<string, string> inputs)
    {
        var folder = Path.Combine(Path.GetFullPath(store), "log");
        if (!Directory.Exists(folder) || flow.Sources.All(s => s.Settings.Topic is null || inputs.ContainsKey(s.Name)))
        {
            return null;
        }

        try
        {
            return EmbeddedLog.Open(new EmbeddedLogOptions(folder), TimeProvider.System);
        }
        catch (IOException e)
        {
            Notices.Say($"{e.Message}. Records whose whole text is kept as sample are replayed without it");
            return null;
        }
    }

    private static ISource? Open(Platform platform, EmbeddedLog? log, ReplaySettings settings, SourceDefinition source, Dictionary<string, string> inputs) =>
        inputs.TryGetValue(source.Name, out var file) ? platform.Files.Open(file)
        : source.Type == "file" ? source.Settings.Create()
        : source.Type == "kafka" && settings.Kafka is not null ? source.Settings.Create()
        : log is not null && source.Settings.Topic is { } topic && log.Exists(topic) ? new LogConnector(log).Open(topic, bounded: true)
        : null;

    private sealed record ReplaySettings(string Flow, string[] Input, LetterFilter Filter, bool Apply, int Rate, string Store, string? ClickHouse, string? Kafka, bool Json);
}
