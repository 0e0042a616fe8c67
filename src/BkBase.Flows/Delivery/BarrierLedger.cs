using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace BkBase.Flows.Delivery;

/// <summary>
/// The checkpoints of a flow that holds state. Starts a barrier at every source, collects what sources, stateful nodes
/// and edges answer, and publishes it as one record; only then edges send the blocks of that barrier. A part that has
/// come to its end has answered every later barrier. Safe from any thread.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "a semaphore without a wait handle holds nothing; CloseAsync ends the timer")]
public sealed class BarrierLedger
{
    private readonly FlowLedger _ledger;
    private readonly ICheckpointStore _store;
    private readonly TimeProvider _time;
    private readonly Lock _gate = new();
    private readonly SemaphoreSlim _publishing = new(1);
    private readonly Dictionary<string, (string Type, string Settings)> _nodes = new(StringComparer.Ordinal);
    private readonly HashSet<string> _parts = new(StringComparer.Ordinal);
    private readonly HashSet<string> _edges = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Action<long>> _triggers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Answer> _answers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Answer> _ended = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Source, int Partition), string> _keys = [];
    private readonly TimeSpan _interval;
    private FlowRecord _record;
    private ITimer? _timer;
    private Task? _opening;
    private Task _completing = Task.CompletedTask;
    private Exception? _failure;
    private long _epoch;
    private long _number;
    private long _notBefore;
    private long _begun;
    private bool _isRunning;
    private bool _isCompleting;
    private bool _isWanted;
    private bool _isOpen;
    private volatile bool _hasMoved;

    internal BarrierLedger(FlowLedger ledger, ICheckpointStore store, TimeProvider time, TimeSpan interval)
    {
        (_ledger, _store, _time, _interval) = (ledger, store, time, interval);
        _record = new FlowRecord { Flow = ledger.Flow, Revision = ledger.Revision };
    }

    /// <summary>Checkpoints published in this run.</summary>
    public long Checkpoints { get; private set; }

    /// <summary>Bytes of the newest checkpoint.</summary>
    public long Bytes { get; private set; }

    /// <summary>From the barrier's start to its publication, newest checkpoint.</summary>
    public TimeSpan Duration { get; private set; }

    /// <summary>Told of each partition whose cut is published.</summary>
    internal Action<string, int, long>? Confirmed { get; set; }

    /// <summary>Becomes the owner of the flow's record and reads it. The same task for everybody who asks.</summary>
    /// <exception cref="CheckpointException">The record cannot be used by this revision; the message says why.</exception>
    public Task OpenAsync()
    {
        lock (_gate)
        {
            return _opening ??= Task.Run(OpenOnceAsync);
        }
    }

    /// <summary>State that a node goes on with; null at its first start. After <see cref="OpenAsync"/>.</summary>
    public NodeState? StateOf(string node)
    {
        lock (_gate)
        {
            return _record.States.GetValueOrDefault(node);
        }
    }

    /// <summary>Nothing is published any more, and whoever waits is told.</summary>
    public void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure ??= failure;
            foreach (var answer in _answers.Values.Concat(_ended.Values))
            {
                answer.Published?.TrySetException(_failure);
            }
        }
    }

    internal void Source(string name) => _parts.Add("source " + name);

    internal void Node(string name, string type, string settings)
    {
        _parts.Add("node " + name);
        _nodes[name] = (type, settings);
    }

    internal BarrierEdge Edge(string name)
    {
        _parts.Add("edge " + name);
        _edges.Add(name);
        return new BarrierEdge(this, name);
    }

    /// <summary>Says how a source is told to emit a barrier.</summary>
    internal void Attach(string source, Action<long> trigger)
    {
        lock (_gate)
        {
            _triggers[source] = trigger;
            if (_isRunning && !_answers.ContainsKey("source " + source))
            {
                trigger(_number);
            }
        }
    }

    internal void Moved() => _hasMoved = true;

    /// <summary>Wants a checkpoint before the interval is over.</summary>
    internal void Request()
    {
        lock (_gate)
        {
            _isWanted = true;
            Begin();
        }
    }

    internal void AnswerSource(string source, long number, IReadOnlyDictionary<int, long> cut) => Take("source " + source, number, new Answer { Source = source, Cut = new Dictionary<int, long>(cut) });

    internal void EndSource(string source, IReadOnlyDictionary<int, long> cut) => End("source " + source, new Answer { Source = source, Cut = new Dictionary<int, long>(cut) });

    internal void AnswerNode(string node, long number, int version, byte[] state) => Take("node " + node, number, new Answer { Node = node, State = StateFor(node, version, state) });

    internal void EndNode(string node, int version, byte[] state) => End("node " + node, new Answer { Node = node, State = StateFor(node, version, state) });

    internal Task AnswerEdge(string edge, long number, IReadOnlyList<ValueBlock> blocks)
    {
        var answer = new Answer { Blocks = blocks, Published = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously) };
        Take("edge " + edge, number, answer);
        return answer.Published.Task;
    }

    internal Task EndEdge(string edge, IReadOnlyList<ValueBlock> blocks)
    {
        var answer = new Answer { Blocks = blocks, Published = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously) };
        End("edge " + edge, answer);
        return answer.Published.Task;
    }

    internal IReadOnlyList<ValueBlock> PendingOf(string edge)
    {
        lock (_gate)
        {
            return [.. _record.Pending.Where(b => b.Edge == edge)];
        }
    }

    internal void Sent(ulong number)
    {
        lock (_gate)
        {
            _record = _record with { Pending = _record.Pending.RemoveAll(b => b.Number == number) };
            _hasMoved = true;
        }
    }

    internal async Task<int> RaiseAttemptAsync(ulong number)
    {
        await PublishAsync(r => r with { Pending = [.. r.Pending.Select(b => b.Number == number ? b with { Attempt = b.Attempt + 1 } : b)] });
        lock (_gate)
        {
            return _record.Pending.First(b => b.Number == number).Attempt;
        }
    }

    internal ulong NextBlock() => _ledger.NextBlock();

    /// <summary>As <see cref="FlowLedger.ClaimAsync"/>: the offset behind the cut.</summary>
    internal async Task<long> ClaimAsync(string source, int partition, string place, string incarnation, Func<long> first, CancellationToken cancel)
    {
        await OpenAsync();
        var key = TaskRecord.TaskOf(_ledger.Flow, source, partition, place);
        SourceCut? cut;
        lock (_gate)
        {
            _keys[(source, partition)] = key;
            cut = _record.Cuts.GetValueOrDefault(key);
        }

        if (cut is not null)
        {
            return cut.Incarnation == incarnation ? cut.Offset + 1 : throw new IncarnationException(key, cut.Incarnation, incarnation);
        }

        var begun = await StatelessMarkAsync(key, incarnation, cancel) ?? first() - 1;
        await PublishAsync(r => r with { Cuts = r.Cuts.SetItem(key, new SourceCut(source, partition, place, incarnation, begun)) });
        return begun + 1;
    }

    /// <summary>Publishes what is left when all went well, and takes no more.</summary>
    internal async Task CloseAsync()
    {
        if (_timer is not null)
        {
            await _timer.DisposeAsync();
        }

        for (var isBusy = true; isBusy;)
        {
            Task completing;
            lock (_gate)
            {
                (isBusy, completing) = (_isCompleting && _failure is null, _completing);
            }

            await completing;
        }

        if (_isOpen && _failure is null && _hasMoved && _ended.Count == _parts.Count)
        {
            try
            {
                await PublishAsync(r => r);
            }
            catch (Exception e) when (e is CheckpointException or OperationCanceledException)
            {
                // The blocks that are sent stay in the record as pending: the next run reads them back.
            }
        }
    }

    // A flow that had no state until now goes on where its tables end.
    private async Task<long?> StatelessMarkAsync(string key, string incarnation, CancellationToken cancel)
    {
        var stored = await _ledger.RetryAsync(c => _store.ReadAsync(_ledger.Flow, c), cancel);
        if (stored.FirstOrDefault(s => s.Task == key) is not { Record: { } bytes })
        {
            return null;
        }

        var record = TaskRecordFormat.Decode(bytes, key);
        if (record.Incarnation != incarnation)
        {
            throw new IncarnationException(key, record.Incarnation, incarnation);
        }

        return record.IsOpen
            ? throw new CheckpointException($"{key} has blocks of revision {record.Revision} that are not settled; settle them before a revision with state reads on")
            : record.Mark;
    }

    private async Task OpenOnceAsync()
    {
        var key = FlowRecord.TaskOf(_ledger.Flow);
        var claim = await _ledger.RetryAsync(c => _store.ClaimAsync(key, c), CancellationToken.None);
        var record = claim.Record is { } bytes ? FlowRecordFormat.Decode(bytes, _ledger.Flow) : _record;
        Check(record);
        lock (_gate)
        {
            _epoch = claim.Epoch;
            _record = record with { Revision = _ledger.Revision };
            _number = record.Number;
            _isOpen = true;
            _timer = _time.CreateTimer(static l => ((BarrierLedger)l!).OnTick(), this, _interval, _interval);
            TryComplete();
        }
    }

    private void Check(FlowRecord record)
    {
        foreach (var (node, state) in record.States)
        {
            var problem = !_nodes.TryGetValue(node, out var now) ? "the flow has no such stateful node any more"
                : now.Type != state.Type ? $"it was of type {state.Type} and is of type {now.Type} now"
                : now.Settings != state.Settings ? $"its settings were '{state.Settings}' and are '{now.Settings}' now"
                : null;
            if (problem is not null)
            {
                throw new CheckpointException($"flow {_ledger.Flow}: the state of node '{node}' (revision {record.Revision}) cannot be carried over: {problem}. Give the node back its name, type and settings, or give the flow another name to start afresh");
            }
        }

        if (record.Pending.FirstOrDefault(b => !_edges.Contains(b.Edge)) is { } lost)
        {
            throw new CheckpointException($"flow {_ledger.Flow}: revision {record.Revision} left {record.Pending.Count(b => b.Edge == lost.Edge)} blocks for {lost.Target} that may not be in it, and this revision has no '{lost.Edge}': run revision {record.Revision} to its end first");
        }
    }

    private void OnTick()
    {
        lock (_gate)
        {
            if (_hasMoved && _time.GetTimestamp() >= _notBefore)
            {
                Begin();
            }
        }
    }

    // Inside the gate.
    private void Begin()
    {
        if (!_isOpen || _isRunning || _failure is not null || _ended.Count == _parts.Count)
        {
            return;
        }

        (_isRunning, _isWanted, _hasMoved) = (true, false, false);
        _number++;
        _answers.Clear();
        _begun = _time.GetTimestamp();
        foreach (var (source, trigger) in _triggers)
        {
            if (!_ended.ContainsKey("source " + source))
            {
                trigger(_number);
            }
        }

        TryComplete();
    }

    private NodeState StateFor(string node, int version, byte[] state)
    {
        var (type, settings) = _nodes[node];
        return new NodeState(type, settings, version, state);
    }

    private void Take(string part, long number, Answer answer)
    {
        lock (_gate)
        {
            if (_failure is not null)
            {
                answer.Published?.TrySetException(_failure);
                return;
            }

            if (_isRunning && number == _number)
            {
                _answers[part] = answer;
                TryComplete();
            }
        }
    }

    private void End(string part, Answer answer)
    {
        lock (_gate)
        {
            _ended[part] = answer;
            if (_failure is not null)
            {
                answer.Published?.TrySetException(_failure);
                return;
            }

            TryComplete();
        }
    }

    // Inside the gate.
    private void TryComplete()
    {
        if (!_isRunning && _isOpen && _ended.Count == _parts.Count && _ended.Values.Any(a => !a.IsIncluded))
        {
            // The last barrier is the end itself.
            _isRunning = true;
            _number++;
            _answers.Clear();
            _begun = _time.GetTimestamp();
        }

        if (!_isRunning || _isCompleting || _parts.Any(p => !_answers.ContainsKey(p) && !_ended.ContainsKey(p)))
        {
            return;
        }

        _isCompleting = true;
        Answer[] included = [.. _parts.Select(p => _answers.GetValueOrDefault(p) ?? _ended[p]).Where(a => !a.IsIncluded)];
        foreach (var answer in included)
        {
            answer.IsIncluded = true;
        }

        _completing = Task.Run(() => CompleteAsync(included), CancellationToken.None);
    }

    private async Task CompleteAsync(Answer[] included)
    {
        try
        {
            await PublishAsync(r => Next(r, included));
        }
        catch (Exception e)
        {
            Fail(e is OperationCanceledException ? new CheckpointException("the checkpoint store was away to the end", e) : e);
            foreach (var answer in included)
            {
                answer.Published?.TrySetException(_failure!);
            }

            return;
        }

        List<(string, int, long)> cuts = [];
        lock (_gate)
        {
            Checkpoints++;
            Duration = _time.GetElapsedTime(_begun);
            _notBefore = _time.GetTimestamp() + (long)(9 * Duration.TotalSeconds * _time.TimestampFrequency);
            (_isRunning, _isCompleting) = (false, false);
            _answers.Clear();
            foreach (var answer in included)
            {
                cuts.AddRange((answer.Cut ?? []).Select(c => (answer.Source!, c.Key, c.Value)));
            }

            TryComplete();
            if (_isWanted)
            {
                Begin();
            }
        }

        foreach (var answer in included)
        {
            answer.Published?.TrySetResult();
        }

        foreach (var (source, partition, offset) in cuts)
        {
            Confirmed?.Invoke(source, partition, offset);
        }
    }

    // Inside the gate.
    private FlowRecord Next(FlowRecord record, Answer[] included)
    {
        var cuts = record.Cuts.ToBuilder();
        var states = record.States.ToBuilder();
        var pending = record.Pending.ToBuilder();
        foreach (var answer in included)
        {
            foreach (var (partition, offset) in answer.Cut ?? [])
            {
                if (_keys.TryGetValue((answer.Source!, partition), out var key))
                {
                    cuts[key] = cuts[key] with { Offset = offset };
                }
            }

            if (answer.State is { } state)
            {
                states[answer.Node!] = state;
            }

            pending.AddRange(answer.Blocks ?? []);
        }

        return record with { Number = _number, Cuts = cuts.ToImmutable(), States = states.ToImmutable(), Pending = pending.ToImmutable() };
    }

    private async Task PublishAsync(Func<FlowRecord, FlowRecord> change)
    {
        await _publishing.WaitAsync();
        try
        {
            FlowRecord next;
            lock (_gate)
            {
                if (_failure is not null)
                {
                    throw new CheckpointException($"flow {_ledger.Flow} has failed: {_failure.Message}", _failure);
                }

                next = _record = change(_record);
            }

            var bytes = FlowRecordFormat.Encode(next);
            var key = FlowRecord.TaskOf(_ledger.Flow);
            var refused = await _ledger.RetryAsync(c => _store.PublishAsync([new Publication(key, _epoch, bytes)], c), _ledger.Stopping);
            if (refused.Count > 0)
            {
                var fenced = new FencedException(key);
                Fail(fenced);
                throw fenced;
            }

            Bytes = bytes.Length;
        }
        finally
        {
            _publishing.Release();
        }
    }

    private sealed class Answer
    {
        public string? Source { get; init; }

        public Dictionary<int, long>? Cut { get; init; }

        public string? Node { get; init; }

        public NodeState? State { get; init; }

        public IReadOnlyList<ValueBlock>? Blocks { get; init; }

        public TaskCompletionSource? Published { get; init; }

        public bool IsIncluded { get; set; }
    }
}

/// <summary>One edge's part of a stateful flow's checkpoints: a sink hands its blocks over here and sends them when they are published.</summary>
public sealed class BarrierEdge
{
    private readonly BarrierLedger _ledger;

    internal BarrierEdge(BarrierLedger ledger, string name) => (_ledger, Name) = (ledger, name);

    /// <summary>Name of the edge, the same in every run.</summary>
    public string Name { get; }

    /// <summary>Completes when the flow's record is read.</summary>
    public Task OpenAsync() => _ledger.OpenAsync();

    /// <summary>Blocks that an earlier run recorded and that may not be in the table. After <see cref="OpenAsync"/>.</summary>
    public IReadOnlyList<ValueBlock> Pending() => _ledger.PendingOf(Name);

    /// <summary>Hands over the blocks of a barrier; completes when the checkpoint is published: then they may be sent.</summary>
    public Task AnswerAsync(long number, IReadOnlyList<ValueBlock> blocks) => _ledger.AnswerEdge(Name, number, blocks);

    /// <summary>Hands over the last blocks at the end of the input; completes when they are published.</summary>
    public Task EndAsync(IReadOnlyList<ValueBlock> blocks) => _ledger.EndEdge(Name, blocks);

    /// <summary>The table holds the block: it leaves the record.</summary>
    public void Sent(ulong number) => _ledger.Sent(number);

    /// <summary>Records a new attempt of a block before it is sent, and gives its number.</summary>
    public Task<int> RaiseAttemptAsync(ulong number) => _ledger.RaiseAttemptAsync(number);

    /// <summary>Wants a checkpoint soon: much waits for it.</summary>
    public void Request() => _ledger.Request();

    /// <summary>Number of the next block.</summary>
    public ulong NextBlock() => _ledger.NextBlock();
}
