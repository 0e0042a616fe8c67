using System.Text;
using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Tests.Graph;

public sealed class BarrierTests : IDisposable
{
    private const string Yaml = """
        flow: f
        biz: 2
        sources:
          - { name: in, type: memory, etl: { type: csv3 } }
          - { name: more, type: memory, etl: { type: csv3 } }
        nodes:
          - { name: both, type: merge, from: [in, more] }
          - { name: once, type: dedupe, from: both, by: [host], within: WITHIN }
        sinks:
          - { type: memory, from: once }
        """;

    private readonly ActorSystem _system = ActorSystem.Create("barriers", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public void Dispose() => _system.Dispose();

    [Theory]
    [InlineData("1 | 2", "3 4 |", "1 3 4", "2")]
    [InlineData("| 1 2", "3 4 5 |", "3 4 5", "1 2")]
    [InlineData("1 | 2", "3", "1 3", "2")]
    [InlineData("1", "2 3 | 4", "1 2 3", "4")]
    [InlineData("| 1 | 2", "3 | 4 | 5", "3", "1 4 | 2 5")]
    public async Task AnInputThatHasItsBarrierWaitsForTheOthers(string first, string second, string before, string behind)
    {
        var stage = new OperatorStage("both", 2, [], new TestFlows.Pass(2), new NodeCounters("both", "pass"));
        var graph = RunnableGraph.FromGraph(GraphDsl.Create(Sink.Seq<StreamElement>(), (builder, sink) =>
        {
            var shape = builder.Add(stage);
            builder.From(builder.Add(Source.From(Elements(first)))).To((Inlet<StreamElement>)shape.Inlets[0]);
            builder.From(builder.Add(Source.From(Elements(second)))).To((Inlet<StreamElement>)shape.Inlets[1]);
            builder.From((Outlet<StreamElement>)shape.Outlets[0]).To(sink);
            builder.From((Outlet<StreamElement>)shape.Outlets[1]).To(builder.Add(Sink.Ignore<StreamElement>().MapMaterializedValue(_ => Akka.NotUsed.Instance)));
            return ClosedShape.Instance;
        }));
        var elements = await graph.Run(_system.Materializer()).WaitAsync(TimeSpan.FromSeconds(20), Cancel);
        var text = string.Join(' ', elements.Select(e => e is StreamBarrier ? "|" : ((RecordBatch)e).Times[0].ToString(System.Globalization.CultureInfo.InvariantCulture)));
        var parts = text.Split('|');
        var expected = $"{before} | {behind}".Split('|');
        Assert.Equal(expected.Select(Sorted), parts.Select(Sorted));

        static string Sorted(string part) => string.Join(' ', part.Split(' ', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task StateAndPositionsGoOnInTheNextRun()
    {
        var store = new MemoryCheckpointStore();
        Assert.Equal(["a 1", "b 2"], await RunAsync(store, "10m", ["1,a,1", "2,b,2", "3,a,3"], []));
        var record = await RecordAsync(store);
        Assert.Equal([2L], record.Cuts.Values.Select(c => c.Offset));
        Assert.Equal(["once"], record.States.Keys);

        // The second run reads what is new only, and still knows the keys of the first.
        Assert.Equal(["c 4"], await RunAsync(store, "10m", ["1,a,1", "2,b,2", "3,a,3", "4,c,4", "5,a,5"], ["6,b,6"]));
        Assert.Equal(["f/in/0 4", "f/more/0 0"], (await RecordAsync(store)).Cuts.Select(c => $"{c.Key} {c.Value.Offset}"));
    }

    [Fact]
    public async Task StateOfOtherSettingsIsRefusedWithAReason()
    {
        var store = new MemoryCheckpointStore();
        await RunAsync(store, "10m", ["1,a,1"], []);
        var refused = await Assert.ThrowsAnyAsync<CheckpointException>(() => RunAsync(store, "20m", ["1,a,1"], []));
        Assert.Contains("the state of node 'once'", refused.Message, StringComparison.Ordinal);
        Assert.Contains("'by host string within 600000 ms' and are 'by host string within 1200000 ms' now", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheFormerOwnerPublishesNothing()
    {
        var store = new MemoryCheckpointStore();
        await using var old = await FlowLedger.OpenAsync("f", "r", store, TimeProvider.System, TimeSpan.FromHours(1), Cancel);
        old.UseBarriers().Source("in");
        Assert.Equal(7, await old.ClaimAsync("in", 0, "", "", () => 7, Cancel));
        await using var next = await FlowLedger.OpenAsync("f", "r", store, TimeProvider.System, TimeSpan.FromHours(1), Cancel);
        next.UseBarriers().Source("in");
        Assert.Equal(7, await next.ClaimAsync("in", 0, "", "", () => 500, Cancel));
        await Assert.ThrowsAsync<FencedException>(() => old.ClaimAsync("in", 1, "", "", () => 0, Cancel));
        Assert.Equal(["f/in/0"], (await RecordAsync(store)).Cuts.Keys);
    }

    private static async Task<FlowRecord> RecordAsync(MemoryCheckpointStore store) =>
        FlowRecordFormat.Decode(Assert.Single(await store.ReadAsync(FlowRecord.FolderOf("f"), Cancel)).Record, "f");

    private static StreamElement[] Elements(string text) =>
        [.. text.Split(' ').Select((e, i) => e == "|" ? (StreamElement)new StreamBarrier(text.Split(' ').Take(i + 1).Count(x => x == "|")) : Batch(long.Parse(e, System.Globalization.CultureInfo.InvariantCulture)))];

    private static RecordBatch Batch(long time)
    {
        var builder = new BatchBuilder(new Schema(Schema.Time));
        builder.SetInt64(0, time);
        builder.CommitRow();
        return builder.Build(new Lineage("in", 0, time, time));
    }

    private async Task<IReadOnlyList<string>> RunAsync(MemoryCheckpointStore store, string within, string[] first, string[] second)
    {
        var sink = new MemorySink();
        var handle = await StartAsync(store, within, Memory(first), Memory(second), sink);
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), Cancel);
        Assert.All(handle.Nodes, n => Assert.Equal(0, n.Imbalance));
        return [.. sink.Batches.SelectMany(b => Enumerable.Range(0, b.Count).Select(r => $"{b["host"].GetValue(r)} {b.Times[r]}")).Order(StringComparer.Ordinal)];

        static MemorySource Memory(string[] lines) => new([.. lines.Select(l => (0, Encoding.UTF8.GetBytes(l), 0L))], 2);
    }

    private async Task<FlowHandle> StartAsync(MemoryCheckpointStore store, string within, MemorySource first, MemorySource second, MemorySink sink)
    {
        var reading = TestFlows.Read(Yaml.Replace("WITHIN", within, StringComparison.Ordinal));
        Assert.True(reading.Flow is not null, string.Join('\n', reading.Diagnostics));
        return FlowCompiler.Run(reading.Flow, new FlowEnvironment(TimeProvider.System, new MemorySink())
        {
            Sources = new Dictionary<string, ISource>(StringComparer.Ordinal) { ["in"] = first, ["more"] = second },
            Sinks = _ => sink,
            Ledger = await FlowLedger.OpenAsync("f", reading.Flow.Revision, store, TimeProvider.System, TimeSpan.FromMilliseconds(5), Cancel),
        }, _system.Materializer());
    }
}
