using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Tests.Files;

namespace BkBase.Flows.Connectors.Tests.Kafka;

public sealed class KafkaSourceTests : StreamTest
{
    private readonly MockKafka _kafka = new();

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _kafka.Dispose();
    }

    [Fact]
    public async Task TwoFlowsBothGetEverythingInOrder()
    {
        _kafka.Create("t", 4);
        _kafka.Produce("t", 4, 0, 20_000);
        using var connector = Connector();
        var runs = new[] { Run(connector.Open("t"), Context("a")), Run(connector.Open("t"), Context("b")) };
        foreach (var run in runs)
        {
            await run.Count(20_000);
            await run.Stop();
            foreach (var partition in run.Got.GroupBy(g => g.Partition))
            {
                Assert.Equal(Enumerable.Range(0, 5_000).Select(i => (partition.Key, (long)i, $"{(i * 4) + partition.Key}")), partition);
            }
        }
    }

    [Fact]
    public async Task GoesOnAtTheCommittedOffset()
    {
        _kafka.Create("t", 1);
        _kafka.Produce("t", 1, 0, 1_000);
        using (var connector = Connector())
        {
            var run = Run(connector.Open("t"), Context("a"));
            await run.Count(1_000);
            Assert.Equal(1_000, run.Control.Lag()[0].Records);
            run.Control.Confirm(0, 599);
            Assert.Equal(400, run.Control.Lag()[0].Records);
            await run.Stop();
        }

        _kafka.Produce("t", 1, 1_000, 10);
        using var again = Connector();
        var second = Run(again.Open("t"), Context("a", Graph.StartKind.Tail));
        await second.Count(410);
        await second.Stop();
        Assert.Equal(Enumerable.Range(600, 410).Select(i => $"{i}"), second.Texts);
    }

    [Fact]
    public async Task ASlowReaderDoesNotHoldBackTheOther()
    {
        _kafka.Create("t", 1);
        _kafka.Produce("t", 1, 0, 30_000);
        using var connector = Connector();
        var gate = new TaskCompletionSource();
        var slow = Run(connector.Open("t"), Context("slow"), () => gate.Task);
        var fast = Run(connector.Open("t"), Context("fast"));
        await fast.Count(30_000);
        Assert.Empty(slow.Got);
        gate.SetResult();
        await slow.Count(30_000);
        Assert.Equal(Enumerable.Range(0, 30_000).Select(i => $"{i}"), slow.Texts);
        await slow.Stop();
        await fast.Stop();
    }

    [Fact]
    public async Task WaitsForBrokerAndTopicAndComesBack()
    {
        _kafka.Down();
        using var connector = Connector();
        var run = Run(connector.Open("t"), Context("a"));
        var status = Assert.IsAssignableFrom<ISourceStatus>(run.Control);
        await Until(() => status.Status?.Contains("cannot be reached", StringComparison.Ordinal) == true, "status");
        _kafka.Up();
        _kafka.Create("t", 1);
        _kafka.Produce("t", 1, 0, 100);
        await run.Count(100);
        await Until(() => status.Status is null, "well again");
        Assert.True(status.Troubles >= 1);
        _kafka.Down();
        await Until(() => status.Status is not null, "down again");
        _kafka.Up();
        _kafka.Produce("t", 1, 100, 100);
        await run.Count(200);
        await run.Stop();
        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"{i}"), run.Texts);
    }

    private KafkaConnector Connector() => new(new KafkaOptions(_kafka.Bootstrap), TimeProvider.System);
}
