using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Runtime;
using BkBase.Flows.Runtime.Checkpoints;
using BkBase.Store;

namespace BkBase.Host;

/// <summary><c>bkbase audit</c>: whether a flow's tables hold what its checkpoints say.</summary>
internal static class AuditCommand
{
    private static readonly JsonSerializerOptions Json = new(CommonOptions.JsonForm) { Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) } };

    public static Command Create()
    {
        var flow = new Argument<string>("flow") { Description = "flow file, or name of a flow" };
        var store = CommonOptions.Store();
        var clickHouse = CommonOptions.ClickHouse();
        var accept = new Option<bool>("--accept-loss") { Description = "take the tables as they are: the flow goes on behind its mark without the rows that are gone. Stop the flow first" };
        var json = CommonOptions.Json();
        var command = new Verb(
            "audit",
            "Compare the checkpoints of a flow with its tables: names blocks that are missing, partial or double. 0 when the tables are exact, 1 with a list otherwise. The flow may run meanwhile.",
            "bkbase audit flows/k8s/container_logs.yaml --store data",
            "bkbase audit flows/k8s/container_logs.yaml --store data --json") { flow, store, clickHouse, accept, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            new Settings(parsed.GetValue(flow)!, parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(accept), parsed.GetValue(json)), stop)));
        return command;
    }

    private static async Task<int> RunAsync(Settings settings, CancellationToken stop)
    {
        var reader = new FlowReader(HostCatalog.Offline());
        var name = settings.Flow;
        if (File.Exists(name))
        {
            var reading = FlowFiles.Read(reader, name);
            if (reading.Flow is not { } flow)
            {
                await Console.Error.WriteLineAsync(string.Join('\n', reading.Diagnostics));
                return ExitCodes.Invalid;
            }

            name = flow.Name;
        }

        var folder = Path.Combine(Path.GetFullPath(settings.Store), "checkpoints");
        if (!Directory.Exists(folder))
        {
            throw new CheckpointException($"{folder} does not exist: no flow ran with --store {settings.Store}");
        }

        var checkpoints = new DirectoryCheckpointStore(folder);
        var launcher = new FlowLauncher(checkpoints, reader);
        var records = await launcher.RecordsAsync(name, stop);
        if (records.Count == 0 && (await checkpoints.ReadAsync(FlowRecord.FolderOf(name), stop)).Count > 0)
        {
            throw new CheckpointException($"flow '{name}' has nodes that hold state; its record is of another kind, which audit does not compare yet");
        }

        if (records.Count == 0)
        {
            throw new CheckpointException($"flow '{name}' has no checkpoint in {folder}: it never ran with this --store, or its name is another");
        }

        await using var store = settings.ClickHouse is { Length: > 0 } ? null : await StoreProcess.AttachOrStartAsync(
            new StoreOptions(Path.GetFullPath(settings.Store)) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
        var options = store is null ? Platform.Address(settings.ClickHouse!) : ClickHouseOptions.At(new Uri(store.Address));
        using var connector = new ClickHouseConnector(options with { Retrying = r => Notices.Retrying($"{options.Host}:{options.Port}", r) }, TimeProvider.System);
        var report = await new TableAudit(connector, TimeProvider.System).RunAsync(() => launcher.RecordsAsync(name, stop), stop);
        Print(name, records, report, settings.Json);
        if (!settings.AcceptLoss || report.IsExact)
        {
            return report.IsExact ? ExitCodes.Good : ExitCodes.Failed;
        }

        return await AcceptAsync(checkpoints, report, stop);
    }

    private static async Task<int> AcceptAsync(DirectoryCheckpointStore checkpoints, AuditReport report, CancellationToken stop)
    {
        var missing = report.Findings.Where(f => f.Fault is AuditFault.Missing).ToArray();
        foreach (var task in missing.GroupBy(f => f.Task, StringComparer.Ordinal))
        {
            // The claim ends a process that still runs the flow: what it knows is outdated from here on.
            var claim = await checkpoints.ClaimAsync(task.Key, stop);
            var record = TaskRecordFormat.Decode(claim.Record, task.Key, claim.At);
            var accepted = DeliveryAudit.Accept(record, [.. task]);
            if ((await checkpoints.PublishAsync([new Publication(task.Key, claim.Epoch, TaskRecordFormat.Encode(accepted))], stop)).Count > 0)
            {
                throw new FencedException(task.Key);
            }

            await Console.Error.WriteLineAsync($"bkbase: {task.Key}: goes on behind offset {accepted.Mark}");
        }

        var left = report.Findings.Count - missing.Length;
        if (left > 0)
        {
            await Console.Error.WriteLineAsync($"bkbase: {left} findings are no loss that could be accepted: delete the rows of those blocks, or restore the table");
        }

        return left > 0 ? ExitCodes.Failed : ExitCodes.Good;
    }

    private static void Print(string flow, IReadOnlyList<TaskRecord> records, AuditReport report, bool json)
    {
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(
                new
                {
                    flow,
                    exact = report.IsExact,
                    report.Checked,
                    report.Pending,
                    report.Expired,
                    report.Findings,
                    Tasks = records.Select(r => new { r.Task, r.Revision, r.Mark, r.Reach, Edges = r.Edges.Select(e => new { Edge = e.Key, e.Value.Table, e.Value.Mark, Blocks = e.Value.Blocks.Length, Newest = e.Value.Newest?.Number }) }),
                },
                Json));
            return;
        }

        foreach (var record in records)
        {
            foreach (var (edge, progress) in record.Edges)
            {
                Console.Out.WriteLine($"{record.Task}: {edge}: mark {progress.Mark}, {progress.Blocks.Length} blocks above it{(progress.Newest is { } n ? $", newest confirmed {n.Number}" : "")}");
            }
        }

        foreach (var finding in report.Findings)
        {
            Console.Out.WriteLine($"{finding.Fault.ToString().ToUpperInvariant()} {finding.Task}{(finding.Task.Length == 0 ? "" : ": ")}{finding.Message}");
        }

        var rest = $"{(report.Pending == 0 ? "" : $", {report.Pending} pending, which the next run settles")}{(report.Expired == 0 ? "" : $", {report.Expired} too old to say")}";
        Console.Out.WriteLine($"flow {flow}: {report.Checked} blocks compared{rest}; {(report.IsExact ? "exact" : $"{report.Findings.Count} findings")}");
    }

    private sealed record Settings(string Flow, string Store, string? ClickHouse, bool AcceptLoss, bool Json);
}
