using System.Collections.Concurrent;
using System.Text;
using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;

namespace BkBase.Flows.Connectors.Tests.Files;

/// <summary>An actor system, a folder and running sources for one test.</summary>
public abstract class StreamTest : IAsyncLifetime
{
    protected static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private readonly ActorSystem _system = ActorSystem.Create("test", "akka.loglevel=ERROR");
    private readonly MemoryCheckpointStore _checkpoints = new();

    protected string Folder { get; } = Directory.CreateTempSubdirectory("bkbase").FullName;

    protected IMaterializer Materializer => _system.Materializer();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public virtual async ValueTask DisposeAsync()
    {
        await _system.Terminate();
        Directory.Delete(Folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    protected static SourceContext Context(string flow = "f", StartKind start = StartKind.Head, long at = 0, int batch = 4096) =>
        new(flow, "input", new StartPosition(start, at), TimeProvider.System, FlowLedger.InMemory(flow, "rev", TimeProvider.System).Source("input"), batch);

    /// <summary>A context whose claims go on at what <see cref="MarkAsync"/> has set.</summary>
    protected SourceContext Resumed(string flow = "f", string place = "")
    {
        var ledger = FlowLedger.OpenAsync(flow, "rev", _checkpoints, TimeProvider.System, TimeSpan.FromHours(1), CancellationToken.None).GetAwaiter().GetResult();
        ledger.Edge("test", ["input"]);
        return Context(flow) with { Ledger = ledger.Source("input", place) };
    }

    /// <summary>Everything of a partition up to an offset is durable, says its record from now on.</summary>
    protected async Task MarkAsync(int partition, long offset, string flow = "f", string place = "")
    {
        var task = TaskRecord.TaskOf(flow, "input", partition, place);
        var claim = await _checkpoints.ClaimAsync(task, CancellationToken.None);
        var record = TaskRecordFormat.Decode(claim.Record, task);
        record = record with { Edges = record.Edges.SetItem("test", EdgeProgress.At(offset)) };
        Assert.Empty(await _checkpoints.PublishAsync([new Publication(task, claim.Epoch, TaskRecordFormat.Encode(record))], CancellationToken.None));
    }

    protected Running Run(ISource source, SourceContext context, Func<Task>? each = null)
    {
        var got = new ConcurrentQueue<(int Partition, long Offset, string Text)>();
        var (control, done) = source.Create(context)
            .SelectAsync(1, async batch =>
            {
                if (each is not null)
                {
                    await each();
                }

                for (var i = 0; i < batch.Count; i++)
                {
                    got.Enqueue((batch.Partition, batch.Offset(i), Encoding.UTF8.GetString(batch[i])));
                }

                batch.Dispose();
                return 0;
            })
            .ToMaterialized(Sink.Ignore<int>(), Keep.Both)
            .Run(Materializer);
        return new Running(control, done, got);
    }

    protected static Task Until(Func<bool> met, string what) => Until(met, () => what);

    protected static async Task Until(Func<bool> met, Func<string> what)
    {
        using var late = new CancellationTokenSource(Deadline);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        while (!met())
        {
            try
            {
                await timer.WaitForNextTickAsync(late.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail("not in time: " + what());
            }
        }
    }

    protected sealed record Running(ISourceControl Control, Task Done, ConcurrentQueue<(int Partition, long Offset, string Text)> Got)
    {
        public IReadOnlyList<string> Texts => [.. Got.Select(g => g.Text)];

        public Task Count(int n) => Until(() => Done.IsFaulted || Got.Count >= n, () => $"{n} records, {Got.Count} came; {(Control as Connectors.Files.ISourceStatus)?.Status}; {string.Join(", ", Control.Lag())}");

        public async Task Stop()
        {
            Control.Stop();
            await Done.WaitAsync(Deadline);
        }
    }
}
