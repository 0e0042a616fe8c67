using System.Text;
using Akka.Actor;
using Akka.Streams;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Graph;

public sealed class FlowCompilerTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("tests", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");

    public void Dispose() => _system.Terminate().Wait();

    [Fact]
    public async Task Rows_reach_every_reader_refusals_the_dead_letters_and_offsets_are_confirmed()
    {
        var flow = TestFlows.Read("""
            flow: f
            biz: 2
            sources:
              - { name: in, type: memory, etl: { type: csv3 } }
            nodes:
              - { name: a, type: pass, from: in }
              - { name: b, type: pass, from: a }
            sinks:
              - { type: memory, from: a }
              - { type: memory, from: b }
            """).Flow!;
        var source = Source(("1,h1,1", 0), ("bad", 0), ("2,h2,2;3,h3,3;oops", 1), ("", 0));
        var sinks = new List<MemorySink>();
        var dead = new MemorySink();
        var handle = FlowCompiler.Run(flow, new FlowEnvironment(TimeProvider.System, dead)
        {
            Sources = new Dictionary<string, ISource>(StringComparer.Ordinal) { ["in"] = source },
            Sinks = _ =>
            {
                sinks.Add(new MemorySink());
                return sinks[^1];
            },
        }, _system.Materializer());
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);

        Assert.All(sinks, s => Assert.Equal(3, s.Rows));
        Assert.Equal(["not three fields", "not three fields"], dead.Rejections.Select(r => r.Rejection.Message));
        Assert.Equal([(0, 1L), (1, 0L)], dead.Rejections.Select(r => (r.Lineage.Partition, r.Rejection.Offset)).Order());
        Assert.Equal(2, source.Confirmed[0]);
        Assert.Equal(0, source.Confirmed[1]);
        var etl = handle.Nodes[0];
        Assert.Equal((4, 2, 3, 1, 2), (etl.In, etl.Made, etl.Out, etl.Filtered, etl.Rejected));
        Assert.All(handle.Nodes, n => Assert.Equal(0, n.Imbalance));
    }

    [Fact]
    public async Task A_record_too_far_ahead_of_its_append_time_is_rejected_and_its_neighbours_stay()
    {
        var flow = TestFlows.Read("""
            flow: f
            biz: 2
            sources:
              - { name: in, type: memory, etl: { type: csv3 } }
            sinks:
              - { type: memory }
            limits: { future: 1h }
            """).Flow!;
        var dead = new MemorySink();
        var sink = new MemorySink();
        var handle = FlowCompiler.Run(flow, new FlowEnvironment(TimeProvider.System, dead)
        {
            Sources = new Dictionary<string, ISource>(StringComparer.Ordinal)
            {
                ["in"] = new MemorySource([(0, "1000,a,1;999999999,b,2;2000,c,3"u8.ToArray(), 5000)]),
            },
            Sinks = _ => sink,
        }, _system.Materializer());
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.Equal([1000L, 2000L], sink.Batches[0].Times.ToArray());
        Assert.Equal(RejectReason.FutureTime, Assert.Single(dead.Rejections).Rejection.Reason);
        Assert.Equal(0, handle.Nodes[0].Imbalance);
    }

    private static MemorySource Source(params (string Line, int Partition)[] lines) =>
        new([.. lines.Select(l => (l.Partition, Encoding.UTF8.GetBytes(l.Line), 0L))]);
}
