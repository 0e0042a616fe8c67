using System.Diagnostics;
using System.Runtime;
using Akka.Streams.Dsl;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using BkBase.Lab;

namespace BkBase.Host.Bench;

/// <summary>The stages of the pipeline, each alone in a process of its own, and all of them together.</summary>
internal sealed class BenchStages(BenchTask task, Platform platform)
{
    private const long PreparedMax = 400_000;
    private const int WarmPassesMax = 8;
    private const int WarmMethods = 100;

    // Passes over prepared data go on for so long; a small benchmark is one pass.
    private readonly TimeSpan _leastTime = TimeSpan.FromSeconds(task.Records < 100_000 ? 0 : 1.5);

    private ClickHouseSession Session => platform.ClickHouse.Session;

    /// <summary>The stages in the order in which a round runs them.</summary>
    public static IReadOnlyList<string> All { get; } = ["consume", "parse", "encode", "insert", "whole", "naive"];

    /// <summary>Whether the stage reads from the broker.</summary>
    public static bool Consumes(string stage) => stage is "consume" or "whole" or "naive";

    /// <summary>Whether the stage leaves every row of every message in a table.</summary>
    public static bool Stores(string stage) => stage is "insert" or "whole" or "naive";

    public static async Task<StageFigures> RunAsync(BenchTask task, CancellationToken stop)
    {
        await using var platform = await Platform.OpenAsync(task.Store, null, task.Bootstrap, stop);
        var stages = new BenchStages(task, platform);
        return await (task.Stage switch
        {
            "consume" => stages.ConsumeAsync(),
            "parse" => stages.ParseAsync(),
            "encode" => stages.EncodeAsync(),
            "insert" => stages.InsertAsync(stop),
            "whole" => stages.WholeAsync(stop),
            "naive" => stages.NaiveAsync(stop),
            "storage" => stages.StorageAsync(stop),
            _ => throw new InvalidSettingException($"no stage '{task.Stage}'; stages are {string.Join(", ", All)}"),
        });
    }

    private async Task<StageFigures> ConsumeAsync()
    {
        await WarmAsync(pass => ConsumeAsync(BenchTask.WarmTopic, $"bench_warm_{pass}", task.WarmRecords, null));
        using var board = PositionBoard.Open(task.Board);
        using var meter = new Meter(task);
        return meter.Read(task.Stage, await ConsumeAsync(BenchTask.Topic, "bench_consume", task.Records, board), 0);
    }

    // Measured is code that is compiled for good, as that of a process that runs for long.
    private static async Task WarmAsync(Func<int, Task> pass)
    {
        for (var (passes, compiled) = (0, -WarmMethods); passes < WarmPassesMax && JitInfo.GetCompiledMethodCount() - compiled >= WarmMethods; passes++)
        {
            compiled = (int)JitInfo.GetCompiledMethodCount();
            await pass(passes);
        }
    }

    private async Task<long> ConsumeAsync(string topic, string flow, long records, PositionBoard? board)
    {
        var source = BenchFlow.Read(platform.Catalog, topic, flow).Sources[0].Settings.Create();
        var count = 0L;
        ISourceControl control = null!;
        (control, var done) = (board is null ? source : new NotedSource(source, board))
            .Create(new SourceContext(flow, "metrics", new StartPosition(StartKind.Head), TimeProvider.System, FlowLedger.InMemory(flow, "bench", TimeProvider.System).Source("metrics")))
            .ToMaterialized(
                Sink.ForEach<RawBatch>(batch =>
                {
                    Volatile.Write(ref count, count + batch.Count);
                    control.Confirm(batch.Partition, batch.Lineage.LastOffset);
                    batch.Dispose();
                }),
                Keep.Both)
            .Run(platform.Materializer);
        await Watch.UntilAsync(() => Volatile.Read(ref count), records, done);
        control.Stop();
        await done;
        return count;
    }

    private Task<StageFigures> ParseAsync()
    {
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_parse");
        var output = new EtlOutput(flow.Sources[0].Etl.Schema, flow.Limits.Dictionary);
        var etl = flow.Sources[0].Etl.Create();
        var batches = Raw(Math.Min(task.Records, PreparedMax));
        long rows = 0;
        Repeat(batches, batch => rows += Parse(etl, output, batch).Count);
        rows = 0;
        using var meter = new Meter(task);
        var passes = Repeat(batches, batch => rows += Parse(etl, output, batch).Count);
        return Task.FromResult(meter.Read(task.Stage, passes * batches.Sum(b => (long)b.Count), rows));
    }

    private Task<StageFigures> EncodeAsync()
    {
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_encode");
        var blocks = Blocks(flow);
        var encoder = new NativeEncoder();
        var number = 0UL;
        Repeat(blocks, parts => encoder.Encode(flow.Sinks[0].Schema, parts, number++));
        using var meter = new Meter(task);
        var passes = Repeat(blocks, parts => encoder.Encode(flow.Sinks[0].Schema, parts, number++));
        var rows = passes * blocks.Sum(b => b.Sum(p => (long)p.Count));
        return Task.FromResult(meter.Read(task.Stage, rows / BenchTask.RowsPerRecord, rows));
    }

    private async Task<StageFigures> InsertAsync(CancellationToken stop)
    {
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_insert");
        var encoder = new NativeEncoder();
        var blocks = Blocks(flow).Select((parts, i) => encoder.Encode(flow.Sinks[0].Schema, parts, (ulong)i).ToArray()).ToList();
        await WarmAsync(async pass =>
        {
            var warm = BenchFlow.Read(platform.Catalog, BenchTask.WarmTopic, $"bench_warm_{pass}");
            await PrepareAsync(warm, stop);
            await SendAsync(warm, [.. blocks.Take(Math.Max(1, blocks.Count / 8))], stop);
        });
        await PrepareAsync(flow, stop);
        StageFigures figures;
        using (var meter = new Meter(task))
        {
            await SendAsync(flow, blocks, stop);
            figures = meter.Read(task.Stage, task.Records, 0);
        }

        return await CountAsync(flow, figures, stop);
    }

    private async Task SendAsync(FlowDefinition flow, List<byte[]> blocks, CancellationToken stop)
    {
        var table = BenchFlow.Table(flow, platform.ClickHouse);
        await platform.ClickHouse.Tables().EnsureAsync(table, stop);
        string[] columns = [.. table.Columns.Select(c => c.Name)];
        await Parallel.ForEachAsync(
            Enumerable.Range(0, blocks.Count),
            new ParallelOptions { MaxDegreeOfParallelism = flow.Limits.Pending, CancellationToken = stop },
            async (i, cancel) => await Session.InsertAsync(table.QuotedName, columns, blocks[i], $"{flow.Name}/{task.Seed}/{i}", cancel));
    }

    private async Task<StageFigures> WholeAsync(CancellationToken stop)
    {
        using var board = PositionBoard.Open(task.Board);
        await WarmAsync(async pass =>
        {
            // Each pass is a flow of its own: a flow that ran before would go on behind what it has read.
            var warm = BenchFlow.Read(platform.Catalog, BenchTask.WarmTopic, $"bench_warm_{pass}");
            await PrepareAsync(warm, stop);
            await BenchFlow.RunAsync(platform, warm, task.WarmRecords);
        });
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_whole");
        await PrepareAsync(flow, stop);
        StageFigures figures;
        using (var meter = new Meter(task))
        {
            var records = await BenchFlow.RunAsync(platform, flow, task.Records, new NotedSource(flow.Sources[0].Settings.Create(), board));
            figures = meter.Read(task.Stage, records, 0);
        }

        return await CountAsync(flow, figures, stop);
    }

    private async Task<StageFigures> NaiveAsync(CancellationToken stop)
    {
        using var board = PositionBoard.Open(task.Board);
        var warm = BenchFlow.Read(platform.Catalog, BenchTask.WarmTopic, "bench_warm");
        await WarmAsync(async _ =>
        {
            await PrepareAsync(warm, stop);
            await new NaivePipeline(task.Bootstrap, platform.ClickHouse.Options, null).RunAsync(BenchTask.WarmTopic, BenchFlow.TableName(warm), task.WarmRecords, stop);
        });
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_naive");
        await PrepareAsync(flow, stop);
        StageFigures figures;
        using (var meter = new Meter(task))
        {
            var records = await new NaivePipeline(task.Bootstrap, platform.ClickHouse.Options, board).RunAsync(BenchTask.Topic, BenchFlow.TableName(flow), task.Records, stop);
            figures = meter.Read(task.Stage, records, 0);
        }

        return await CountAsync(flow, figures, stop);
    }

    /// <summary>Metrics of the Lab's clusters through a flow like the product's own; its table is looked at afterwards.</summary>
    private async Task<StageFigures> StorageAsync(CancellationToken stop)
    {
        var flow = BenchFlow.Read(platform.Catalog, BenchTask.Topic, "bench_storage", "bcs_cluster_id, namespace, pod, container, node");
        await PrepareAsync(flow, stop);
        var stream = new MetricStream(new LabWorld(new LabOptions { Seed = task.Seed, Start = task.Start, Script = LabScript.Demo }));
        using var meter = new Meter(task);
        var records = await BenchFlow.RunAsync(platform, flow, task.Records, new LabSource(stream, task.Records, 1));
        return await CountAsync(flow, meter.Read(task.Stage, records, 0), stop);
    }

    /// <summary>A table of the flow, made anew and empty.</summary>
    private async Task PrepareAsync(FlowDefinition flow, CancellationToken stop)
    {
        var table = BenchFlow.Table(flow, platform.ClickHouse);
        await Session.ExecuteAsync($"DROP TABLE IF EXISTS {table.QuotedName}", stop);
        await platform.ClickHouse.Tables().EnsureAsync(table, stop);
    }

    private async Task<StageFigures> CountAsync(FlowDefinition flow, StageFigures figures, CancellationToken stop)
    {
        var found = await Session.QueryAsync(
            $"SELECT count(), sum(toInt128(toUnixTimestamp64Milli(time))) FROM {BenchFlow.Table(flow, platform.ClickHouse).QuotedName}", stop);
        return figures with { Rows = long.Parse(found[0][0]!, System.Globalization.CultureInfo.InvariantCulture), Times = found[0][1] };
    }

    private List<RawBatch> Raw(long records) => [.. new LabSource(task.Stream(warm: false), records, task.Partitions).Batches("metrics")];

    /// <summary>The rows of all messages in the blocks that the sink would cut: one partition, one day.</summary>
    private List<List<BlockPart>> Blocks(FlowDefinition flow)
    {
        var output = new EtlOutput(flow.Sources[0].Etl.Schema, flow.Limits.Dictionary);
        var etl = flow.Sources[0].Etl.Create();
        var open = new Dictionary<int, List<BlockPart>>();
        var blocks = new List<List<BlockPart>>();
        foreach (var raw in Raw(task.Records))
        {
            var batch = Parse(etl, output, raw);
            raw.Dispose();
            if (!open.TryGetValue(batch.Lineage.Partition, out var block) || block.Sum(p => p.Count) + batch.Count > flow.Limits.BlockRows)
            {
                blocks.Add(open[batch.Lineage.Partition] = block = []);
            }

            block.Add(BlockPart.All(batch));
        }

        return blocks;
    }

    private static RecordBatch Parse(IEtl etl, EtlOutput output, RawBatch raw)
    {
        var first = raw.Lineage.FirstOffset;
        for (var i = 0; i < raw.Count; i++)
        {
            output.BeginRecord((int)(raw.Offset(i) - first), raw.Offset(i), raw.AppendTime(i));
            etl.Parse(raw[i], output);
        }

        return output.Rows.Build(raw.Lineage);
    }

    private long Repeat<T>(List<T> items, Action<T> action)
    {
        var started = Stopwatch.GetTimestamp();
        var passes = 0L;
        do
        {
            items.ForEach(action);
            passes++;
        }
        while (Stopwatch.GetElapsedTime(started) < _leastTime);
        return passes;
    }
}
