using System.Collections.Immutable;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

/// <summary>What an audit says of records and tables that do not agree, and that it says nothing of those that do.</summary>
public sealed class TableAuditTests(ClickHouseFixture fixture) : IClassFixture<ClickHouseFixture>
{
    private const long Day = 20_000;
    private const ulong Writer = 3UL << 40;
    private static readonly DateTimeOffset Noon = DateTimeOffset.UnixEpoch.AddDays(Day).AddHours(12);
    private static readonly RecordedBlock Old = new(Writer | 1, Day, 0, 9, 10, 0, true);
    private static readonly RecordedBlock Sent = new(Writer | 2, Day, 10, 19, 10, 0, true);
    private static readonly RecordedBlock Pending = new(Writer | 3, Day, 20, 29, 10);

    public static TheoryData<long, long, long, string> Contents() => new()
    {
        { 10, 10, 0, "" },
        { 10, 10, 10, "" },
        { 0, 10, 0, "Missing 1" },
        { 10, 0, 0, "Missing 2" },
        { 9, 10, 0, "Partial 1" },
        { 10, 10, 4, "Partial 3" },
        { 10, 20, 0, "Double 2" },
        { 10, 10, 11, "Double 3" },
        { 0, 0, 0, "Missing 1, Missing 2" },
    };

    [Theory]
    [MemberData(nameof(Contents))]
    public void EachBlockIsComparedWithWhatWasRecorded(long old, long sent, long pending, string expected)
    {
        var report = Compare(Content([(Old, old), (Sent, sent), (Pending, pending)]));
        Assert.Equal(expected, string.Join(", ", report.Findings.OrderBy(f => f.Block).Select(f => $"{f.Fault} {f.Block - Writer}")));
        Assert.Equal((3, 1, expected.Length == 0), (report.Checked, report.Pending, report.IsExact));
    }

    [Theory]
    [InlineData(1, true, 0)]
    [InlineData(0, true, 2)]
    [InlineData(null, true, 0)]
    [InlineData(null, false, 2)]
    public void RowsThatTheTtlMayHaveDroppedAreNotMissed(int? days, bool isKnown, int expired)
    {
        var report = Compare(new TableContent(new Dictionary<ulong, long>(), new Dictionary<ulong, ulong>(), days, isKnown));
        Assert.Equal(expired, report.Expired);
        Assert.Equal(expired == 0 ? 2 : 0, report.Findings.Count);
    }

    [Fact]
    public void ATableThatIsNotThereMissesAllThatWasConfirmed() =>
        Assert.Equal(2, DeliveryAudit.Compare([Record()], [Record()], new Dictionary<string, TableContent>(), Noon).Findings.Count(f => f.Fault is AuditFault.Missing));

    [Fact]
    public void ABlockAboveAllRecordedOnesOfTheYoungestWriterIsUnknownAndThoseOfOthersAreNot()
    {
        var rows = Content([(Old, 10), (Sent, 10)]);
        Assert.True(Compare(rows with { Newest = new Dictionary<ulong, ulong> { [3] = Writer | 3, [9] = (9UL << 40) | 7, [2] = (2UL << 40) | 99 } }).IsExact);
        var finding = Assert.Single(Compare(rows with { Newest = new Dictionary<ulong, ulong> { [3] = Writer | 4 } }).Findings);
        Assert.Equal((AuditFault.Unknown, Writer | 4), (finding.Fault, finding.Block));
    }

    [Fact]
    public void AnAcceptedLossIsForgottenBelowTheMarkAndSentAgainAboveIt()
    {
        var report = Compare(Content([]));
        var accepted = DeliveryAudit.Accept(Record(), report.Findings);
        var edge = accepted.Edges["e"];
        Assert.Null(edge.Newest);
        Assert.Equal([Sent with { IsConfirmed = false, Attempt = 1 }, Pending], edge.Blocks.AsEnumerable());
        Assert.True(DeliveryAudit.Compare([accepted], [accepted], new Dictionary<string, TableContent> { ["t"] = Content([]) }, Noon).IsExact);
    }

    [Theory]
    [InlineData("MergeTree PARTITION BY toYYYYMMDD(time, 'UTC') ORDER BY time SETTINGS index_granularity = 8192", null, true)]
    [InlineData("MergeTree ORDER BY time TTL time + toIntervalMonth(1) SETTINGS index_granularity = 8192", null, false)]
    [InlineData("MergeTree ORDER BY time TTL toDateTime(time) + toIntervalDay(30) WHERE level = 'debug' SETTINGS index_granularity = 8192", null, false)]
    [InlineData("MergeTree ORDER BY time TTL toDateTime(time) + toIntervalDay(30) SETTINGS index_granularity = 8192", 30, true)]
    public void OnlyATtlOfOursIsCountedWith(string engine, int? days, bool isKnown) => Assert.Equal((days, isKnown), TableAudit.TtlOf(engine));

    [Fact]
    public async Task TheTtlOfATableThatWeMadeIsRead()
    {
        using var connector = fixture.Connect("audit_ttl");
        var table = new TableSchema(Rows.Metric, "audit_ttl", "t", TimeSpan.FromDays(7));
        await connector.Tables().EnsureAsync(table, TestContext.Current.CancellationToken);
        var engine = (await connector.Session.QueryAsync("SELECT engine_full FROM system.tables WHERE database = 'audit_ttl'", TestContext.Current.CancellationToken))[0][0];
        Assert.Equal((7, true), TableAudit.TtlOf(engine!));
    }

    private static AuditReport Compare(TableContent content) =>
        DeliveryAudit.Compare([Record()], [Record()], new Dictionary<string, TableContent> { ["t"] = content }, Noon);

    private static TableContent Content((RecordedBlock Block, long Rows)[] rows) =>
        new(rows.Where(r => r.Rows > 0).ToDictionary(r => r.Block.Number, r => r.Rows), new Dictionary<ulong, ulong>(), 30, true);

    // The mark is behind the first block, which is kept as the newest of another partition's would be.
    private static TaskRecord Record() => new()
    {
        Flow = "f",
        Revision = "r",
        Source = "in",
        Partition = 0,
        Edges = ImmutableSortedDictionary<string, EdgeProgress>.Empty.WithComparers(StringComparer.Ordinal)
            .Add("e", new EdgeProgress(9, [Sent, Pending]) { Table = "t", Newest = Old })
            .Add("other", EdgeProgress.At(9)),
    };
}
