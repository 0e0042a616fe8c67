using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

public sealed class EngineTests(ClickHouseFixture fixture) : IClassFixture<ClickHouseFixture>
{
    [Fact]
    public async Task EveryTypeComesBack()
    {
        using var c = await FreshAsync("ch_types");
        var table = new TableSchema(Rows.Every, "ch_types", "t", TimeSpan.FromDays(36500));
        await c.Tables().EnsureAsync(table);
        await c.Tables().EnsureAsync(table);
        var one = Rows.Everything(1000);
        var other = Rows.Everything(1000, distinct: true);
        await c.Session.InsertAsync(table.QuotedName, table.Columns.Select(x => x.Name), new NativeEncoder().Encode(Rows.Every, [BlockPart.All(one), BlockPart.All(other), BlockPart.All(one)], 7), "a");
        var rows = await c.Session.QueryAsync("SELECT toUnixTimestamp64Milli(time), s, toJSONString(m), b, i, l, f, t, j, ns, toJSONString(nm), nb, ni, nl, nf, nt, toUnixTimestamp64Milli(nd), _block FROM ch_types.t WHERE s IN ('v0','v1','v2') ORDER BY time, s");
        Assert.Equal(2003, rows.Count);
        var five = rows.First(r => r[0] == (Rows.T0 + 6).ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal(["v0", "{\"k\":\"é2\",\"l\":\"\"}", "true", "-6", (long.MaxValue - 6).ToString(System.Globalization.CultureInfo.InvariantCulture), "2", "xxxxxx", "{\"a\":1}", "n1", "{\"z\":\"y\"}", "true", "6", "6", "6", "txt", (Rows.T0 - 6).ToString(System.Globalization.CultureInfo.InvariantCulture), "7"], five[1..]);
        var seven = rows.First(r => r[0] == (Rows.T0 + 7).ToString(System.Globalization.CultureInfo.InvariantCulture));
        Assert.Equal([null, "{}", null, null, null, null, null, null], seven[9..17]);
        Assert.Equal("1000", (await c.Session.QueryAsync("SELECT uniqExact(s) FROM ch_types.t"))[0][0]);
    }

    [Fact]
    public async Task BkSqlColumnsAreInTheZone()
    {
        using var c = await FreshAsync("ch_zone");
        var table = new TableSchema(Rows.Metric, "ch_zone", "2_t", TimeSpan.FromDays(36500));
        await c.Tables().EnsureAsync(table);
        await c.Session.InsertAsync(table.QuotedName, table.Columns.Select(x => x.Name), new NativeEncoder().Encode(Rows.Metric, [BlockPart.All(Rows.Metrics(0, 1, Rows.T0 + (20 * 3_600_000)))], 1), "a");
        Assert.Equal(
            [(Rows.T0 + (20 * 3_600_000)).ToString(System.Globalization.CultureInfo.InvariantCulture), "2024-10-05 04:00:00", "20241005"],
            (await c.Session.QueryAsync("SELECT dtEventTimeStamp, dtEventTime, thedate FROM ch_zone.`2_t`"))[0]);
    }

    [Fact]
    public async Task NewColumnsAreAddedAndOtherTypesRefused()
    {
        using var c = await FreshAsync("ch_alter");
        var narrow = new Schema(Schema.Time, new Field("a", ColumnType.Int32));
        await c.Tables().EnsureAsync(new TableSchema(narrow, "ch_alter", "t", TimeSpan.FromDays(1)));
        await c.Tables().EnsureAsync(new TableSchema(new Schema(Schema.Time, new Field("a", ColumnType.Int32), new Field("b`x", ColumnType.String)), "ch_alter", "t", TimeSpan.FromDays(1)));
        Assert.Equal(["time", "a", "b`x", "_block"], (await c.Session.QueryAsync("SELECT name FROM system.columns WHERE database='ch_alter' AND default_kind='' ORDER BY position")).Select(r => r[0]));
        var refused = await Assert.ThrowsAsync<ClickHouseFailureException>(() =>
            c.Tables().EnsureAsync(new TableSchema(new Schema(Schema.Time, new Field("a", ColumnType.Float64)), "ch_alter", "t", TimeSpan.FromDays(1))));
        Assert.Contains("ch_alter.t: column 'a' has type Int32, the flow wants Float64", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SinkWritesAndConfirms()
    {
        using var c = await FreshAsync("ch_sink");
        using var system = ActorSystem.Create("ch");
        var builder = new BatchBuilder(Rows.Metric, 2000);
        var batches = Enumerable.Range(0, 200).Select(i => (StreamElement)Rows.Metrics(i * 1000, 1000, Rows.T0 + (i * 100_000L), 100, i % 2, builder)).ToArray();
        var sink = new ClickHouseSinkSettings(c, "t", TimeSpan.FromDays(36500), "UTC").Create();
        var confirmed = await Source.From(batches).Via(sink.Create(new SinkContext("f", "r", "n", Rows.Metric, new FlowLimits { BlockRows = 30_000 }, TimeProvider.System, Rows.Ledger()) { Biz = 2 }))
            .RunWith(Sink.Seq<Confirmation>(), system.Materializer());
        Assert.Equal([198_999L, 199_999L], confirmed.GroupBy(x => x.Partition).OrderBy(g => g.Key).Select(g => g.Last().Offset));
        Assert.Equal(["200000", "200000", "19999900000"], (await c.Session.QueryAsync("SELECT count(), uniqExact(value), toInt64(sum(value)) FROM ch_sink.`2_t`"))[0]);
        await system.Terminate();
    }

    [Fact]
    public async Task DeadLettersAreWritten()
    {
        using var c = await FreshAsync("ch_dead");
        using var system = ActorSystem.Create("ch");
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        var batch = DeadLetters.ToBatch(DeadLetters.Builder(), "f", "r", "n", now, new Lineage("in", 3, 10, 20), [Rejection.Create(RejectReason.NotJson, "$.a", "no JSON", 12, 0, "{"u8)]);
        var confirmed = await Source.Single((StreamElement)batch).Via(c.DeadLetterSink().Create(new SinkContext("f", "r", "n", DeadLetters.Schema, new FlowLimits(), TimeProvider.System, Rows.Ledger())))
            .RunWith(Sink.Seq<Confirmation>(), system.Materializer());
        Assert.Equal(new Confirmation("in", 3, 20), Assert.Single(confirmed));
        Assert.Equal(["f", "not_json", "12", "3", "{"], (await c.Session.QueryAsync("SELECT flow, reason, offset, partition, sample FROM ch_dead.dead_letters"))[0]);
        await system.Terminate();
    }

    private async Task<ClickHouseConnector> FreshAsync(string database)
    {
        var connector = fixture.Connect(database);
        await connector.Session.ExecuteAsync($"DROP DATABASE IF EXISTS {database} SYNC");
        await connector.Session.ExecuteAsync($"CREATE DATABASE {database}");
        return connector;
    }
}
