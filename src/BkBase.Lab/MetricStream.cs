namespace BkBase.Lab;

/// <summary>Metrics of node-exporter, kubelet and kube-state-metrics as bk_standard_v2_time_series messages.</summary>
public sealed class MetricStream : LabStream
{
    private readonly LabOptions _options;
    private readonly MetricTarget[] _targets;
    private long _tick;
    private int _target;
    private int _item;
    private long _messages;

    /// <summary>The metrics of a world.</summary>
    public MetricStream(LabWorld world)
        : base(LabTopic.Metrics)
    {
        ArgumentNullException.ThrowIfNull(world);
        _options = world.Options;
        var targets = new List<MetricTarget>();
        foreach (var cluster in world.Clusters)
        {
            targets.Add(new KubeStateTarget(cluster, _options.Step));
            foreach (var node in cluster.Nodes)
            {
                targets.Add(new NodeExporterTarget(node, _options.Step));
                targets.Add(new KubeletTarget(node, _options.Step));
            }
        }

        _targets = [.. targets.OrderBy(t => t.Offset)];
        _tick = _options.Start;
        Open();
    }

    /// <summary>The series of one scrape of everything.</summary>
    public int SeriesCount => _targets.Sum(t => t.Count);

    private protected override void Compose()
    {
        var target = _targets[_target];
        var at = NextTime;
        var shape = _options.MixedShapes ? LabHash.Below(LabHash.Mix(_options.Seed, (ulong)_messages), 5) : 0;
        _messages++;
        Pen.Raw("{\"dataid\":1572865,"u8);
        if (shape != 2)
        {
            Pen.Raw("\"version\":\"1.0.0\","u8);
        }

        Pen.Raw("\"data\":["u8);
        var count = Math.Min(_options.ItemsPerMessage, target.Count - _item);
        for (var i = 0; i < count; i++)
        {
            if (i > 0)
            {
                Pen.Raw((byte)',');
            }

            var series = target.Sample(_item++, at, out var value);
            Item(target.Node, series, value, at, shape);
            KeyHash = i == 0 ? series.Key : KeyHash;
        }

        Pen.Raw((byte)']');
        if (shape == 2)
        {
            Pen.Raw(",\"time\":"u8);
            Pen.Int(at / 1000);
            Pen.Raw(",\"timestamp\":"u8);
            Pen.Int(at / 1000);
        }

        Gse(target.Node, _messages);
        Pen.Raw((byte)'}');
        Records = count;
        if (_item < target.Count)
        {
            return;
        }

        _item = 0;
        if (++_target == _targets.Length)
        {
            _target = 0;
            _tick += _options.Step;
        }

        Open();
    }

    private void Open()
    {
        NextTime = _tick + _targets[_target].Offset;
        _targets[_target].Begin(NextTime);
    }

    private void Item(LabNode node, MetricSeries series, double value, long at, int shape)
    {
        switch (shape)
        {
            case 1:
                Metrics("{"u8, series, value);
                Target(node);
                Stamp(at);
                Labels(","u8, series);
                break;
            case 2:
                Labels("{"u8, series);
                Metrics(","u8, series, value);
                Stamp(at);
                break;
            case 3:
                Pen.Raw("{\"timestamp\":"u8);
                Pen.Int(at);
                Target(node);
                Labels(","u8, series);
                Metrics(","u8, series, value);
                break;
            default:
                Metrics("{"u8, series, value);
                Target(node);
                Labels(","u8, series);
                Stamp(at);
                break;
        }

        if (shape == 4)
        {
            Pen.Raw(",\"exemplar\":{\"bk_trace_id\":\""u8);
            Pen.Hex(series.Key);
            Pen.Hex((ulong)at);
            Pen.Raw("\",\"bk_span_id\":\""u8);
            Pen.Hex(series.Key ^ (ulong)at);
            Pen.Raw("\",\"bk_trace_timestamp\":"u8);
            Pen.Int(at);
            Pen.Raw(",\"bk_trace_value\":1}"u8);
        }

        Pen.Raw((byte)'}');
    }

    private void Metrics(ReadOnlySpan<byte> lead, MetricSeries series, double value)
    {
        Pen.Raw(lead);
        Pen.Raw("\"metrics\":{\""u8);
        Pen.Raw(series.Name);
        Pen.Raw("\":"u8);
        Pen.Number(value);
        Pen.Raw((byte)'}');
    }

    private void Target(LabNode node)
    {
        Pen.Raw(",\"target\":\""u8);
        Pen.Raw(node.IpBytes);
        Pen.Raw((byte)'"');
    }

    private void Labels(ReadOnlySpan<byte> lead, MetricSeries series)
    {
        Pen.Raw(lead);
        Pen.Raw("\"dimension\":{"u8);
        Pen.Raw(series.Labels);
        Pen.Raw((byte)'}');
    }

    private void Stamp(long at)
    {
        Pen.Raw(",\"timestamp\":"u8);
        Pen.Int(at);
    }
}
