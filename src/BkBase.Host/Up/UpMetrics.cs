using System.Diagnostics.Metrics;

namespace BkBase.Host;

/// <summary>Counters of posted records and requests, in the meter <c>bkbase.up</c>.</summary>
internal sealed class IngestMetrics
{
    private readonly Counter<long>? _records;
    private readonly Counter<long>? _requests;

    public IngestMetrics(Meter? meter = null)
    {
        _records = meter?.CreateCounter<long>("bkbase.ingest.records", "{record}", "Records posted, by topic and outcome (accepted, rejected).");
        _requests = meter?.CreateCounter<long>("bkbase.ingest.requests", "{request}", "Requests to post records, by status.");
    }

    public void Records(string topic, int accepted, int rejected)
    {
        _records?.Add(accepted, new("topic", topic), new("outcome", "accepted"));
        _records?.Add(rejected, new("topic", topic), new("outcome", "rejected"));
    }

    public void Requests(int status) => _requests?.Add(1, new KeyValuePair<string, object?>("status", status));
}

/// <summary>The meter <c>bkbase.up</c>: what the process knows of its flows beyond their counters.</summary>
internal sealed class UpMetrics : IDisposable
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "bkbase.up";

    private readonly Meter _meter = new(MeterName);

    public UpMetrics(FlowSet flows)
    {
        Ingest = new IngestMetrics(_meter);
        _meter.CreateObservableGauge("bkbase.flow.state", () => States(flows), "", "1 for the state that a flow is in, 0 for the others.");
        _meter.CreateObservableCounter("bkbase.flow.restarts", () => flows.Runners.Select(r => new Measurement<long>(r.Restarts, new KeyValuePair<string, object?>("flow", r.Flow.Name))), "{restart}", "How often a flow was started again after a failure.");
        _meter.CreateObservableGauge("bkbase.lag", () => Lags(flows, s => s.Records), "{record}", "Records not yet confirmed, by flow and source.");
        _meter.CreateObservableGauge("bkbase.lag.time", () => Lags(flows, s => s.Seconds), "s", "Age of the oldest record not yet confirmed, by flow and source.");
    }

    public IngestMetrics Ingest { get; }

    public void Dispose() => _meter.Dispose();

    private static IEnumerable<Measurement<long>> States(FlowSet flows) =>
        from flow in flows.Health()
        from state in Enum.GetValues<FlowState>()
        select new Measurement<long>(flow.State == state ? 1 : 0, new("flow", flow.Flow), new("state", Word(state)));

    // What is not known just now is NaN: a figure that stays where it was would lie.
    private static IEnumerable<Measurement<double>> Lags(FlowSet flows, Func<SourceHealth, double?> value) =>
        from flow in flows.Health()
        from source in flow.Sources
        select new Measurement<double>(value(source) ?? double.NaN, new("flow", flow.Flow), new("source", source.Source));

    private static string Word(FlowState state) => state.ToString().ToLowerInvariant();
}
