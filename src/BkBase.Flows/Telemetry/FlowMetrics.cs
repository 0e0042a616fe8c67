using System.Diagnostics.Metrics;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Telemetry;

/// <summary>The meter <c>bkbase.flows</c>: counters of all running flows, labelled flow, node and outcome.</summary>
public sealed class FlowMetrics : IDisposable
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "bkbase.flows";

    private readonly Meter _meter = new(MeterName);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, IReadOnlyList<NodeCounters>> _flows = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FlowLedger> _ledgers = new(StringComparer.Ordinal);

    public FlowMetrics()
    {
        _meter.CreateObservableCounter("bkbase.rows", Observe, "{row}", "Rows by flow, node and outcome (in, made, out, filtered, rejected).");
        _meter.CreateObservableCounter("bkbase.node.troubles", ObserveTroubles, "{trouble}", "What hindered a node although it went on: a table that was not read again.");
        _meter.CreateObservableCounter("bkbase.checkpoint.publications", () => OfLedgers(l => l.Publications), "{publication}", "Checkpoints published, by flow.");
        _meter.CreateObservableCounter("bkbase.checkpoint.bytes", () => OfLedgers(l => l.PublishedBytes), "By", "Bytes of the checkpoints published, by flow.");
        _meter.CreateObservableCounter("bkbase.checkpoint.duration", () => OfLedgers(l => l.PublishTime.TotalSeconds), "s", "Time that publishing checkpoints took, by flow.");
        _meter.CreateObservableGauge("bkbase.checkpoint.pending", () => OfLedgers(l => l.PendingBlocks), "{block}", "Blocks recorded and not yet confirmed, by flow.");
    }

    /// <summary>Checkpoint records of every running flow.</summary>
    public IReadOnlyDictionary<string, FlowLedger> Ledgers
    {
        get
        {
            lock (_lock)
            {
                return new Dictionary<string, FlowLedger>(_ledgers, StringComparer.Ordinal);
            }
        }
    }

    /// <summary>Counters of every running flow.</summary>
    public IReadOnlyDictionary<string, IReadOnlyList<NodeCounters>> Flows
    {
        get
        {
            lock (_lock)
            {
                return new Dictionary<string, IReadOnlyList<NodeCounters>>(_flows, StringComparer.Ordinal);
            }
        }
    }

    /// <summary>Shows a flow's counters, and its checkpoints when it has a ledger, until the result is disposed.</summary>
    public IDisposable Register(string flow, IReadOnlyList<NodeCounters> nodes, FlowLedger? ledger = null)
    {
        lock (_lock)
        {
            _flows[flow] = nodes;
            _ledgers.Remove(flow);
            if (ledger is not null)
            {
                _ledgers[flow] = ledger;
            }
        }

        return new Registration(this, flow);
    }

    public void Dispose() => _meter.Dispose();

    private IEnumerable<Measurement<long>> Observe()
    {
        foreach (var (flow, nodes) in Flows)
        {
            foreach (var node in nodes)
            {
                yield return Of(node.In, "in");
                yield return Of(node.Made, "made");
                yield return Of(node.Out, "out");
                yield return Of(node.Filtered, "filtered");
                yield return Of(node.Rejected, "rejected");

                Measurement<long> Of(long rows, string outcome) =>
                    new(rows, new("flow", flow), new("node", node.Node), new("outcome", outcome));
            }
        }
    }

    private IEnumerable<Measurement<long>> ObserveTroubles() =>
        Flows.SelectMany(f => f.Value.Select(n => new Measurement<long>(n.Troubles, new("flow", f.Key), new("node", n.Node))));

    private IEnumerable<Measurement<T>> OfLedgers<T>(Func<FlowLedger, T> value)
        where T : struct => Ledgers.Select(l => new Measurement<T>(value(l.Value), new KeyValuePair<string, object?>("flow", l.Key)));

    private sealed class Registration(FlowMetrics owner, string flow) : IDisposable
    {
        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._flows.Remove(flow);
                owner._ledgers.Remove(flow);
            }
        }
    }
}
