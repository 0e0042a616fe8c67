using System.Text;
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
    private readonly JsonTape _tape = new();
    private readonly DimensionSet _dimensions;
    private readonly MetricNames _metrics;
    private readonly TimeSeriesShapes _shapes;
    private readonly int _mapColumn;

    public TimeSeriesEtl(MetricOptions options)
    {
        _options = options;
        _dimensions = new DimensionSet(options.Dimensions, options.DimensionReplace);
        _metrics = new MetricNames(options);
        _shapes = new TimeSeriesShapes(_metrics, options.Unit, options.Dimensions.Count);
        _mapColumn = 3 + options.Dimensions.Count;
    }

    public Schema Schema => _options.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        payload = payload.TrimEnd("\0\n\r\t "u8);
        if (!_shapes.TryParse(payload, output.Rows) && EtlRecord.Read(_tape, payload, output, out var root))
        {
            ParseItems(root, payload, output);
        }
    }

    private void ParseItems(in JsonItem root, ReadOnlySpan<byte> payload, EtlOutput output)
    {
        var data = root["data"u8];
        if (!data.IsArray && !data.IsNothing)
        {
            output.Reject(RejectReason.WrongType, "data", "'data' is a list of items", root.Raw);
            return;
        }

        var (rows, refused, index) = (output.Rows.Count, output.Rejections.Count, 0);
        foreach (var item in data.Elements)
        {
            var before = output.Rows.Count;
            if (!ParseItem(item, root, payload, index++, output))
            {
                output.Rows.RollbackTo(before);
            }
        }

        if (output.Rows.Count == rows && output.Rejections.Count == refused)
        {
            output.Filtered++;
        }
        else if (output.Rejections.Count == refused)
        {
            _shapes.Learn(root, payload, output.Rows);
        }
    }

    private bool ParseItem(in JsonItem item, in JsonItem root, ReadOnlySpan<byte> payload, int index, EtlOutput output)
    {
        if (!item.IsObject)
        {
            return Refuse(output, RejectReason.WrongType, index, "", "an item is an object", item);
        }

        var stamp = item["timestamp"u8];
        var unit = _options.Unit;
        if (stamp.IsNothing || (stamp.TryInt64(out var zero) && zero == 0))
        {
            stamp = root["timestamp"u8];
            unit = TimeUnit.Auto;
        }

        if (stamp.IsNothing)
        {
            return Refuse(output, RejectReason.MissingField, index, ".timestamp", "an item needs a timestamp", item);
        }

        if (!stamp.IsNumber)
        {
            return Refuse(output, RejectReason.WrongType, index, ".timestamp", "a timestamp is a number", item);
        }

        if (!stamp.TryInt64(out var given) || !EventTime.TryMilliseconds(given, unit, out var time))
        {
            return Refuse(output, RejectReason.BadTime, index, ".timestamp", "a timestamp is a time after 1970", item);
        }

        var metrics = item["metrics"u8];
        if (!metrics.IsObject)
        {
            return Refuse(output, metrics.IsNothing ? RejectReason.MissingField : RejectReason.WrongType, index, ".metrics", "'metrics' is an object of numbers", item);
        }

        if (!ReadSeries(item, root, index, output, out var target))
        {
            return false;
        }

        var map = _dimensions.Map(output.Rows.Maps);
        var rows = output.Rows;
        _shapes.AddSeries(item, root, payload, target, _dimensions, rows);
        foreach (var value in metrics.Properties)
        {
            var metric = _metrics.Id(value.Name, rows.Strings);
            if (metric < 0 || value.IsNothing)
            {
                continue;
            }

            if (!value.TryDouble(out var number))
            {
                var reason = value.IsNumber || (value.IsText && IsNotFinite(value.Text)) ? RejectReason.NotFinite : RejectReason.WrongType;
                return Refuse(output, reason, index, $".metrics.{Encoding.UTF8.GetString(value.Name)}", "a metric is a finite number", item);
            }

            if (!IsLast(metrics, value))
            {
                continue;
            }

            rows.SetInt64(0, time);
            rows.SetString(1, metric);
            rows.SetString(2, target);
            for (var i = 0; i < _dimensions.Promoted.Length; i++)
            {
                rows.SetString(3 + i, _dimensions.Promoted[i]);
            }

            rows.SetMap(_mapColumn, map);
            rows.SetFloat64(_mapColumn + 1, number);
            rows.CommitRow();
        }

        return true;
    }

    private bool ReadSeries(in JsonItem item, in JsonItem root, int index, EtlOutput output, out int target)
    {
        var strings = output.Rows.Strings;
        target = 0;
        _dimensions.Clear();
        var dimension = item["dimension"u8];
        if (!dimension.IsObject && !dimension.IsNothing)
        {
            return Refuse(output, RejectReason.WrongType, index, ".dimension", "'dimension' is an object", item);
        }

        foreach (var value in dimension.Properties)
        {
            if (!_dimensions.Add(value.Name, value, strings))
            {
                return Refuse(output, RejectReason.WrongType, index, $".dimension.{Encoding.UTF8.GetString(value.Name)}", "a dimension is a text, number or boolean", item);
            }
        }

        var given = item["target"u8];
        if (given.IsNothing)
        {
            given = root["target"u8];
        }

        if (given.IsObject || given.IsArray)
        {
            return Refuse(output, RejectReason.WrongType, index, ".target", "a target is a text", item);
        }

        target = given.IsNothing ? Math.Max(0, _dimensions.Target) : strings.Intern(given.Text);
        return true;
    }

    // Objects of metrics are small; a repeated name is rare, the last one counts.
    private static bool IsLast(in JsonItem metrics, in JsonItem value) => metrics[value.Name].Start == value.Start;

    private static bool IsNotFinite(ReadOnlySpan<byte> text) =>
        text.SequenceEqual("NaN"u8) || text.TrimStart("+-"u8).SequenceEqual("Infinity"u8) || text.TrimStart("+-"u8).SequenceEqual("Inf"u8);

    private static bool Refuse(EtlOutput output, string reason, int index, string path, string message, in JsonItem item)
    {
        output.Reject(reason, $"data[{index}]{path}", message, item.Raw);
        return false;
    }
}
