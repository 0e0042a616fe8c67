using System.Globalization;
using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>bk_standard and bk_exporter: metrics of plugins and scripts, under the fields of their host.</summary>
/// <param name="IsExporter">True for the Prometheus form, where every metric carries its labels.</param>
/// <param name="HasGroups">Whether every group of 'group_info' makes rows of its own, with the group's keys as dimensions.</param>
public sealed record StandardSettings(MetricOptions Options, bool IsExporter, bool HasGroups = true) : IEtlSettings
{
    private static readonly Key[] Keys =
    [
        .. MetricOptions.Keys,
        new("group_info", KeyKind.Boolean, "whether every group of 'group_info' makes rows of its own, with its keys as dimensions; true when absent"),
    ];

    public static CatalogEntry<IEtlSettings> Standard { get; } = new(
        "bk_standard",
        "metrics of scripts: dimensions, metrics, time in seconds; one row per metric",
        "{ type: bk_standard, dimensions: [ip, bk_cloud_id] }",
        Keys,
        section => Read(section, isExporter: false));

    public static CatalogEntry<IEtlSettings> Exporter { get; } = new(
        "bk_exporter",
        "metrics of Prometheus exporters: key, labels, value; one row per metric",
        "{ type: bk_exporter, dimensions: [ip], metrics: [consul_catalog_nodes_up] }",
        Keys,
        section => Read(section, isExporter: true));

    public Schema Schema => Options.Schema;

    public IEtl Create() => new StandardEtl(this);

    private static StandardSettings Read(Section section, bool isExporter) => new(MetricOptions.Read(section), isExporter, section.Boolean("group_info") ?? true);
}

/// <summary>Parser of <see cref="StandardSettings"/>.</summary>
public sealed class StandardEtl(StandardSettings settings) : IEtl
{
    private readonly JsonTape _tape = new();
    private readonly DimensionSet _dimensions = new(settings.Options.Dimensions, settings.Options.DimensionReplace);
    private readonly MetricNames _metrics = new(settings.Options);

    public Schema Schema => settings.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        var (rows, refused) = (output.Rows.Count, output.Rejections.Count);
        var groups = root["group_info"u8];
        if (settings.HasGroups && !groups.IsNothing)
        {
            ParseGroups(groups, root, output);
        }
        else
        {
            ParseGroup(new JsonItem(_tape, default, -1), "", root, output);
        }

        if (output.Rows.Count == rows && output.Rejections.Count == refused)
        {
            output.Filtered++;
        }
    }

    private static bool Has(in JsonItem from, ReadOnlySpan<byte> name) => !from[name].IsNothing;

    /// <summary>All rows once per group; a null among the groups is none.</summary>
    private void ParseGroups(in JsonItem groups, in JsonItem root, EtlOutput output)
    {
        if (!groups.IsArray)
        {
            output.Reject(RejectReason.WrongType, "group_info", "'group_info' is a list of objects", root.Raw);
            return;
        }

        var index = 0;
        foreach (var group in groups.Elements)
        {
            var path = $"group_info[{index++}]";
            if (group.IsObject)
            {
                ParseGroup(group, path, root, output);
            }
            else if (!group.IsNothing)
            {
                output.Reject(RejectReason.WrongType, path, "a group is an object", root.Raw);
            }
        }
    }

    private void ParseGroup(in JsonItem group, string path, in JsonItem root, EtlOutput output)
    {
        if (settings.IsExporter)
        {
            ParseExporter(root, group, path, output);
        }
        else
        {
            ParseStandard(root, group, path, output);
        }
    }

    private void ParseStandard(in JsonItem root, in JsonItem group, string groupPath, EtlOutput output)
    {
        var metrics = root["metrics"u8];
        if (!metrics.IsObject || metrics.IsEmpty)
        {
            output.Reject(metrics.IsNothing || metrics.IsObject ? RejectReason.MissingField : RejectReason.WrongType, "metrics", "'metrics' is an object of numbers", root.Raw);
            return;
        }

        if (!root["time"u8].TryInt64(out var given) || !EventTime.TryMilliseconds(given, settings.Options.Unit, out var time))
        {
            output.Reject(Has(root, "time"u8) ? RejectReason.BadTime : RejectReason.MissingField, "time", "'time' is a number, in seconds", root.Raw);
            return;
        }

        if (!AddDimensions(root["dimensions"u8], root, "dimensions", output) || !AddGroup(group, groupPath, root, output))
        {
            return;
        }

        var before = output.Rows.Count;
        foreach (var value in metrics.Properties)
        {
            if (metrics[value.Name].Start == value.Start && !AddRow(time, value.Name, value, $"metrics.{Encoding.UTF8.GetString(value.Name)}", root, output))
            {
                output.Rows.RollbackTo(before);
                return;
            }
        }
    }

    private void ParseExporter(in JsonItem root, in JsonItem group, string groupPath, EtlOutput output)
    {
        var index = 0;
        foreach (var item in root["prometheus"u8]["collector"u8]["metrics"u8].Elements)
        {
            var path = $"prometheus.collector.metrics[{index++}]";
            if (item["key"u8] is not { IsText: true } name)
            {
                output.Reject(RejectReason.MissingField, path + ".key", "a metric needs a key", item.Raw);
            }
            else if (!(item["timestamp"u8].TryInt64(out var given) && EventTime.TryMilliseconds(given, settings.Options.Unit, out var time))
                && !(root["@timestamp"u8] is { IsText: true } stamp && EventTime.TryText(stamp.Text, null, TimeSpan.Zero, out time)))
            {
                output.Reject(RejectReason.BadTime, path + ".timestamp", "neither the metric nor the message has a time", item.Raw);
            }
            else if (AddDimensions(item["labels"u8], root, path + ".labels", output) && AddGroup(group, groupPath, root, output))
            {
                AddRow(time, name.Text, item["value"u8], path + ".value", item, output);
            }
        }
    }

    private bool AddDimensions(in JsonItem given, in JsonItem root, string path, EtlOutput output)
    {
        var strings = output.Rows.Strings;
        _dimensions.Clear();
        if (!given.IsObject && !given.IsNothing)
        {
            output.Reject(RejectReason.WrongType, path, "dimensions are an object", root.Raw);
            return false;
        }

        foreach (var value in given.Properties)
        {
            var name = settings.IsExporter && value.Name.SequenceEqual("ip"u8) ? "_user_tmp_ip_"u8 : value.Name;
            if (!_dimensions.Add(name, value, strings))
            {
                output.Reject(RejectReason.WrongType, $"{path}.{Encoding.UTF8.GetString(value.Name)}", "a dimension is a text, number or boolean", root.Raw);
                return false;
            }
        }

        Always("ip"u8, "ip"u8, root, strings);
        Always("cloudid"u8, "bk_cloud_id"u8, root, strings);
        Always("bizid"u8, "bk_supplier_id"u8, root, strings);
        if (!settings.IsExporter)
        {
            Always("bk_agent_id"u8, "bk_agent_id"u8, root, strings);
            IfAbsent("bk_biz_id"u8, given, root, strings);
            IfAbsent("bk_host_id"u8, given, root, strings);
        }

        return true;
    }

    private bool AddGroup(in JsonItem group, string path, in JsonItem root, EtlOutput output)
    {
        foreach (var value in group.Properties)
        {
            if (!_dimensions.Add(value.Name, value, output.Rows.Strings))
            {
                output.Reject(RejectReason.WrongType, $"{path}.{Encoding.UTF8.GetString(value.Name)}", "a dimension is a text, number or boolean", root.Raw);
                return false;
            }
        }

        return true;
    }

    private void Always(ReadOnlySpan<byte> from, ReadOnlySpan<byte> to, in JsonItem root, StringDictionary strings)
    {
        if (root[from] is { IsNothing: false } value)
        {
            _dimensions.Add(to, value, strings);
        }
    }

    private void IfAbsent(ReadOnlySpan<byte> name, in JsonItem given, in JsonItem root, StringDictionary strings)
    {
        if (!Has(given, name))
        {
            Always(name, name, root, strings);
        }
    }

    /// <summary>A metric, also where a script wrote it as text.</summary>
    private static bool TryNumber(in JsonItem value, out double number) =>
        value.TryDouble(out number)
        || (value.IsText && double.TryParse(value.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && double.IsFinite(number));

    private bool AddRow(long time, ReadOnlySpan<byte> name, in JsonItem value, string path, in JsonItem item, EtlOutput output)
    {
        var rows = output.Rows;
        var metric = _metrics.Id(name, rows.Strings);
        if (metric < 0 || value.IsNothing)
        {
            return true;
        }

        if (!TryNumber(value, out var number))
        {
            output.Reject(value.IsNumber || (value.IsText && double.TryParse(value.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out _)) ? RejectReason.NotFinite : RejectReason.WrongType, path, "a metric is a finite number", item.Raw, time);
            return false;
        }

        rows.SetInt64(0, time);
        rows.SetString(1, metric);
        rows.SetString(2, Math.Max(0, _dimensions.Target));
        for (var i = 0; i < _dimensions.Promoted.Length; i++)
        {
            rows.SetString(3 + i, _dimensions.Promoted[i]);
        }

        rows.SetMap(3 + _dimensions.Promoted.Length, _dimensions.Map(rows.Maps));
        rows.SetFloat64(4 + _dimensions.Promoted.Length, number);
        rows.CommitRow();
        return true;
    }
}
