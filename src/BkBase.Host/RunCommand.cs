using System.CommandLine;
using System.Text.Json;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;

namespace BkBase.Host;

/// <summary><c>bkbase run</c>: one flow, until its input ends or Ctrl-C.</summary>
internal static class RunCommand
{
    public static Command Create()
    {
        var path = new Argument<string>("flow") { Description = "flow file" };
        var input = new Option<string[]>("--input") { Description = "[SOURCE=]FILE: puts a file of JSON lines in the place of a source", DefaultValueFactory = _ => [] };
        var store = CommonOptions.Store();
        var clickHouse = CommonOptions.ClickHouse();
        var kafka = CommonOptions.Kafka();
        var append = new Option<bool>("--append") { Description = "write into tables that hold rows of somebody else" };
        var json = CommonOptions.Json();
        var command = new Verb(
            "run",
            "Run one flow until its input ends or Ctrl-C, which drains; a second Ctrl-C ends at once. Run again on the same store, even after a kill, it goes on where the tables end. Prints the balance: where every record went.",
            "bkbase run flows/k8s/container_logs.yaml --input logs.ndjson --store data",
            "bkbase run flows/k8s/container_logs.yaml --input logs.ndjson --store data --append --json") { path, input, store, clickHouse, kafka, append, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(new RunSettings(
            parsed.GetValue(path)!, parsed.GetValue(input)!, parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(kafka)!, parsed.GetValue(append), parsed.GetValue(json)), stop)));
        return command;
    }

    private static async Task<int> RunAsync(RunSettings settings, CancellationToken stop)
    {
        // The flow is read before anything is opened: its mistakes need no store.
        var offline = FlowFiles.Read(new FlowReader(HostCatalog.Offline()), settings.Flow);
        foreach (var diagnostic in offline.Diagnostics)
        {
            await Console.Error.WriteLineAsync(diagnostic.ToString());
        }

        if (offline.Flow is not { } checkedFlow)
        {
            return ExitCodes.Invalid;
        }

        var inputs = Inputs(checkedFlow, settings.Input);
        await using var platform = await Platform.OpenAsync(settings.Store, settings.ClickHouse, settings.Kafka, stop, withLog: checkedFlow.Sources.Any(s => s.Type == "log"));
        var flow = FlowFiles.Read(new FlowReader(platform.Catalog), settings.Flow).Flow!;
        var tables = await TablesInUse.OfAsync(platform.ClickHouse, flow, stop);
        var isKnown = (await platform.Checkpoints.ReadAsync(flow.Name, stop)).Count + (await platform.Checkpoints.ReadAsync(FlowRecord.FolderOf(flow.Name), stop)).Count > 0;
        if (tables.Count > 0 && !isKnown && !settings.Append)
        {
            await Console.Error.WriteLineAsync($"bkbase: {string.Join(", ", tables)} hold rows that no checkpoint of flow '{flow.Name}' in {settings.Store} accounts for; this run would write beside them. Say --append if that is meant, name the right --store, or drop the tables");
            return ExitCodes.Failed;
        }

        SayMissingTopics(platform, flow, inputs);
        var handle = await platform.StartAsync(flow, inputs.ToDictionary(i => i.Key, i => platform.Files.Open(i.Value), StringComparer.Ordinal), stop);
        using var registration = platform.Metrics.Register(flow.Name, handle.Nodes, handle.Ledger);
        await using (stop.Register(handle.Stop))
        {
            await Progress.ShowAsync([handle], quiet: false);
        }

        var summary = RunSummary.Of(handle, platform.ClickHouse);
        if (settings.Json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(summary, CommonOptions.JsonForm));
        }
        else
        {
            summary.Print(Console.Out);
        }

        return summary.Balanced ? ExitCodes.Good : ExitCodes.Failed;
    }

    private static void SayMissingTopics(Platform platform, FlowDefinition flow, Dictionary<string, string> inputs)
    {
        foreach (var source in flow.Sources.Where(s => s.Type == "log" && !inputs.ContainsKey(s.Name)))
        {
            if (source.Settings.Topic is { } topic && !platform.Log.Exists(topic))
            {
                var topics = platform.Log.Topics;
                Notices.Say($"topic '{topic}' of source '{source.Name}' does not exist in the embedded log; it is made now and read when something is appended. " +
                    $"Topics there: {(topics.Count == 0 ? "none" : string.Join(", ", topics))}.{Suggestion.For(topic, topics)}");
            }
        }
    }

    internal static Dictionary<string, string> Inputs(FlowDefinition flow, string[] inputs)
    {
        var files = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var input in inputs)
        {
            var parts = input.Split('=', 2);
            var (source, file) = parts.Length == 2 ? (parts[0], parts[1]) : (flow.Sources[0].Name, input);
            if (flow.Sources.All(s => s.Name != source))
            {
                throw new InvalidSettingException($"--input {input}: the flow has no source '{source}'; its sources are {string.Join(", ", flow.Sources.Select(s => s.Name))}");
            }

            if (parts.Length == 1 && flow.Sources.Count > 1)
            {
                throw new InvalidSettingException($"--input {input}: the flow has several sources; write SOURCE=FILE with one of {string.Join(", ", flow.Sources.Select(s => s.Name))}");
            }

            if (!File.Exists(file))
            {
                throw new InvalidSettingException($"--input {input}: no such file");
            }

            files[source] = Path.GetFullPath(file);
        }

        return files;
    }

    private sealed record RunSettings(string Flow, string[] Input, string Store, string? ClickHouse, string Kafka, bool Append, bool Json);
}
