using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary>The platform of one process: opened, served and drained in order.</summary>
internal static class Up
{
    public static async Task<int> RunAsync(UpOptions options, bool json, CancellationToken stop)
    {
        // Flows are read before anything is opened: their mistakes need no store.
        var (checkedFlows, invalid, diagnostics) = FlowSet.Read(HostCatalog.Offline(), options.Flows.Directory);
        foreach (var diagnostic in diagnostics)
        {
            await Console.Error.WriteLineAsync(diagnostic.ToString());
        }

        if (checkedFlows.Count == 0)
        {
            await Console.Error.WriteLineAsync(invalid.Count == 0
                ? $"bkbase: there are no flow files (*.yaml) in '{options.Flows.Directory}'"
                : $"bkbase: none of the {invalid.Count} flow files in '{options.Flows.Directory}' can run; see bkbase check");
            return ExitCodes.Invalid;
        }

        var store = new StoreTrouble(TimeProvider.System);
        try
        {
            await using var platform = await Platform.OpenAsync(Of(options, store), stop);
            return await ServeAsync(options, platform, store, checkedFlows, invalid, json, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return ExitCodes.Good; // before anything was read
        }
    }

    private static async Task<int> ServeAsync(
        UpOptions options, Platform platform, StoreTrouble store, IReadOnlyList<FlowDefinition> checkedFlows, IReadOnlyList<FlowHealth> invalid, bool json, CancellationToken stop)
    {
        var good = checkedFlows.Select(f => f.File).ToHashSet(StringComparer.Ordinal);
        var definitions = FlowSet.Read(platform.Catalog, options.Flows.Directory).Flows.Where(f => good.Contains(f.File)).ToList();
        var policy = new RestartPolicy(options.Flows.RestartMin, options.Flows.RestartMax, options.Flows.Seed);
        var hasKafka = options.Kafka.BootstrapServers is not null;
        using var flows = new FlowSet([.. definitions.Select(f => new FlowRunner(f, stop => StartAsync(platform, f, hasKafka, stop), policy, TimeProvider.System))], invalid);
        var progress = new UpProgress(flows, json);

        using var metrics = new UpMetrics(flows);
        var log = new EmbeddedIngestLog(platform.Log, platform.Checkpoints, Path.GetFullPath(options.Store.Directory));
        var ingest = new Ingest(
            options.Ingest, IngestTopics.Of(definitions, hasKafka, options.Ingest.Topics), log, t => log.LagOf(t, flows.LagOf), metrics.Ingest, TimeProvider.System);
        await using var server = await UpServer.StartAsync(options.Http, ingest, () => Health(flows, store, stop));
        flows.Start();
        progress.Say("ready", $"up at {server.Address}, {definitions.Count} flows of {options.Flows.Directory}{(invalid.Count > 0 ? $", {invalid.Count} files cannot run" : "")}", new { address = server.Address, flows = definitions.Count, invalid = invalid.Count });
        await progress.ShowAsync(stop);
        return await DrainAsync(options, ingest, flows, progress);
    }

    private static PlatformOptions Of(UpOptions options, StoreTrouble store) => new(options.Store.Directory)
    {
        ClickHouse = options.Store.ClickHouse,
        Kafka = new KafkaOptions(options.Kafka.BootstrapServers ?? "localhost:9092") { Settings = options.Kafka.Settings },
        Log = l => l with { Partitions = options.Log.Partitions, RetentionBytes = options.Log.RetentionBytes, Retention = options.Log.Retention },
        Retrying = store.Note,
    };

    private static async Task<FlowHandle> StartAsync(Platform platform, FlowDefinition flow, bool hasKafka, CancellationToken stop)
    {
        var log = new LogConnector(platform.Log);
        var handle = await platform.StartAsync(flow, flow.Sources.Where(s => s.Type == "kafka" && !hasKafka)
            .ToDictionary(s => s.Name, s => log.Open(s.Settings.Topic!), StringComparer.Ordinal), stop);
        platform.Metrics.Register(flow.Name, handle.Nodes, handle.Ledger);
        return handle;
    }

    private static UpHealth Health(FlowSet flows, StoreTrouble store, CancellationToken stop)
    {
        var all = flows.Health();
        var ill = all.Where(f => !f.IsWell).Select(f => f.Flow).ToList();
        return new UpHealth(stop.IsCancellationRequested ? "stopping" : ill.Count > 0 ? $"not well: {string.Join(", ", ill)}" : "well", store.Now, all);
    }

    private static async Task<int> DrainAsync(UpOptions options, Ingest ingest, FlowSet flows, UpProgress progress)
    {
        progress.Say("stopping", $"stopping: what was read is written and confirmed first, for at most {options.Flows.Drain.TotalSeconds:0} s; Ctrl-C again ends at once");
        ingest.Close();
        var left = await flows.StopAsync(options.Flows.Drain);
        progress.Say("stopped", left.Count == 0
            ? "stopped: all that was read is confirmed"
            : $"stopped: {string.Join(", ", left)} could not confirm all within Flows:Drain; what is not confirmed is read again at the next start", new { unconfirmed = left });
        return left.Count == 0 ? ExitCodes.Good : ExitCodes.Failed;
    }
}

/// <summary>What flows wait for at the store, as long as it lasts.</summary>
internal sealed class StoreTrouble(TimeProvider time)
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);
    private volatile Tuple<string, DateTimeOffset>? _last;

    /// <summary>The last failure whose retry has not had the time to succeed; null when all is well.</summary>
    public string? Now => _last is { } last && time.GetUtcNow() < last.Item2 ? last.Item1 : null;

    public void Note(ClickHouseRetry retry) =>
        _last = Tuple.Create(FormattableString.Invariant($"{retry.What}: {retry.Message} (try {retry.Attempt})"), time.GetUtcNow() + retry.Delay + Grace);
}
