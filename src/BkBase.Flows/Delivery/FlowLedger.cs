using System.Collections.Immutable;

namespace BkBase.Flows.Delivery;

/// <summary>
/// The checkpoint records of one running flow: claims its partitions, takes in what its edges report, and publishes.
/// Reports that somebody waits for go out at once, one publication in flight, so that those that come meanwhile share
/// the next; others go out at the interval. A checkpoint store that is away is tried again; until then nothing that
/// waits for it goes on. Safe from any thread.
/// </summary>
public sealed class FlowLedger : IAsyncDisposable
{
    private readonly ICheckpointStore _store;
    private readonly TimeProvider _time;
    private readonly Dictionary<(string Source, int Partition), OwnedTask> _tasks = [];
    private readonly List<(string Edge, IReadOnlyList<string> Sources)> _edges = [];
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ITimer _timer;
    private readonly ulong _writer;
    private readonly TimeSpan _interval;
    private Task _publishing = Task.CompletedTask;
    private bool _isPublishing;
    private bool _isWanted;
    private bool _isClosing;
    private long _blocks;
    private long _publications;
    private long _publishedBytes;
    private long _publishTicks;
    private volatile string? _trouble;

    private FlowLedger(string flow, string revision, ICheckpointStore store, long writer, TimeProvider time, TimeSpan interval)
    {
        (Flow, Revision, _store, _time) = (flow, revision, store, time);
        _writer = (ulong)writer << 40;
        _interval = interval;
        _timer = time.CreateTimer(static l => ((FlowLedger)l!).OnTick(), this, interval, interval);
    }

    public string Flow { get; }

    public string Revision { get; }

    /// <summary>What the ledger waits for, in one sentence; null when all is well.</summary>
    public string? Trouble => _trouble;

    /// <summary>Publications so far.</summary>
    public long Publications => Interlocked.Read(ref _publications);

    /// <summary>Bytes of the records published so far.</summary>
    public long PublishedBytes => Interlocked.Read(ref _publishedBytes);

    /// <summary>Time that publications took so far, retries of a store that was away included.</summary>
    public TimeSpan PublishTime => TimeSpan.FromTicks(Interlocked.Read(ref _publishTicks));

    /// <summary>Blocks recorded and not yet confirmed, over all partitions and edges.</summary>
    public int PendingBlocks
    {
        get
        {
            lock (_gate)
            {
                return _tasks.Values.Sum(t => t.Record.Edges.Values.Sum(e => e.Blocks.Count(b => !b.IsConfirmed)));
            }
        }
    }

    /// <summary>Opens the ledger of a run: takes a writer's number of its own; claims nothing yet.</summary>
    /// <param name="flow">Name of the flow.</param>
    /// <param name="revision">Content hash of the flow's text.</param>
    /// <param name="store">Where records go.</param>
    /// <param name="time">The clock.</param>
    /// <param name="interval">Time between publications that nobody waits for.</param>
    public static async Task<FlowLedger> OpenAsync(string flow, string revision, ICheckpointStore store, TimeProvider time, TimeSpan interval, CancellationToken cancel)
    {
        var writer = await store.NextWriterAsync(LeastWriter(time), cancel);
        return new FlowLedger(flow, revision, store, writer, time, interval);
    }

    /// <summary>
    /// Minutes since 2024, which fit into 24 bits until 2055: checkpoints that were removed and begun anew must not
    /// give numbers that a table holds already.
    /// </summary>
    public static long LeastWriter(TimeProvider time) => Math.Max(1, (time.GetUtcNow().ToUnixTimeSeconds() - 1_704_067_200) / 60);

    /// <summary>A ledger that ends with the process: flow tests and previews.</summary>
    public static FlowLedger InMemory(string flow, string revision, TimeProvider time) =>
        new(flow, revision, new MemoryCheckpointStore(), 1, time, TimeSpan.FromSeconds(2));

    /// <summary>The checkpoints of a flow that holds state; null for one whose blocks can be rebuilt from its sources.</summary>
    public BarrierLedger? Barriers { get; private set; }

    internal CancellationToken Stopping => _stop.Token;

    /// <summary>The flow holds state: one record for all of it takes the place of one per partition.</summary>
    internal BarrierLedger UseBarriers() => Barriers ??= new BarrierLedger(this, _store, _time, _interval);

    /// <summary>
    /// Becomes the owner of a partition, before its first record is read. Gives the offset to read from: behind the
    /// smallest mark of its record, or, at the first start, what <paramref name="first"/> says, which is then recorded.
    /// </summary>
    /// <param name="place">Where the source reads when that is not always the same: a file's path; else empty.</param>
    /// <param name="incarnation">What the offsets count in now.</param>
    /// <exception cref="CheckpointException">The record cannot be used, or counts in something else.</exception>
    public async Task<long> ClaimAsync(string source, int partition, string place, string incarnation, Func<long> first, CancellationToken cancel)
    {
        if (Barriers is { } barriers)
        {
            return await barriers.ClaimAsync(source, partition, place, incarnation, first, cancel);
        }

        var key = TaskRecord.TaskOf(Flow, source, partition, place);
        var claim = await RetryAsync(c => _store.ClaimAsync(key, c), cancel);
        TaskRecord record;
        if (claim.Record is { } bytes)
        {
            record = TaskRecordFormat.Decode(bytes, key, claim.At);
            if (record.Incarnation != incarnation)
            {
                throw new IncarnationException(key, record.Incarnation, incarnation);
            }

            if (record.Revision != Revision && record.IsOpen)
            {
                throw new CheckpointException($"{key} has blocks of revision {record.Revision} that are not settled; settle them before revision {Revision} reads on");
            }

            record = record with { Revision = Revision };
        }
        else
        {
            record = new TaskRecord { Flow = Flow, Revision = Revision, Source = source, Partition = partition, Place = place, Incarnation = incarnation, Begun = first() - 1 };
        }

        Task published;
        lock (_gate)
        {
            record = record.WithEdges(_edges.Where(e => e.Sources.Contains(source, StringComparer.Ordinal)).Select(e => e.Edge));
            var task = new OwnedTask(claim.Epoch, record) { IsDirty = true };
            _tasks[(source, partition)] = task;
            published = Publish(task);
        }

        await published;
        return record.Mark + 1;
    }

    /// <summary>Number of the next block: this writer's number in the high 24 bits, then a counter.</summary>
    public ulong NextBlock() => _writer | (ulong)Interlocked.Increment(ref _blocks);

    /// <summary>The ledger of one edge. All edges of a flow are made before its first claim.</summary>
    /// <param name="name">Name of the edge, the same in every run.</param>
    /// <param name="sources">Sources whose rows reach it.</param>
    /// <param name="barriers">The edge's part of the flow's checkpoints, for a sink that answers barriers itself.</param>
    public EdgeLedger Edge(string name, IReadOnlyList<string> sources, BarrierEdge? barriers = null)
    {
        lock (_gate)
        {
            _edges.Add((name, sources));
        }

        return new EdgeLedger(this, name) { Barriers = barriers };
    }

    /// <summary>The ledger of one source.</summary>
    /// <param name="name">Name of the source.</param>
    /// <param name="place">Where it reads when that is not always the same: a file's path; else empty.</param>
    public SourceLedger Source(string name, string place = "") => new(this, name, place);

    /// <summary>Progress of all claimed partitions.</summary>
    public IReadOnlyList<TaskRecord> Records()
    {
        lock (_gate)
        {
            return [.. _tasks.Values.Select(t => t.Record)];
        }
    }

    /// <summary>Publishes what is left, then gives up waiting.</summary>
    public async ValueTask DisposeAsync()
    {
        await _timer.DisposeAsync();
        Task last;
        lock (_gate)
        {
            if (_isClosing)
            {
                return;
            }

            _isClosing = true;
            _isWanted = true;
            Start();
            last = _publishing;
        }

        // A store that is away must not hold back the end: the records published so far are enough to go on from.
        _stop.CancelAfter(TimeSpan.FromSeconds(5));
        await last;
        await (Barriers?.CloseAsync() ?? Task.CompletedTask);
        _stop.Dispose();
    }

    internal EdgeProgress Of(string edge, string source, int partition)
    {
        lock (_gate)
        {
            return _tasks.TryGetValue((source, partition), out var task) ? task.Record.Edges[edge] : EdgeProgress.At(-1);
        }
    }

    internal void Confirm(string edge, string source, int partition, long mark)
    {
        lock (_gate)
        {
            if (_tasks.TryGetValue((source, partition), out var task) && task.Record.Edges[edge] is var progress && progress.Mark < mark)
            {
                Set(task, edge, progress with { Mark = mark, Blocks = progress.Blocks.RemoveAll(b => b.IsConfirmed && b.Last <= mark) });
            }
        }
    }

    internal void Note(string edge, string source, int partition, EdgeProgress progress)
    {
        lock (_gate)
        {
            if (_tasks.TryGetValue((source, partition), out var task))
            {
                Set(task, edge, progress);
            }
        }
    }

    internal Task RecordAsync(string edge, string source, int partition, EdgeProgress progress)
    {
        lock (_gate)
        {
            if (!_tasks.TryGetValue((source, partition), out var task))
            {
                // A source outside the ledger (memory): nothing to resume, nothing to record.
                return Task.CompletedTask;
            }

            Set(task, edge, progress);
            return Publish(task);
        }
    }

    private static void Set(OwnedTask task, string edge, EdgeProgress progress)
    {
        task.Record = task.Record with { Edges = task.Record.Edges.SetItem(edge, progress) };
        task.IsDirty = true;
    }

    // Inside the gate.
    private Task Publish(OwnedTask task)
    {
        if (task.IsFenced)
        {
            return Task.FromException(new FencedException(task.Record.Task));
        }

        task.Waiter ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _isWanted = true;
        Start();
        return task.Waiter.Task;
    }

    // Also those who came while the publication was under way: nothing of the task is published any more.
    private void Fence(OwnedTask task, TaskCompletionSource? waiter)
    {
        lock (_gate)
        {
            task.IsFenced = true;
            waiter?.TrySetException(new FencedException(task.Record.Task));
            task.Waiter?.TrySetException(new FencedException(task.Record.Task));
            task.Waiter = null;
        }
    }

    private void OnTick()
    {
        lock (_gate)
        {
            if (_tasks.Values.Any(t => t.IsDirty))
            {
                _isWanted = true;
                Start();
            }
        }
    }

    // Inside the gate.
    private void Start()
    {
        if (!_isPublishing)
        {
            _isPublishing = true;
            _publishing = Task.Run(PublishAsync, CancellationToken.None);
        }
    }

    private async Task PublishAsync()
    {
        while (true)
        {
            List<(OwnedTask Task, TaskCompletionSource? Waiter)> batch = [];
            var publications = new List<Publication>();
            lock (_gate)
            {
                if (!_isWanted)
                {
                    _isPublishing = false;
                    return;
                }

                _isWanted = false;
                foreach (var task in _tasks.Values.Where(t => t.IsDirty && !t.IsFenced))
                {
                    batch.Add((task, task.Waiter));
                    publications.Add(new Publication(task.Record.Task, task.Epoch, TaskRecordFormat.Encode(task.Record)));
                    (task.IsDirty, task.Waiter) = (false, null);
                }
            }

            if (batch.Count == 0)
            {
                continue;
            }

            try
            {
                var since = _time.GetTimestamp();
                var refused = await RetryAsync(c => _store.PublishAsync(publications, c), _stop.Token);
                Interlocked.Add(ref _publishTicks, _time.GetElapsedTime(since).Ticks);
                Interlocked.Add(ref _publishedBytes, publications.Sum(p => (long)p.Record.Length));
                Interlocked.Increment(ref _publications);
                foreach (var (task, waiter) in batch)
                {
                    if (refused.Contains(task.Record.Task, StringComparer.Ordinal))
                    {
                        Fence(task, waiter);
                    }
                    else
                    {
                        waiter?.TrySetResult();
                    }
                }
            }
            catch (Exception e)
            {
                foreach (var (_, waiter) in batch)
                {
                    waiter?.TrySetException(e is OperationCanceledException ? new CheckpointException("the checkpoint store was away to the end", e) : e);
                }

                if (e is OperationCanceledException)
                {
                    return;
                }
            }
        }
    }

    internal async Task<T> RetryAsync<T>(Func<CancellationToken, Task<T>> action, CancellationToken cancel)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                var result = await action(cancel);
                _trouble = null;
                return result;
            }
            catch (IOException e)
            {
                _trouble = $"the checkpoint store does not answer: {e.Message}";
                await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(5000, 50 << Math.Min(attempt, 10))), _time, cancel);
            }
        }
    }

    private sealed class OwnedTask(long epoch, TaskRecord record)
    {
        public long Epoch { get; } = epoch;

        public TaskRecord Record { get; set; } = record;

        public bool IsDirty { get; set; }

        public bool IsFenced { get; set; }

        public TaskCompletionSource? Waiter { get; set; }
    }
}

/// <summary>One source's part of a flow's ledger: a source claims its partitions here before it reads them.</summary>
public sealed class SourceLedger
{
    private readonly FlowLedger _ledger;
    private readonly string _source;
    private readonly string _place;

    internal SourceLedger(FlowLedger ledger, string source, string place) => (_ledger, _source, _place) = (ledger, source, place);

    /// <summary>Becomes the owner of a partition; gives the offset to read from. See <see cref="FlowLedger.ClaimAsync"/>.</summary>
    public Task<long> ClaimAsync(int partition, string incarnation, Func<long> first, CancellationToken cancel) =>
        _ledger.ClaimAsync(_source, partition, _place, incarnation, first, cancel);
}

/// <summary>One edge's part of a flow's ledger: a sink reports here what it wrote, and learns what it wrote before.</summary>
public sealed class EdgeLedger
{
    private readonly FlowLedger _ledger;

    internal EdgeLedger(FlowLedger ledger, string name) => (_ledger, Name) = (ledger, name);

    /// <summary>Name of the edge, the same in every run.</summary>
    public string Name { get; }

    /// <summary>For a sink in a flow that holds state: where it hands over its blocks. Null elsewhere.</summary>
    public BarrierEdge? Barriers { get; internal init; }

    /// <summary>What of a partition is durable already, and the blocks above it.</summary>
    public EdgeProgress Of(string source, int partition) => _ledger.Of(Name, source, partition);

    /// <summary>Completes when the progress is published: then its blocks may be sent.</summary>
    /// <exception cref="FencedException">Another process owns the partition.</exception>
    public Task RecordAsync(string source, int partition, EdgeProgress progress) => _ledger.RecordAsync(Name, source, partition, progress);

    /// <summary>Takes note of progress; it is published with the next record.</summary>
    public void Note(string source, int partition, EdgeProgress progress) => _ledger.Note(Name, source, partition, progress);

    /// <summary>Takes note that everything up to an offset is durable.</summary>
    public void Confirm(string source, int partition, long mark) => _ledger.Confirm(Name, source, partition, mark);

    /// <summary>Number of the next block.</summary>
    public ulong NextBlock() => _ledger.NextBlock();
}
