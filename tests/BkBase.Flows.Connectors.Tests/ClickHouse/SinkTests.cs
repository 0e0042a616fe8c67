using System.Text.RegularExpressions;
using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

public sealed class SinkTests : IDisposable
{
    private readonly ActorSystem _system = ActorSystem.Create("sink");
    private readonly ScriptedStore _store = new();

    public void Dispose()
    {
        _system.Dispose();
        _store.Dispose();
    }

    [Fact]
    public async Task InsertCarriesTokenAndSettings()
    {
        Assert.Equal([new Confirmation("in", 0, 9)], await RunAsync([Rows.Metrics(0, 10)]));
        var insert = Assert.Single(_store.Inserts);
        Assert.StartsWith("INSERT INTO `bkbase`.`2_t`", insert.Sql, StringComparison.Ordinal);
        Assert.Matches(@"^flow/0/2_t/0/in/0/0-9/day20000\+10/\d+/0$", insert.Token);
        Assert.Equal(("0", "1"), (insert.Settings["async_insert"], insert.Settings["insert_deduplicate"]));
    }

    [Fact]
    public async Task RetrySendsSameTokenAndBytes()
    {
        _store.OnInsert = (n, _) => n switch
        {
            0 => throw new HttpRequestException("refused"),
            1 => Task.FromResult<HttpResponseMessage?>(ScriptedStore.Error(252, "Too many parts")),
            2 => Task.FromResult<HttpResponseMessage?>(ScriptedStore.Error(0, "bad gateway", System.Net.HttpStatusCode.BadGateway)),
            _ => Task.FromResult<HttpResponseMessage?>(null),
        };
        var counts = 0;
        _store.OnQuery = sql => ReadBack(sql, sql.Contains("GROUP BY", StringComparison.Ordinal) && counts++ < 3 ? 0 : 10);
        Assert.Single(await RunAsync([Rows.Metrics(0, 10)]));
        Assert.Equal(4, _store.Inserts.Count);
        Assert.All(_store.Inserts, i => Assert.Equal((_store.Inserts[0].Token, true), (i.Token, i.Body.AsSpan().SequenceEqual(_store.Inserts[0].Body))));
    }

    [Fact]
    public async Task BlockThatAnOkOnlyClaimedIsSentAgainUnderANewAttempt()
    {
        var counts = 0;
        _store.OnInsert = (n, _) => n == 0 ? throw new HttpRequestException("cut") : Task.FromResult<HttpResponseMessage?>(null);
        _store.OnQuery = sql => ReadBack(sql, sql.Contains("GROUP BY", StringComparison.Ordinal) && counts++ < 2 ? 0 : 10);
        Assert.Single(await RunAsync([Rows.Metrics(0, 10)]));
        Assert.Equal(["0", "0", "1"], _store.Inserts.Select(i => i.Token.Split('/')[^1]));
    }

    [Fact]
    public async Task ConfirmationsComeInOrderAndAfterEarlierRows()
    {
        var first = new TaskCompletionSource();
        _store.OnInsert = async (n, _) =>
        {
            if (n == 0)
            {
                await first.Task;
            }

            if (n == 2)
            {
                first.SetResult();
            }

            return null;
        };
        var confirmed = await RunAsync([Rows.Metrics(0, 10), Rows.Metrics(10, 10), Rows.Metrics(20, 0), Rows.Metrics(21, 10), Rows.Metrics(5, 0, partition: 1)], new FlowLimits { BlockRows = 10 });
        var zero = confirmed.Where(c => c.Partition == 0).Select(c => c.Offset).ToArray();
        Assert.Equal(zero.Order(), zero);
        Assert.Equal(30, zero[^1]);
        Assert.True(zero[0] >= 9);
        Assert.Contains(new Confirmation("in", 1, 5), confirmed);
    }

    [Fact]
    public async Task RowsOfTwoDaysAreTwoBlocksAndConfirmOnce()
    {
        var confirmed = await RunAsync([Rows.Metrics(0, 10, Rows.T0 - 50)]);
        Assert.Equal([new Confirmation("in", 0, 9)], confirmed);
        Assert.Equal(["day19999+5", "day20000+5"], _store.Inserts.Select(i => i.Token.Split('/')[7]).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task PullsNoMoreWhileBlocksArePending()
    {
        var release = new TaskCompletionSource();
        var pulled = 0;
        _store.OnInsert = async (_, _) =>
        {
            await release.Task;
            return null;
        };
        var run = Create(Source.From(Enumerable.Range(0, 50)).Select(i =>
        {
            Interlocked.Increment(ref pulled);
            return (StreamElement)Rows.Metrics(i * 10, 10);
        }), new FlowLimits { BlockRows = 10, Pending = 3 }, TimeProvider.System);
        await UntilAsync(() => _store.Inserts.Count == 3);
        await Task.Delay(100);
        Assert.Equal(3, _store.Inserts.Count);
        Assert.InRange(pulled, 3, 5);
        release.SetResult();
        Assert.Equal(499, (await run)[^1].Offset);
    }

    [Fact]
    public async Task IncompleteBlockIsFlushedByTheClock()
    {
        var time = new FakeTimeProvider();
        var source = Source.Single((StreamElement)Rows.Metrics(0, 10)).Concat(Source.Maybe<StreamElement>().MapMaterializedValue(_ => Akka.NotUsed.Instance));
        _ = Create(source, new FlowLimits(), time);
        await Task.Delay(200);
        Assert.Empty(_store.Inserts);
        await UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromMilliseconds(500));
            return _store.Inserts.Count == 1;
        });
    }

    [Fact]
    public async Task WrongPasswordNamesUserAndHostOnly()
    {
        _store.OnAny = () => ScriptedStore.Error(516, "writer: Authentication failed: password is incorrect: s3cret", System.Net.HttpStatusCode.Forbidden);
        var e = await Assert.ThrowsAsync<ClickHouseFailureException>(() => RunAsync([Rows.Metrics(0, 10)]));
        Assert.Contains("'writer'", e.Message, StringComparison.Ordinal);
        Assert.Contains("store:8123", e.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", e.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task StoreThatIsDownAtFirstIsWaitedFor()
    {
        var calls = 0;
        _store.OnAny = () => Interlocked.Increment(ref calls) < 5 ? throw new HttpRequestException("no route") : null;
        Assert.Single(await RunAsync([Rows.Metrics(0, 10)]));
    }

    [Fact]
    public async Task TableOfOtherTypesFailsTheStream()
    {
        _store.OnQuery = sql => sql.Contains("system.columns", StringComparison.Ordinal) ? "time\tDateTime64(3, \\'UTC\\')\t\nvalue\tString\t\n" : null;
        var e = await Assert.ThrowsAsync<ClickHouseFailureException>(() => RunAsync([Rows.Metrics(0, 10)]));
        Assert.Contains("'value' has type String, the flow wants Float64", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RefusedInsertFailsTheStream()
    {
        _store.OnInsert = (_, _) => Task.FromResult<HttpResponseMessage?>(ScriptedStore.Error(16, "No such column"));
        Assert.Contains("No such column", (await Assert.ThrowsAsync<ClickHouseFailureException>(() => RunAsync([Rows.Metrics(0, 10)]))).Message, StringComparison.Ordinal);
    }

    // No insert runs; the one block asked for has this many rows.
    private static string? ReadBack(string sql, int rows) =>
        sql.Contains("system.processes", StringComparison.Ordinal) ? "0\n"
        : sql.Contains("GROUP BY", StringComparison.Ordinal) ? (rows == 0 ? "" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Regex.Match(sql, @"IN \((\d+)\)").Groups[1].Value}\t{rows}\n"))
        : null;

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var i = 0; i < 500 && !condition(); i++)
        {
            await Task.Delay(10);
        }

        Assert.True(condition());
    }

    private Task<IReadOnlyList<Confirmation>> RunAsync(StreamElement[] elements, FlowLimits? limits = null) => Create(Source.From(elements), limits ?? new FlowLimits(), TimeProvider.System);

    private async Task<IReadOnlyList<Confirmation>> Create(Source<StreamElement, Akka.NotUsed> source, FlowLimits limits, TimeProvider time)
    {
        using var connector = _store.Connect();
        var sink = new ClickHouseSinkSettings(connector, "t", TimeSpan.FromDays(30), "UTC").Create();
        return await source.Via(sink.Create(new SinkContext("flow", "rev", "node", Rows.Metric, limits, time, Rows.Ledger()) { Biz = 2 })).RunWith(Sink.Seq<Confirmation>(), _system.Materializer());
    }
}
