using BkBase.Flows.Delivery;
using Microsoft.Extensions.Time.Testing;

namespace BkBase.Flows.Tests.Delivery;

public sealed class FlowLedgerTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task ReadingGoesOnBehindTheSmallestMarkOfAllEdges()
    {
        var store = new MemoryCheckpointStore();
        await using (var ledger = await OpenAsync(store))
        {
            var (a, b) = (ledger.Edge("a", ["in"]), ledger.Edge("b", ["in"]));
            Assert.Equal(100, await ledger.ClaimAsync("in", 0, "", "", () => 100, Cancel));
            a.Confirm("in", 0, 150);
            Assert.Equal((150, 99), (a.Of("in", 0).Mark, b.Of("in", 0).Mark));
        }

        await using var again = await OpenAsync(store);
        var edge = again.Edge("a", ["in"]);
        again.Edge("b", ["in"]);
        Assert.Equal(100, await again.ClaimAsync("in", 0, "", "", () => 0, Cancel));
        Assert.Equal(150, edge.Of("in", 0).Mark);
    }

    [Fact]
    public async Task TheBeginOfAPartitionIsRecordedBeforeItsFirstRecordIsRead()
    {
        var store = new MemoryCheckpointStore();
        var ledger = await OpenAsync(store);
        ledger.Edge("a", ["in"]);
        Assert.Equal(77, await ledger.ClaimAsync("in", 0, "", "", () => 77, Cancel));

        // Killed at once: the tail has moved on since, but what came meanwhile is not skipped.
        var again = await OpenAsync(store);
        again.Edge("a", ["in"]);
        Assert.Equal(77, await again.ClaimAsync("in", 0, "", "", () => 500, Cancel));
        await ledger.DisposeAsync();
        await again.DisposeAsync();
    }

    [Fact]
    public async Task TheFormerOwnerIsRefused()
    {
        var store = new MemoryCheckpointStore();
        await using var old = await OpenAsync(store);
        var edge = old.Edge("a", ["in"]);
        await old.ClaimAsync("in", 0, "", "", () => 0, Cancel);
        await using var next = await OpenAsync(store);
        next.Edge("a", ["in"]);
        await next.ClaimAsync("in", 0, "", "", () => 0, Cancel);
        var refused = await Assert.ThrowsAsync<FencedException>(() => edge.RecordAsync("in", 0, new EdgeProgress(-1, [new RecordedBlock(1, 1, 0, 5, 6)])));
        Assert.Equal("flow/in/0", refused.Task);
        await Assert.ThrowsAsync<FencedException>(() => edge.RecordAsync("in", 0, EdgeProgress.At(9)));
    }

    [Fact]
    public async Task ReportsThatComeWhileARefusalIsUnderWayAreRefusedToo()
    {
        var slow = new SlowStore(new MemoryCheckpointStore());
        await using var old = await OpenAsync(slow);
        var edge = old.Edge("a", ["in"]);
        await old.ClaimAsync("in", 0, "", "", () => 0, Cancel);
        await slow.ClaimAsync("flow/in/0", Cancel);
        slow.Gate = new TaskCompletionSource();
        slow.Entered = new TaskCompletionSource();
        var first = edge.RecordAsync("in", 0, EdgeProgress.At(1));
        await slow.Entered.Task.WaitAsync(TimeSpan.FromSeconds(30), Cancel);
        var second = edge.RecordAsync("in", 0, EdgeProgress.At(2));
        slow.Gate.SetResult();
        await Assert.ThrowsAsync<FencedException>(() => first.WaitAsync(TimeSpan.FromSeconds(30), Cancel));
        await Assert.ThrowsAsync<FencedException>(() => second.WaitAsync(TimeSpan.FromSeconds(30), Cancel));
    }

    [Fact]
    public async Task AnotherIncarnationIsRefused()
    {
        var store = new MemoryCheckpointStore();
        await using (var ledger = await OpenAsync(store))
        {
            ledger.Edge("a", ["in"]);
            await ledger.ClaimAsync("in", 0, "", "topic-1", () => 0, Cancel);
        }

        await using var again = await OpenAsync(store);
        Assert.Contains("counts in 'topic-1', but there is 'topic-2' now", (await Assert.ThrowsAnyAsync<CheckpointException>(() => again.ClaimAsync("in", 0, "", "topic-2", () => 0, Cancel))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnotherRevisionWaitsUntilBlocksAreSettled()
    {
        var store = new MemoryCheckpointStore();
        await using (var ledger = await OpenAsync(store))
        {
            var edge = ledger.Edge("a", ["in"]);
            await ledger.ClaimAsync("in", 0, "", "", () => 0, Cancel);
            await edge.RecordAsync("in", 0, new EdgeProgress(-1, [new RecordedBlock(1, 1, 0, 5, 6)]));
        }

        await using (var other = await OpenAsync(store, "r2"))
        {
            other.Edge("a", ["in"]);
            Assert.Contains("revision r1", (await Assert.ThrowsAnyAsync<CheckpointException>(() => other.ClaimAsync("in", 0, "", "", () => 0, Cancel))).Message, StringComparison.Ordinal);
        }

        await using (var same = await OpenAsync(store))
        {
            var edge = same.Edge("a", ["in"]);
            Assert.Equal(0, await same.ClaimAsync("in", 0, "", "", () => 0, Cancel));
            edge.Note("in", 0, EdgeProgress.At(5));
        }

        await using var next = await OpenAsync(store, "r2");
        next.Edge("a", ["in"]);
        Assert.Equal(6, await next.ClaimAsync("in", 0, "", "", () => 0, Cancel));
    }

    [Fact]
    public async Task ReportsThatNobodyWaitsForGoOutAtTheInterval()
    {
        var store = new MemoryCheckpointStore();
        var time = new FakeTimeProvider();
        await using var ledger = await FlowLedger.OpenAsync("flow", "r1", store, time, TimeSpan.FromSeconds(2), Cancel);
        var edge = ledger.Edge("a", ["in"]);
        await ledger.ClaimAsync("in", 0, "", "", () => 0, Cancel);
        edge.Confirm("in", 0, 41);
        Assert.Equal(-1, Published(store).Mark);
        time.Advance(TimeSpan.FromSeconds(2));
        for (var i = 0; i < 1000 && Published(store).Mark < 41; i++)
        {
            await Task.Delay(5, Cancel);
        }

        Assert.Equal(41, Published(store).Mark);
    }

    [Fact]
    public async Task BlockNumbersOfTwoRunsNeverMeet()
    {
        var store = new MemoryCheckpointStore();
        await using var one = await OpenAsync(store);
        await using var two = await OpenAsync(store);
        Assert.True(two.NextBlock() > one.NextBlock());
        Assert.NotEqual(one.NextBlock() >> 40, two.NextBlock() >> 40);
    }

    private static TaskRecord Published(MemoryCheckpointStore store) =>
        TaskRecordFormat.Decode(store.ReadAsync("flow", CancellationToken.None).Result.Single().Record, "flow/in/0");

    private static Task<FlowLedger> OpenAsync(ICheckpointStore store, string revision = "r1") =>
        FlowLedger.OpenAsync("flow", revision, store, TimeProvider.System, TimeSpan.FromHours(1), Cancel);

    private sealed class SlowStore(ICheckpointStore inner) : ICheckpointStore
    {
        public TaskCompletionSource? Gate { get; set; }

        public TaskCompletionSource? Entered { get; set; }

        public Task<Claim> ClaimAsync(string task, CancellationToken cancel) => inner.ClaimAsync(task, cancel);

        public async Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel)
        {
            Entered?.TrySetResult();
            await (Gate?.Task ?? Task.CompletedTask);
            return await inner.PublishAsync(publications, cancel);
        }

        public Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel) => inner.ReadAsync(flow, cancel);

        public Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel) => inner.RemoveAsync(task, epoch, cancel);

        public Task<long> NextWriterAsync(long least, CancellationToken cancel) => inner.NextWriterAsync(least, cancel);

        public Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel) => inner.KeepRevisionAsync(flow, revision, text, cancel);

        public Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel) => inner.RevisionAsync(flow, revision, cancel);
    }
}
