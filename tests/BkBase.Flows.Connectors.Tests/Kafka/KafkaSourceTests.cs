using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Graph;

namespace BkBase.Flows.Connectors.Tests.Kafka;

public sealed class KafkaSourceTests : KafkaTest
{
    [Fact]
    public async Task TwoFlowsBothGetEverythingInOrder()
    {
        var topic = Kafka.Create("t", 4);
        Kafka.Produce(topic, 4, 0, 20_000);
        using var connector = Connector();
        var runs = new[] { Run(connector.Open(topic), Context("a")), Run(connector.Open(topic), Context("b")) };
        foreach (var run in runs)
        {
            await run.Count(20_000);
            await run.Stop();
            AssertOrdered(run, 4, 20_000);
        }
    }

    [Fact]
    public async Task ManyFlowsOfManyPartitionsShareTheConsumers()
    {
        var topics = Enumerable.Range(0, 3).Select(t => Kafka.Create($"t{t}", 16)).ToArray();
        using var connector = Connector();
        var runs = new List<Running>();
        for (var round = 0; round < 4; round++)
        {
            // Later flows start at the head of topics that others read already.
            foreach (var topic in topics)
            {
                Kafka.Produce(topic, 16, round * 4_000, 4_000);
            }

            runs.AddRange(topics.Select(topic => Run(connector.Open(topic), Context($"f{round}"))));
            foreach (var run in runs)
            {
                await run.Count((round + 1) * 4_000);
            }
        }

        Assert.Equal(12, runs.Count);
        Assert.InRange(connector.ConsumersRunning, 1, connector.Options.Consumers);
        foreach (var run in runs)
        {
            await run.Stop();
            AssertOrdered(run, 16, 16_000);
        }
    }

    [Fact]
    public async Task GoesOnAtTheCommittedOffset()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 1_000);
        var flow = Kafka.Name("a");
        using (var connector = Connector())
        {
            var run = Run(connector.Open(topic), Context(flow));
            await run.Count(1_000);
            Assert.Equal(1_000, run.Control.Lag()[0].Records);
            run.Control.Confirm(0, 599);
            Assert.Equal(400, run.Control.Lag()[0].Records);
            await run.Stop();
        }

        Kafka.Produce(topic, 1, 1_000, 10);
        using var again = Connector();
        var second = Run(again.Open(topic), Context(flow, StartKind.Tail));
        await second.Count(410);
        await second.Stop();
        Assert.Equal(Enumerable.Range(600, 410).Select(i => $"{i}"), second.Texts);
    }

    [Fact]
    public async Task TwoSourcesOfAFlowHaveOffsetsOfTheirOwn()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 100);
        var flow = Kafka.Name("a");
        using (var connector = Connector())
        {
            var runs = new[] { "x", "y" }.Select(source => Run(connector.Open(topic), Context(flow) with { Source = source })).ToArray();
            await runs[0].Count(100);
            await runs[1].Count(100);
            runs[0].Control.Confirm(0, 79);
            runs[1].Control.Confirm(0, 19);
            await runs[0].Stop();
            await runs[1].Stop();
        }

        using var again = Connector();
        var (x, y) = (Run(again.Open(topic), Context(flow) with { Source = "x" }), Run(again.Open(topic), Context(flow) with { Source = "y" }));
        await x.Count(20);
        await y.Count(80);
        await x.Stop();
        await y.Stop();
        Assert.Equal(["80", "20"], new[] { x.Texts[0], y.Texts[0] });
    }

    [Fact]
    public async Task ASlowReaderDoesNotHoldBackTheOtherAndComesBack()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 30_000);
        using var connector = Connector(o => o with { RejoinAfter = TimeSpan.FromMilliseconds(100) });
        var gate = new TaskCompletionSource();
        var slow = Run(connector.Open(topic), Context("slow", batch: 500), () => gate.Task);
        var fast = Run(connector.Open(topic), Context("fast", batch: 500));
        await fast.Count(30_000);
        Assert.Empty(slow.Got);
        Assert.Equal(2, connector.ConsumersRunning);
        gate.SetResult();
        await slow.Count(30_000);
        await Until(() => connector.ConsumersRunning == 1, "the split reader is back at the shared consumer");
        Kafka.Produce(topic, 1, 30_000, 1_000);
        await slow.Count(31_000);
        await fast.Count(31_000);
        await slow.Stop();
        await fast.Stop();
        AssertOrdered(slow, 1, 31_000);
        AssertOrdered(fast, 1, 31_000);
    }

    [Fact]
    public async Task QueuesStayWithinTheirBytes()
    {
        var topic = Kafka.Create("t", 1);
        var value = new byte[1_000];
        value.AsSpan().Fill((byte)'x');
        Kafka.Produce(topic, Enumerable.Range(0, 4_000).Select(_ => (0, value)));
        using var connector = Connector(o => o with { QueueBytes = 300_000 });
        var gate = new TaskCompletionSource();
        var run = Run(connector.Open(topic), Context("slow", batch: 100), () => gate.Task);
        await Until(() => connector.QueuedBytes >= 300_000, "the queue is full");
        var other = Run(connector.Open(topic), Context("other", batch: 100));
        await other.Count(4_000); // one batch at a time goes through, however full the others are
        Assert.InRange(connector.QueuedBytes, 300_000, 300_000 + 200_000);
        gate.SetResult();
        await run.Count(4_000);
        await run.Stop();
        await other.Stop();
        Assert.Equal(0, connector.QueuedBytes);
        Assert.Equal(Enumerable.Range(0, 4_000).Select(i => (long)i), run.Got.Select(g => g.Offset));
    }

    [Fact]
    public async Task TakesARecordOf8MiB()
    {
        var topic = Kafka.Create("t", 1);
        var large = new byte[8 << 20];
        large.AsSpan().Fill((byte)'l');
        Kafka.Produce(topic, [(0, large)]);
        using var connector = Connector();
        var run = Run(connector.Open(topic), Context());
        await run.Count(1); // the mock keeps 5 MiB: any record behind this one goes with it at once, whoever reads
        await run.Stop();
        Assert.Equal(8 << 20, Assert.Single(run.Texts).Length);
    }

    [Fact]
    public async Task TakesLargeRecordsBetweenSmallOnes()
    {
        var topic = Kafka.Create("t", 1);
        var large = new byte[2 << 20];
        large.AsSpan().Fill((byte)'l');
        Kafka.Produce(topic, [(0, "a"u8.ToArray()), (0, large), (0, "b"u8.ToArray()), (0, large), (0, "c"u8.ToArray())]);
        using var connector = Connector();
        var run = Run(connector.Open(topic), Context());
        await run.Count(5);
        Kafka.Produce(topic, [(0, "d"u8.ToArray())]);
        await run.Count(6);
        await run.Stop();
        Assert.Equal(["a", "l2097152", "b", "l2097152", "c", "d"], run.Texts.Select(t => t.Length == 1 ? t : $"{t[0]}{t.Length}"));
        Assert.Equal(Enumerable.Range(0, 6).Select(i => (long)i), run.Got.Select(g => g.Offset));
    }

    [Fact]
    public async Task CommitsWhatSinksConfirmLongAfterTheStop()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 100);
        ScriptedAdmin? admin = null;
        using var connector = Connector(admin: o => admin = new ScriptedAdmin(o));
        var run = Run(connector.Open(topic), Context("a"));
        await run.Count(100);
        await run.Stop();
        await Until(() => Commits().Count > 0, "the start is committed");
        Assert.Equal(("a.input", 0, 0L), Assert.Single(Commits()));
        run.Control.Confirm(0, 59);
        await Until(() => Commits().Contains(("a.input", 0, 60L)), "a confirmation behind the stop");
        run.Control.Confirm(0, 99);
        connector.Dispose();
        Assert.Contains(("a.input", 0, 100L), Commits());

        List<(string Group, int Partition, long Offset)> Commits()
        {
            lock (admin!.Commits)
            {
                return [.. admin.Commits];
            }
        }
    }

    [Fact]
    public async Task CountsWhatRetentionTook()
    {
        Assert.NotNull(Kafka.Mock); // its retention is 5 MiB per partition
        var topic = Kafka.Create("t", 1);
        var value = new byte[100_000];
        Kafka.Produce(topic, Enumerable.Range(0, 200).Select(_ => (0, value)));
        using var connector = Connector(admin: o => new ScriptedAdmin(o) { Committed = new() { [0] = 3 } });
        var run = Run(connector.Open(topic), Context());
        await run.Count(1);
        var lost = Assert.IsAssignableFrom<ISourceStatus>(run.Control).LostRecords;
        Assert.InRange(lost, 1, 196);
        await run.Count(197 - (int)lost);
        await run.Stop();
        Assert.Equal(3 + lost, run.Got.First().Offset);
        Assert.Equal(199, run.Got.Last().Offset);
    }

    private static void AssertOrdered(Running run, int partitions, int count)
    {
        Assert.Equal(count, run.Got.Count);
        foreach (var partition in run.Got.GroupBy(g => g.Partition))
        {
            Assert.Equal(Enumerable.Range(0, count / partitions).Select(i => (partition.Key, (long)i, $"{(i * partitions) + partition.Key}")), partition);
        }
    }
}
