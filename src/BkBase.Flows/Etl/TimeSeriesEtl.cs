using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>bk_standard_v2_time_series: custom metrics, Kubernetes metrics, APM metrics, uptime checks. One row per item and metric.</summary>
public sealed record TimeSeriesSettings(MetricOptions Options) : IEtlSettings
{
    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "bk_standard_v2_time_series",
        "metrics in items with target, dimension and timestamp; one row per item and metric",
        "{ type: bk_standard_v2_time_series, dimensions: [bcs_cluster_id, namespace, pod] }",
        MetricOptions.Keys,
        Read);

    public Schema Schema => Options.Schema;

    public static TimeSeriesSettings Read(Section section) => new(MetricOptions.Read(section));

    public IEtl Create() => new TimeSeriesEtl(Options);
}

/// <summary>Parser of <see cref="TimeSeriesSettings"/>.</summary>
public sealed class TimeSeriesEtl : IEtl
{
    private readonly MetricOptions _options;
    private readonly TimeSeriesTape _tape;
    private readonly TimeSeriesScan? _scan;

    public TimeSeriesEtl(MetricOptions options)
        : this(options, isGeneral: false)
    {
    }

    /// <param name="options">What is read.</param>
    /// <param name="isGeneral">True to take the general way only, for comparison.</param>
    internal TimeSeriesEtl(MetricOptions options, bool isGeneral)
    {
        _options = options;
        var rows = new TimeSeriesRows(options);
        _tape = new TimeSeriesTape(options.Unit, rows);
        _scan = isGeneral ? null : new TimeSeriesScan(options.Unit, rows, _tape);
    }

    public Schema Schema => _options.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        payload = payload.TrimEnd("\0\n\r\t "u8);
        if (_scan is null || !_scan.TryParse(payload, output))
        {
            _tape.Parse(payload, output);
        }
    }
}
