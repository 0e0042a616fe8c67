using BkBase.Flows.Delivery;
using BkBase.Flows.Runtime.Checkpoints;
using Npgsql;

namespace BkBase.Flows.Runtime.Tests;

/// <summary>What every checkpoint store must do; each store runs all of it.</summary>
public abstract class CheckpointStoreTests
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task ClaimsRaiseTheEpochAndReadTheNewestRecord()
    {
        var store = await CreateAsync();
        var first = await store.ClaimAsync("f/in/0", Cancel);
        Assert.Null(first.Record);
        Assert.Empty(await store.PublishAsync([new Publication("f/in/0", first.Epoch, [1])], Cancel));
        Assert.Empty(await store.PublishAsync([new Publication("f/in/0", first.Epoch, [2])], Cancel));
        var second = await store.ClaimAsync("f/in/0", Cancel);
        Assert.True(second.Epoch > first.Epoch);
        Assert.Equal([2], second.Record);
        var third = await store.ClaimAsync("f/in/0", Cancel);
        Assert.Equal([2], third.Record);
    }

    [Fact]
    public async Task AnOutdatedClaimPublishesNothing()
    {
        var store = await CreateAsync();
        var old = await store.ClaimAsync("f/in/0", Cancel);
        var other = await store.ClaimAsync("f/in/1", Cancel);
        await store.PublishAsync([new Publication("f/in/0", old.Epoch, [1])], Cancel);
        var now = await store.ClaimAsync("f/in/0", Cancel);
        Assert.Equal(["f/in/0"], await store.PublishAsync([new Publication("f/in/0", old.Epoch, [9]), new Publication("f/in/1", other.Epoch, [7])], Cancel));
        Assert.Empty(await store.PublishAsync([new Publication("f/in/0", now.Epoch, [3])], Cancel));
        Assert.Equal(["f/in/0"], await store.PublishAsync([new Publication("f/in/0", old.Epoch, [8])], Cancel));
        Assert.Equal([("f/in/0", (byte)3), ("f/in/1", (byte)7)], (await store.ReadAsync("f", Cancel)).Select(r => (r.Task, r.Record[0])));
    }

    [Fact]
    public async Task OnlyTheNewestOfManyClaimersMayPublish()
    {
        var store = await CreateAsync();
        var claims = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => store.ClaimAsync("f/in/0", Cancel), Cancel)));
        Assert.Equal(20, claims.Select(c => c.Epoch).Distinct().Count());
        var newest = claims.MaxBy(c => c.Epoch)!;
        var results = await Task.WhenAll(claims.Select(c => Task.Run(async () => (c.Epoch, Refused: (await store.PublishAsync([new Publication("f/in/0", c.Epoch, [(byte)c.Epoch])], Cancel)).Count), Cancel)));
        Assert.Equal([newest.Epoch], results.Where(r => r.Refused == 0).Select(r => r.Epoch));
        Assert.Equal([(byte)newest.Epoch], (await store.ReadAsync("f", Cancel)).Single().Record);
    }

    // The order that fencing rests on: what a publisher was told is in, the next owner has read.
    [Fact]
    public async Task NoAcceptedRecordIsOverlookedByTheNextOwner()
    {
        var store = await CreateAsync();
        for (var round = 0; round < 30; round++)
        {
            var task = $"race/in/{round}";
            var old = await store.ClaimAsync(task, Cancel);
            await store.PublishAsync([new Publication(task, old.Epoch, [0])], Cancel);
            var accepted = 0;
            var publisher = Task.Run(async () =>
            {
                for (var n = 1; n < 100 && (await store.PublishAsync([new Publication(task, old.Epoch, [(byte)n])], Cancel)).Count == 0; n++)
                {
                    accepted = n;
                }
            }, Cancel);
            var next = await Task.Run(() => store.ClaimAsync(task, Cancel), Cancel);
            await publisher;
            Assert.True(next.Record![0] >= accepted, $"round {round}: accepted {accepted}, the next owner read {next.Record[0]}");
        }
    }

    [Fact]
    public async Task WritersAreNeverGivenTwice()
    {
        var store = await CreateAsync();
        var writers = await Task.WhenAll(Enumerable.Range(0, 30).Select(_ => Task.Run(() => store.NextWriterAsync(1, Cancel), Cancel)));
        Assert.Equal(30, writers.Distinct().Count());
        Assert.All(writers, w => Assert.True(w > 0));
        Assert.True(await store.NextWriterAsync(1, Cancel) > writers.Max());
        Assert.Equal(5000, await store.NextWriterAsync(5000, Cancel));
        Assert.Equal(5001, await store.NextWriterAsync(5000, Cancel));
    }

    [Fact]
    public async Task FlowsAreKeptApartAndRecordsCanBeRemoved()
    {
        var store = await CreateAsync();
        var a = await store.ClaimAsync("a/in/0", Cancel);
        var ab = await store.ClaimAsync("ab/in/0", Cancel);
        await store.PublishAsync([new Publication("a/in/0", a.Epoch, [1]), new Publication("ab/in/0", ab.Epoch, [2])], Cancel);
        Assert.Equal(["a/in/0"], (await store.ReadAsync("a", Cancel)).Select(r => r.Task));
        Assert.False(await store.RemoveAsync("a/in/0", a.Epoch - 1, Cancel));
        Assert.True(await store.RemoveAsync("a/in/0", a.Epoch, Cancel));
        Assert.Empty(await store.ReadAsync("a", Cancel));
        Assert.Null((await store.ClaimAsync("a/in/0", Cancel)).Record);
        Assert.Single(await store.ReadAsync("ab", Cancel));
    }

    [Fact]
    public async Task RevisionsKeepTheirText()
    {
        var store = await CreateAsync();
        await store.KeepRevisionAsync("f", "abc", "flow: f\n# ü", Cancel);
        await store.KeepRevisionAsync("f", "abc", "flow: f\n# ü", Cancel);
        Assert.Equal("flow: f\n# ü", await store.RevisionAsync("f", "abc", Cancel));
        Assert.Null(await store.RevisionAsync("f", "abd", Cancel));
    }

    protected abstract Task<ICheckpointStore> CreateAsync();
}

public sealed class MemoryCheckpointStoreTests : CheckpointStoreTests
{
    protected override Task<ICheckpointStore> CreateAsync() => Task.FromResult<ICheckpointStore>(new MemoryCheckpointStore());
}

public sealed class DirectoryCheckpointStoreTests : CheckpointStoreTests, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("bkbase-checkpoints-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task AnotherObjectOverTheSameFolderSeesTheSame()
    {
        var one = await CreateAsync();
        var other = await CreateAsync();
        var claim = await one.ClaimAsync("f/in/0", CancellationToken.None);
        await one.PublishAsync([new Publication("f/in/0", claim.Epoch, [5])], CancellationToken.None);
        Assert.Equal([5], (await other.ClaimAsync("f/in/0", CancellationToken.None)).Record);
        Assert.Equal(["f/in/0"], await one.PublishAsync([new Publication("f/in/0", claim.Epoch, [6])], CancellationToken.None));
    }

    [Fact]
    public async Task AHalfWrittenFileIsNoRecord()
    {
        var store = await CreateAsync();
        var claim = await store.ClaimAsync("f/in/0", CancellationToken.None);
        await store.PublishAsync([new Publication("f/in/0", claim.Epoch, [5])], CancellationToken.None);
        File.WriteAllBytes(Path.Combine(_folder, "checkpoints", "tasks", "f", "in", "0", "000000000001.ckpt.77.1.new"), [1, 2]);
        Assert.Equal([5], (await store.ClaimAsync("f/in/0", CancellationToken.None)).Record);
    }

    [Fact]
    public void AFolderOfSomethingElseIsRefused()
    {
        File.WriteAllText(Path.Combine(_folder, "letter.txt"), "dear");
        Assert.Contains("holds other files", Assert.Throws<CheckpointException>(() => new DirectoryCheckpointStore(_folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderOfANewerProgramIsRefused()
    {
        File.WriteAllText(Path.Combine(_folder, "format"), "bkbase checkpoints 2\n");
        Assert.Contains("'bkbase checkpoints 2'", Assert.Throws<CheckpointException>(() => new DirectoryCheckpointStore(_folder)).Message, StringComparison.Ordinal);
    }

    protected override Task<ICheckpointStore> CreateAsync() => Task.FromResult<ICheckpointStore>(new DirectoryCheckpointStore(Path.Combine(_folder, "checkpoints")));
}

public sealed class PostgresCheckpointStoreTests(PostgresFixture server) : CheckpointStoreTests, IClassFixture<PostgresFixture>, IAsyncDisposable
{
    private PostgresCheckpointStore? _store;

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }
    }

    [Fact]
    public async Task AServerThatIsAwayIsWaitableTrouble()
    {
        await using var away = new PostgresCheckpointStore("Host=127.0.0.1;Port=1;Username=x;Timeout=2");
        Assert.Contains("PostgreSQL", (await Assert.ThrowsAsync<IOException>(() => away.NextWriterAsync(1, CancellationToken.None))).Message, StringComparison.Ordinal);
    }

    protected override async Task<ICheckpointStore> CreateAsync()
    {
        await using (var source = NpgsqlDataSource.Create(server.Connection))
        await using (var drop = source.CreateCommand("DROP SCHEMA IF EXISTS bkbase CASCADE"))
        {
            await drop.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }

        return _store = new PostgresCheckpointStore(server.Connection);
    }
}
