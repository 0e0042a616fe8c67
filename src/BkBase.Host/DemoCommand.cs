using System.Buffers;
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using BkBase.Lab;

namespace BkBase.Host;

/// <summary>
/// <c>bkbase demo</c>: the product on generated data. The Lab writes into the embedded log under the topics that the
/// flows name; the flows read it there in the place of Kafka and write to the embedded store.
/// </summary>
internal static class DemoCommand
{
    private const int Partitions = 4;

    public static Command Create()
    {
        var store = new Option<string>("--store") { Description = "data directory; a fresh one in the temporary folder by default" };
        var flows = new Option<string>("--flows") { Description = "folder of flows", DefaultValueFactory = _ => "flows" };
        var minutes = new Option<int>("--minutes") { Description = "minutes of simulated time", DefaultValueFactory = _ => 30 };
        var seed = new Option<ulong>("--seed") { Description = "seed of the generated data", DefaultValueFactory = _ => 1UL };
        var json = CommonOptions.Json();
        var command = new Verb("demo", "Run the product on generated data of two clusters with scripted incidents, and show the tables.", "bkbase demo --minutes 5", "bkbase demo --minutes 5 --seed 7 --store demo-data --json") { store, flows, minutes, seed, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(parsed.GetValue(store), parsed.GetValue(flows)!, parsed.GetValue(minutes), parsed.GetValue(seed), parsed.GetValue(json), stop)));
        return command;
    }

    private static async Task<int> RunAsync(string? directory, string folder, int minutes, ulong seed, bool json, CancellationToken stop)
    {
        var fresh = directory is null;
        directory ??= Directory.CreateTempSubdirectory("bkbase-demo-").FullName;
        await Console.Error.WriteLineAsync("starting the embedded store ...");
        await using (var platform = await Platform.OpenAsync(directory, null, "localhost:9092", stop))
        {
            if (Read(platform.Catalog, folder) is not { Count: > 0 } flows)
            {
                return ExitCodes.Invalid;
            }

            await Console.Error.WriteLineAsync($"generating {minutes} minutes of metrics, events and logs of 2 clusters, with incidents, into the embedded log ...");
            var topics = await GenerateAsync(platform.Log, minutes, seed, stop);
            var log = new LogConnector(platform.Log);
            var handles = new List<FlowHandle>();
            foreach (var flow in flows.Where(f => f.Sources.All(s => s.Settings.Topic is { } t && topics.Contains(t))))
            {
                handles.Add(await platform.StartAsync(flow, flow.Sources.ToDictionary(s => s.Name, s => log.Open(s.Settings.Topic!, bounded: true), StringComparer.Ordinal), stop));
            }

            await using (stop.Register(() => handles.ForEach(h => h.Stop())))
            {
                await Progress.ShowAsync(handles, quiet: false);
            }

            await ShowTablesAsync(platform, directory, handles, json, stop);
        }

        if (json)
        {
            return ExitCodes.Good;
        }

        Console.Out.WriteLine($"look into the tables: bkbase query \"SELECT * FROM bkbase.`2_k8s_metrics` LIMIT 5\" --store {directory}");
        if (fresh)
        {
            Console.Out.WriteLine("the data stays there until you remove the folder");
        }

        return ExitCodes.Good;
    }

    private static List<FlowDefinition> Read(FlowCatalog catalog, string folder)
    {
        var diagnostics = new List<Diagnostic>();
        var readings = FlowFiles.ReadAll(catalog, FlowFiles.Find([folder], diagnostics), diagnostics);
        if (diagnostics.Exists(d => d.Severity == Severity.Error))
        {
            diagnostics.ForEach(Console.Error.WriteLine);
            return [];
        }

        return [.. readings.Select(r => r.Flow!)];
    }

    private static async Task<HashSet<string>> GenerateAsync(EmbeddedLog log, int minutes, ulong seed, CancellationToken stop)
    {
        // The past minutes up to now: older rows would fall to the tables' TTL.
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() / 60_000 * 60_000;
        var options = new LabOptions { Seed = seed, Script = LabScript.Demo, Start = now - (minutes * 60_000L) };
        var generator = new LabGenerator(options);
        var end = options.Start + (minutes * 60_000L);
        var buffer = new ArrayBufferWriter<byte>(1 << 16);
        var batches = new Dictionary<(string Topic, int Partition), RawBatch>();
        var topics = new HashSet<string>(StringComparer.Ordinal);
        while (generator.NextTime < end && !stop.IsCancellationRequested)
        {
            buffer.ResetWrittenCount();
            var record = generator.Next(buffer);
            var key = (record.Topic.TopicName(), record.Partition(Partitions));
            if (topics.Add(key.Item1) && !log.Exists(key.Item1))
            {
                log.Create(key.Item1, Partitions);
            }

            if (!batches.TryGetValue(key, out var batch))
            {
                batches[key] = batch = RawBatch.Rent(key.Item1, key.Item2);
            }

            batch.Add(buffer.WrittenSpan, batch.Count, record.EventTime);
            if (batch.Count == 1000)
            {
                batches.Remove(key);
                await AppendAsync(log, key, batch);
            }
        }

        foreach (var (key, batch) in batches)
        {
            await AppendAsync(log, key, batch);
        }

        return topics;
    }

    private static async Task AppendAsync(EmbeddedLog log, (string Topic, int Partition) key, RawBatch batch)
    {
        using (batch)
        {
            await log.AppendAsync(key.Topic, key.Partition, batch, batch.AppendTime(batch.Count - 1));
        }
    }

    private static async Task ShowTablesAsync(Platform platform, string directory, List<FlowHandle> handles, bool json, CancellationToken stop)
    {
        var rows = await platform.ClickHouse.Session.QueryAsync(
            $"SELECT t.name, t.total_rows, round(t.total_bytes / greatest(t.total_rows, 1), 1) FROM system.tables t WHERE database = '{platform.ClickHouse.Options.Database}' ORDER BY name", stop);
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(new
            {
                store = directory,
                flows = handles.Select(h => RunSummary.Of(h, platform.ClickHouse)),
                tables = rows.Select(r => new { table = r[0], rows = long.Parse(r[1] ?? "0", CultureInfo.InvariantCulture), bytesPerRow = double.Parse(r[2] ?? "0", CultureInfo.InvariantCulture) }),
            }, CommonOptions.JsonForm));
            return;
        }

        Console.Out.WriteLine($"{handles.Count} flows wrote:");
        foreach (var row in rows)
        {
            Console.Out.WriteLine($"  {row[0],-24} {row[1],12} rows, {row[2]} bytes per row on disk");
        }
    }
}
