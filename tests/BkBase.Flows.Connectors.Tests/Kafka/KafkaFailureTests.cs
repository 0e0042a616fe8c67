using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Graph;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>What a source says and does when the cluster is not as it should be.</summary>
public sealed class KafkaFailureTests : KafkaTest
{
    [Fact]
    public async Task WaitsForBrokerAndTopicAndComesBack()
    {
        Kafka.Mock.Down();
        using var connector = Connector();
        var topic = Kafka.Name("t");
        var run = Run(connector.Open(topic), Context("a"));
        var status = Assert.IsAssignableFrom<ISourceStatus>(run.Control);
        await Until(() => status.Status?.Contains("cannot be reached", StringComparison.Ordinal) == true, "status");
        Kafka.Mock.Up();
        await Until(() => status.Status?.Contains($"topic {topic} does not exist", StringComparison.Ordinal) == true, "no topic");
        Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 100);
        await run.Count(100);
        await Until(() => status.Status is null, "well again");
        Assert.True(status.Troubles >= 1);
        Kafka.Mock.Down();
        await Until(() => status.Status is not null, "down again");
        Kafka.Mock.Up();
        await Until(() => status.Status is null, "well again, though nothing was sent");
        Kafka.Produce(topic, 1, 100, 100);
        await run.Count(200);
        await run.Stop();
        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"{i}"), run.Texts);
    }

    [Fact]
    public async Task AFlowAtTheTailReadsATopicThatIsMadeLaterFromItsHead()
    {
        using var connector = Connector();
        var topic = Kafka.Name("t");
        var run = Run(connector.Open(topic), Context("a", StartKind.Tail));
        await Until(() => ((ISourceStatus)run.Control).Status?.Contains("does not exist", StringComparison.Ordinal) == true, "no topic");
        Kafka.Create("t", 2);
        Kafka.Produce(topic, 2, 0, 100);
        await run.Count(100);
        await run.Stop();
    }

    [Fact]
    public async Task FindsNewPartitionsAndReadsThemFromTheirHeads()
    {
        var topic = Kafka.Create("t", 3);
        Kafka.Produce(topic, 3, 0, 300);
        var known = 1;
        using var connector = Connector(admin: o => new ScriptedAdmin(o) { Partitions = found => [.. found!.Take(Volatile.Read(ref known))] });
        var run = Run(connector.Open(topic), Context("a", StartKind.Tail));
        await Until(() => run.Control.Lag().Count == 1, "the first partition");
        Kafka.Produce(topic, 3, 300, 3);
        await run.Count(1);
        Volatile.Write(ref known, 3);
        await run.Count(1 + 202);
        await run.Stop();
        Assert.Equal(["300"], run.Got.Where(g => g.Partition == 0).Select(g => g.Text));
        Assert.Equal(Enumerable.Range(0, 101).Select(i => (long)i), run.Got.Where(g => g.Partition == 2).Select(g => g.Offset));
    }

    [Fact]
    public async Task StartsAtATime()
    {
        var topic = Kafka.Create("t", 2);
        Kafka.Produce(topic, 2, 0, 100);
        using var connector = Connector(admin: o => new ScriptedAdmin(o) { OffsetAt = (partition, time) => partition == 0 && time == 5_000 ? 40 : null });
        var run = Run(connector.Open(topic), Context("a", StartKind.Timestamp, 5_000));
        await run.Count(10);
        Kafka.Produce(topic, 2, 100, 2);
        await run.Count(12);
        await run.Stop();
        Assert.Equal(Enumerable.Range(40, 11).Select(i => (long)i), run.Got.Where(g => g.Partition == 0).Select(g => g.Offset));
        Assert.Equal([50L], run.Got.Where(g => g.Partition == 1).Select(g => g.Offset)); // no record so late: from the end on
    }

    [Fact]
    public async Task RefusesAnOffsetBeyondTheEnd()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Produce(topic, 1, 0, 10);
        using var connector = Connector(admin: o => new ScriptedAdmin(o) { Committed = new() { [0] = 999 } });
        var error = await Failure(connector, topic);
        Assert.Contains("stands at offset 999", error.Message, StringComparison.Ordinal);
        Assert.Contains("beyond the partition's end 10", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("no.such.setting", "1")]
    [InlineData("fetch.max.bytes", "many")]
    [InlineData("security.protocol", "carrier_pigeon")]
    [InlineData("group.id", "mine")]
    [InlineData("ssl.ca.location", "/does/not/exist.pem")]
    public async Task NamesASettingThatCannotBeUsed(string name, string value)
    {
        using var connector = Connector(o => Setting(o, ("security.protocol", "ssl"), (name, value)));
        Assert.Contains($"'{name}'", (await Failure(connector, "t")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AConsumerThatCannotBeMadeFailsItsSource()
    {
        // Accepted by the client that finds topics, refused by the one that reads.
        var topic = Kafka.Create("t", 1);
        using var connector = Connector(o => Setting(o, ("session.timeout.ms", "100000000")));
        var error = await Failure(connector, topic);
        Assert.Contains("session.timeout.ms", error.Message, StringComparison.Ordinal);
        Assert.Equal(0, connector.ConsumersRunning);
    }

    [Fact]
    public async Task SaysThatTlsOrCredentialsAreWrong()
    {
        Assert.NotNull(Kafka.Mock); // it speaks neither
        foreach (var protocol in (string[])["ssl", "sasl_plaintext"])
        {
            using var connector = Connector(o => Setting(o, ("security.protocol", protocol), ("sasl.mechanism", "PLAIN"), ("sasl.username", "somebody"), ("sasl.password", "wrong-secret")));
            var run = Run(connector.Open("t"), Context());
            var status = (ISourceStatus)run.Control;
            var said = protocol == "ssl" ? "cannot be reached over TLS" : "refuses the credentials";
            await Until(() => status.Status?.Contains(said, StringComparison.Ordinal) == true, () => $"{protocol}: {status.Status}");
            Assert.DoesNotContain("wrong-secret", status.Status, StringComparison.Ordinal);
            await run.Stop();
        }
    }

    [Fact]
    public async Task GoesOnAfterErrorsOfTheBroker()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Mock.Inject(2, ErrorCode.BrokerNotAvailable, ErrorCode.RequestTimedOut);
        Kafka.Mock.Inject(1, ErrorCode.NotLeaderForPartition, ErrorCode.UnknownTopicOrPart, ErrorCode.Unknown);
        using var connector = Connector();
        var run = Run(connector.Open(topic), Context());
        Kafka.Produce(topic, 1, 0, 1_000);
        await run.Count(1_000);
        Kafka.Mock.Inject(1, ErrorCode.KafkaStorageError, ErrorCode.NotLeaderForPartition);
        Kafka.Produce(topic, 1, 1_000, 1_000);
        await run.Count(2_000);
        await Until(() => ((ISourceStatus)run.Control).Status is null, "well again");
        await run.Stop();
        Assert.Equal(Enumerable.Range(0, 2_000).Select(i => $"{i}"), run.Texts);
    }

    [Fact]
    public async Task LagGrowsWhileNothingIsRead()
    {
        var topic = Kafka.Create("t", 1);
        using var connector = Connector();
        var gate = new TaskCompletionSource();
        var run = Run(connector.Open(topic), Context(batch: 10), () => gate.Task);
        Kafka.Produce(topic, 1, 0, 1_000);
        await Until(() => run.Control.Lag() is [{ Records: 1_000 }], "lag");
        Kafka.Produce(topic, 1, 1_000, 500);
        await Until(() => run.Control.Lag() is [{ Records: 1_500, Seconds: >= 0 }], "lag grows");
        gate.SetResult();
        await run.Count(1_500);
        run.Control.Confirm(0, 1_499);
        Assert.Equal(new PartitionLag(0, 0, 0), Assert.Single(run.Control.Lag()));
        await run.Stop();
    }

    private async Task<KafkaFailureException> Failure(KafkaConnector connector, string topic) =>
        await Assert.ThrowsAsync<KafkaFailureException>(() => Run(connector.Open(topic), Context()).Done.WaitAsync(Deadline));
}
