using System.Text.Json;
using Akka.Streams.Dsl;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Tests.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Tests.Kafka;

public sealed class KafkaSinkTests : KafkaTest
{
    [Fact]
    public async Task WritesAllRowsWithTheirKeysAndConfirmsInOrder()
    {
        var topic = Kafka.Create("t", 4);
        using var connector = Connector();
        var confirmed = await Write(connector, topic, "target", Enumerable.Range(0, 30).Select(i => Rows.Metrics(i * 100, i % 10 == 9 ? 0 : 100, partition: i % 3)));
        Assert.Equal(30, confirmed.Count);
        foreach (var partition in confirmed.GroupBy(c => c.Partition))
        {
            Assert.Equal(partition.Select(c => c.Offset).Order(), partition.Select(c => c.Offset));
        }

        var got = Kafka.Consume(topic, 4, 2_700);
        Assert.Equal(2_700, got.Count);
        foreach (var record in got)
        {
            Assert.Equal(record.Message.Key, JsonDocument.Parse(record.Message.Value).RootElement.GetProperty("target").GetString());
        }

        // Rows of one key stand in one partition, in their order.
        foreach (var key in got.GroupBy(r => r.Message.Key))
        {
            Assert.Single(key.Select(r => r.Partition.Value).Distinct());
            var values = key.Select(r => JsonDocument.Parse(r.Message.Value).RootElement.GetProperty("value").GetDouble()).ToList();
            Assert.Equal(values.Order(), values);
        }
    }

    [Fact]
    public async Task ARowThatIsTooLargeGoesToTheDeadLettersAndTheRestGoesOn()
    {
        var topic = Kafka.Create("t", 1);
        using var connector = Connector(o => Setting(o, ("message.max.bytes", "2000")));
        var catalog = new FlowCatalog([connector.Source], EtlCatalog.All, [], [connector.Sink]);
        var reading = new FlowReader(catalog).Read("f.yaml", $$"""
            flow: f
            biz: 2
            sources:
              - { name: input, type: kafka, topic: none, etl: { type: json, time: { path: ts, unit: ms }, fields: { msg: { path: msg, type: text } } } }
            sinks:
              - { type: kafka, topic: {{topic}} }
            """);
        Assert.Empty(reading.Diagnostics);
        var records = Enumerable.Range(0, 100).Select(i => (0, JsonSerializer.SerializeToUtf8Bytes(new { ts = 1_000 + i, msg = i % 10 == 3 ? new string('x', 5_000) : $"m{i}" }), 0L)).ToList();
        var source = new MemorySource(records, 25);
        var dead = new MemorySink();
        var handle = FlowCompiler.Run(reading.Flow!, new FlowEnvironment(TimeProvider.System, dead) { Sources = new Dictionary<string, ISource> { ["input"] = source } }, Materializer);
        await handle.Completion.WaitAsync(Deadline);
        Assert.Equal(99, source.Confirmed[0]);
        Assert.Equal(90, Kafka.Consume(topic, 1, 90).Count);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (long)(i * 10) + 3), dead.Rejections.Select(r => r.Rejection.Offset));
        Assert.All(dead.Rejections, r =>
        {
            Assert.Equal(RejectReason.TooLarge, r.Rejection.Reason);
            Assert.Contains($"too large for topic {topic}", r.Rejection.Message, StringComparison.Ordinal);
            Assert.Equal(1_000 + r.Rejection.Offset, r.Rejection.EventTime);
        });
    }

    [Fact]
    public async Task SaysThatTheTopicDoesNotExist()
    {
        using var connector = Connector();
        var error = await Assert.ThrowsAsync<KafkaFailureException>(() => Write(connector, Kafka.Name("missing"), null, [Rows.Metrics(0, 1)]));
        Assert.Contains("does not exist", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task NamesASettingThatCannotBeUsed()
    {
        using var connector = Connector(o => Setting(o, ("linger.ms", "soon")));
        var error = await Assert.ThrowsAsync<KafkaFailureException>(() => Write(connector, "t", null, [Rows.Metrics(0, 1)]));
        Assert.Contains("'linger.ms'", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WrongCredentialsFailTheFlow()
    {
        Assert.NotNull(Kafka.Mock);
        using var connector = Connector(o => Setting(o, ("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "wrong-secret")));
        var error = await Assert.ThrowsAsync<KafkaFailureException>(() => Write(connector, "t", null, [Rows.Metrics(0, 1)]));
        Assert.Contains("refuses the credentials", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("wrong-secret", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WaitsOutOutagesAndErrorsWithoutLossRepeatOrDisorder()
    {
        var topic = Kafka.Create("t", 1);
        Kafka.Mock.Down();
        using var connector = Connector();
        var confirmed = 0;
        var taken = 0;
        var writing = Source.From(Enumerable.Range(0, 200).ToList())
            .Select(StreamElement (i) =>
            {
                Interlocked.Increment(ref taken);
                return Rows.Metrics(i * 100, 100);
            })
            .Via(Sink(connector, topic, null).Create(Context()))
            .RunForeach(_ => Interlocked.Increment(ref confirmed), Materializer);
        await Until(() => connector.SinkStatus?.Contains("cannot be reached", StringComparison.Ordinal) == true, "status");
        Assert.True(connector.SinkTroubles >= 1);
        Assert.Equal(0, confirmed);
        Assert.InRange(taken, 1, 40); // the source is held back
        Kafka.Mock.Inject(0, ErrorCode.NotLeaderForPartition, ErrorCode.RequestTimedOut, ErrorCode.NotEnoughReplicas);
        Kafka.Mock.Up();
        await Until(() => confirmed > 20, "on again");
        Kafka.Mock.Down();
        await Until(() => connector.SinkStatus is not null || writing.IsCompleted, "down again");
        Kafka.Mock.Up();
        await writing.WaitAsync(Deadline);
        Assert.Equal(200, confirmed);
        var values = Kafka.Consume(topic, 1, 20_000).Select(r => JsonDocument.Parse(r.Message.Value).RootElement.GetProperty("value").GetDouble());
        Assert.Equal(Enumerable.Range(0, 20_000).Select(i => (double)i), values);
    }

    [Theory]
    [InlineData("{ type: kafka, topic: t, key: hos }", "no column 'hos'")]
    [InlineData("{ type: kafka, topic: t, key: value }", "a key is a string")]
    [InlineData("{ type: kafka, topic: 'a b' }", "'a b' is not a topic")]
    [InlineData("{ type: kafka }", "needs 'topic'")]
    [InlineData("{ type: file, path: x, rotate: 10B }", "'rotate' is at least")]
    [InlineData("{ type: file, path: x/ }", "is not the path of a file")]
    public void MistakesInAFlowAreFound(string sink, string message)
    {
        using var connector = new KafkaConnector(new KafkaOptions("localhost:1"), TimeProvider.System);
        var catalog = new FlowCatalog([connector.Source], EtlCatalog.All, [], [connector.Sink, new Connectors.Files.FileConnector(".").Sink]);
        var reading = new FlowReader(catalog).Read("f.yaml", $$"""
            flow: f
            biz: 2
            sources:
              - { name: input, type: kafka, topic: none, etl: { type: json, time: { path: ts, unit: ms }, fields: { host: { path: host, type: string }, value: { path: v, type: float64 } } } }
            sinks:
              - {{sink}}
            """);
        Assert.Contains(message, Assert.Single(reading.Diagnostics).Message, StringComparison.Ordinal);
    }

    private async Task<List<Confirmation>> Write(KafkaConnector connector, string topic, string? key, IEnumerable<RecordBatch> batches)
    {
        var confirmed = new List<Confirmation>();
        await Source.From(batches.ToList()).Select(StreamElement (b) => b)
            .Via(Sink(connector, topic, key).Create(Context()))
            .RunForeach(confirmed.Add, Materializer).WaitAsync(Deadline);
        return confirmed;
    }

    private static ISink Sink(KafkaConnector connector, string topic, string? key) =>
        new KafkaSinkSettings(connector, topic, key is null ? null : new Located(key, new Position(1, 1))).Create();

    private static SinkContext Context() => new("f", "r", "n", Rows.Metric, new FlowLimits(), TimeProvider.System, Rows.Ledger());
}
