using System.Text;
using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Graph;

/// <summary>A source of which too much is refused is paused; a dead-letter store that fails holds back the marks.</summary>
public sealed class RejectionBrakeTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("tests", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");

    public void Dispose() => _system.Terminate().Wait();

    [Fact]
    public async Task A_share_above_the_limit_pauses_the_source_with_its_reason_and_a_stop_still_drains()
    {
        var source = new MemorySource([.. Enumerable.Range(0, 100_000).Select(i => (0, Bytes(i < 5000 && i % 2 == 0 ? $"{i},h,1" : i < 5000 && i % 4 == 1 ? $"{i},h,1" : "bad"), 0L))]);
        var dead = new MemorySink();
        var handle = Run(source, dead, "rejected: 0.5");
        await UntilAsync(() => handle.Nodes[0].Trouble is not null || handle.Completion.IsCompleted);

        // Of the first 5000 a quarter is refused; the brake looks at 1000 at a time.
        Assert.Equal("paused: 1000 of the last 1000 were refused, more than limits.rejected (0.5) allows; nothing more is read. See 'bkbase dead-letters', put the flow right, and start it again: it goes on here", handle.Nodes[0].Trouble);
        Assert.Equal((6000, 2250, 1), (handle.Nodes[0].In, handle.Nodes[0].Rejected, handle.Nodes[0].Troubles));
        Assert.False(handle.Completion.IsCompleted);
        handle.Stop();
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.Equal((2250, 5999L), (dead.Rejections.Count, source.Confirmed[0]));
    }

    [Fact]
    public async Task Without_a_limit_everything_is_read()
    {
        var source = new MemorySource([.. Enumerable.Range(0, 5000).Select(_ => (0, Bytes("bad"), 0L))]);
        var handle = Run(source, new MemorySink(), "flush: 1s");
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.Equal((5000, (string?)null), (handle.Nodes[0].Rejected, handle.Nodes[0].Trouble));
    }

    [Fact]
    public async Task A_dead_letter_store_that_fails_stops_the_commit_and_a_new_start_loses_nothing()
    {
        var checkpoints = new MemoryCheckpointStore();
        (int, byte[], long)[] records = [.. Enumerable.Range(0, 3000).Select(i => (0, Bytes(i == 1500 ? "bad" : $"{i},h,1"), 0L))];
        var first = new MemorySource(records);
        var handle = Run(first, new FailingSink(), "flush: 1s", await FlowLedger.OpenAsync("f", "r", checkpoints, TimeProvider.System, TimeSpan.FromSeconds(2), TestContext.Current.CancellationToken));
        await Assert.ThrowsAnyAsync<Exception>(() => handle.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken));
        Assert.True(first.Confirmed.GetValueOrDefault(0, -1) < 1500, "the mark passed a refusal that is nowhere");

        var dead = new MemorySink();
        var again = Run(new MemorySource(records), dead, "flush: 1s", await FlowLedger.OpenAsync("f", "r", checkpoints, TimeProvider.System, TimeSpan.FromSeconds(2), TestContext.Current.CancellationToken));
        await again.Completion.WaitAsync(TimeSpan.FromSeconds(20), TestContext.Current.CancellationToken);
        Assert.Equal(1500, Assert.Single(dead.Rejections).Rejection.Offset);
    }

    private FlowHandle Run(ISource source, ISink dead, string limits, FlowLedger? ledger = null)
    {
        var flow = TestFlows.Read($$"""
            flow: f
            biz: 2
            sources:
              - { name: in, type: memory, etl: { type: csv3 } }
            sinks:
              - { type: memory, from: in }
            limits: { {{limits}} }
            """).Flow!;
        return FlowCompiler.Run(
            flow,
            new FlowEnvironment(TimeProvider.System, dead) { Ledger = ledger, Sources = new Dictionary<string, ISource>(StringComparer.Ordinal) { ["in"] = source } },
            _system.Materializer());
    }

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var i = 0; i < 2000 && !condition(); i++)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        Assert.True(condition());
    }

    private sealed class FailingSink : ISink
    {
        public Akka.Streams.Dsl.Flow<StreamElement, Confirmation, Akka.NotUsed> Create(SinkContext context) =>
            Flow.Create<StreamElement>().SelectMany(e => e is RejectionBatch { Rejections.Count: > 0 }
                ? throw new IOException("the dead letters are away")
                : Lineages.Of(e) is { } l ? [new Confirmation(l.Source, l.Partition, l.LastOffset)] : Array.Empty<Confirmation>());
    }
}
