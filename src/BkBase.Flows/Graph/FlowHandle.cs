using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Graph;

/// <summary>
/// A running flow: its end, its counters, and the way to stop it. Also the commit tail: a source's offset is
/// confirmed when every edge that its rows reach has confirmed it.
/// </summary>
public sealed class FlowHandle
{
    private readonly Dictionary<string, ISourceControl> _sources = new(StringComparer.Ordinal);
    private readonly List<NodeCounters> _counters = [];
    private readonly List<SinkRows> _sinks = [];
    private readonly List<Task> _tails = [];
    private readonly List<Action> _stops = [];
    private long _deadLetters;
    private readonly List<HashSet<string>> _edges = [];
    private readonly Dictionary<(string Source, int Partition), PartitionProgress> _progress = [];
    private readonly Dictionary<(string Source, int Partition), long> _cuts = [];
    private readonly Lock _lock = new();
    private volatile bool _isStopping;

    internal FlowHandle(FlowDefinition flow, FlowLedger ledger) => (Flow, Ledger) = (flow, ledger);

    public FlowDefinition Flow { get; }

    /// <summary>The run's checkpoint records.</summary>
    public FlowLedger Ledger { get; }

    /// <summary>Counters of every source and node, in the order of the flow.</summary>
    public IReadOnlyList<NodeCounters> Nodes => _counters;

    /// <summary>Rows that each sink took, in the order of the flow.</summary>
    public IReadOnlyList<SinkRows> Sinks => _sinks;

    /// <summary>Refusals that the dead letters took.</summary>
    public long DeadLetters => Interlocked.Read(ref _deadLetters);

    /// <summary>Completes when every sink has flushed after the end of the sources or <see cref="Stop"/>; faults with the first failure.</summary>
    public Task Completion { get; private set; } = Task.CompletedTask;

    /// <summary>Distance to the end, per source.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<PartitionLag>> Lag() => _sources.ToDictionary(s => s.Key, s => s.Value.Lag(), StringComparer.Ordinal);

    /// <summary>Controls of the sources by name.</summary>
    public IReadOnlyDictionary<string, ISourceControl> Sources => _sources;

    /// <summary>Stops reading and drains: what was read is written and confirmed, then <see cref="Completion"/> completes.</summary>
    public void Stop()
    {
        _isStopping = true;
        foreach (var source in _sources.Values)
        {
            source.Stop();
        }

        foreach (var stop in StopActions())
        {
            stop();
        }
    }

    /// <summary>Largest offset that is durable everywhere, per source and partition.</summary>
    public IReadOnlyDictionary<(string Source, int Partition), long> Confirmed()
    {
        lock (_lock)
        {
            return _cuts.Concat(_progress.Where(p => p.Value.Confirmed >= 0).Select(p => KeyValuePair.Create(p.Key, p.Value.Confirmed))).ToDictionary();
        }
    }

    internal bool IsStopping => _isStopping;

    /// <summary>In a flow that holds state a published checkpoint confirms, not the edges.</summary>
    internal void ConfirmCut(string source, int partition, long offset)
    {
        lock (_lock)
        {
            _cuts[(source, partition)] = offset;
        }

        if (_sources.TryGetValue(source, out var control))
        {
            control.Confirm(partition, offset);
        }
    }

    internal NodeCounters Count(string node, string type)
    {
        var counters = new NodeCounters(node, type);
        _counters.Add(counters);
        return counters;
    }

    internal SinkRows Count(SinkDefinition sink)
    {
        var rows = new SinkRows(sink);
        _sinks.Add(rows);
        return rows;
    }

    internal void CountDeadLetters(long refusals) => Interlocked.Add(ref _deadLetters, refusals);

    internal int Edge(IReadOnlyList<string> sources)
    {
        _edges.Add([.. sources]);
        return _edges.Count - 1;
    }

    internal void Attach(string source, ISourceControl control) => _sources[source] = control;

    internal void Attach(Task tail) => _tails.Add(tail);

    /// <summary>Calls that too when the flow is stopped. From any thread.</summary>
    internal void AtStop(Action action)
    {
        lock (_lock)
        {
            _stops.Add(action);
        }
    }

    private Action[] StopActions()
    {
        lock (_lock)
        {
            return [.. _stops];
        }
    }

    internal void Started()
    {
        Completion = EndAsync(Task.WhenAll(_tails));
        foreach (var tail in _tails)
        {
            // An edge that failed confirms nothing any more: the others would run on for rows that are read again.
            _ = tail.ContinueWith(static (t, flow) => ((FlowHandle)flow!).Fail(t.Exception!.GetBaseException()), this, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }
    }

    private void Fail(Exception failure)
    {
        Ledger.Barriers?.Fail(failure);
        Stop();
    }

    // The last marks are published before the end is told.
    private async Task EndAsync(Task tails)
    {
        try
        {
            await tails;
        }
        finally
        {
            await Ledger.DisposeAsync();
        }
    }

    internal void Confirm(int edge, Confirmation confirmation)
    {
        long offset;
        lock (_lock)
        {
            var key = (confirmation.Source, confirmation.Partition);
            if (!_progress.TryGetValue(key, out var progress))
            {
                _progress[key] = progress = new PartitionProgress(_edges, confirmation.Source);
            }

            offset = progress.Confirm(edge, confirmation.Offset);
        }

        if (offset >= 0 && _sources.TryGetValue(confirmation.Source, out var control))
        {
            control.Confirm(confirmation.Partition, offset);
        }
    }

    /// <summary>Per edge, how far one partition is durable; the smallest counts.</summary>
    private sealed class PartitionProgress
    {
        private readonly long[] _edges;

        public PartitionProgress(List<HashSet<string>> edges, string source)
        {
            // An edge that the source does not reach never holds it back.
            _edges = [.. edges.Select(e => e.Contains(source) ? -1 : long.MaxValue)];
        }

        public long Confirmed { get; private set; } = -1;

        /// <summary>The new offset confirmed by all edges, or -1 when it did not move.</summary>
        public long Confirm(int edge, long offset)
        {
            _edges[edge] = Math.Max(_edges[edge], offset);
            var smallest = _edges.Min();
            if (smallest <= Confirmed)
            {
                return -1;
            }

            return Confirmed = smallest;
        }
    }
}

/// <summary>Rows that one sink took; all of them are durable once the flow has completed.</summary>
public sealed class SinkRows(SinkDefinition sink)
{
    private long _rows;

    public SinkDefinition Sink { get; } = sink;

    public long Rows => Interlocked.Read(ref _rows);

    internal void Add(long rows) => Interlocked.Add(ref _rows, rows);
}
