namespace BkBase.Lab;

/// <summary>Container logs as bk_flat_batch messages: access lines, JSON, Java stack traces and key=value.</summary>
public sealed class LogStream : LabStream
{
    private readonly LabWorld _world;
    private readonly LabPen _line = new();
    private readonly Source[] _sources;
    private long _messages;

    /// <summary>The logs of a world.</summary>
    public LogStream(LabWorld world)
        : base(LabTopic.Logs)
    {
        ArgumentNullException.ThrowIfNull(world);
        _world = world;
        var options = world.Options;
        var gap = 60_000 * ((1 + options.LinesPerMessage) / 2.0) / options.LogLinesPerMinute;
        _sources =
        [
            new Source(world.Pods, gap / world.Pods.Length, options.Start, long.MaxValue),
            .. world.Incidents.Where(i => i.Kind == IncidentKind.LogStorm).Select(i => Storm(world, i, gap)),
        ];
        NextTime = _sources.Min(s => s.Next);
    }

    private protected override void Compose()
    {
        var source = _sources[0];
        foreach (var candidate in _sources)
        {
            source = candidate.Next < source.Next ? candidate : source;
        }

        var at = source.Next;
        var dice = LabHash.Mix(_world.Options.Seed, 0x70u, (ulong)_messages++);
        var pod = source.Pods[LabHash.Below(dice, source.Pods.Length)];
        pod.SetAt(at);
        source.Step();
        KeyHash = pod.Seed;
        Envelope(pod, at);
        Records = 1 + LabHash.Below(LabHash.Mix(dice, 1), _world.Options.LinesPerMessage);
        for (var i = 0; i < Records; i++)
        {
            Pen.Raw(i == 0 ? "{\"data\":\""u8 : ",{\"data\":\""u8);
            _line.Clear();
            LogLines.Write(_line, pod, at, LabHash.Mix(dice, 2, (ulong)i));
            Pen.Escaped(_line.Written);
            Pen.Raw("\",\"iterationindex\":"u8);
            Pen.Int(i);
            Pen.Raw((byte)'}');
        }

        Pen.Raw("]}"u8);
        NextTime = long.MaxValue;
        foreach (var next in _sources)
        {
            NextTime = Math.Min(NextTime, next.Next);
        }
    }

    private static Source Storm(LabWorld world, LiveIncident live, double gap)
    {
        LabPod[] pods = [.. world.Pods.Where(p => p.Incidents.Contains(live))];
        return new Source(pods, gap / pods.Length / Math.Max(0.001, live.Incident.Strength), live.From, live.Until);
    }

    private void Envelope(LabPod pod, long at)
    {
        Pen.Raw("{\"dataid\":1200177,\"ip\":\""u8);
        Pen.Raw(pod.Node.IpBytes);
        Pen.Raw("\",\"hostname\":\""u8);
        Pen.Raw(pod.Node.NameBytes);
        Pen.Raw("\",\"bizid\":0,\"bk_biz_id\":"u8);
        Pen.Int(pod.Node.Cluster.BizId);
        Pen.Raw(",\"cloudid\":0,\"datetime\":\""u8);
        Pen.Time(at + 28_800_000);
        Pen.Raw("\",\"utctime\":\""u8);
        Pen.Time(at);
        Pen.Raw("\",\"time\":"u8);
        Pen.Int(at / 1000);
        Pen.Raw(",\"filename\":\"/var/log/containers/"u8);
        Pen.Raw(pod.NameBytes);
        Pen.Raw("_"u8);
        Pen.Raw(pod.NamespaceBytes);
        Pen.Raw("_"u8);
        Pen.Raw(pod.WorkloadBytes);
        Pen.Raw(".log\",\"gseindex\":"u8);
        Pen.Int(_messages);
        Pen.Raw(",\"ext\":{\"bk_bcs_cluster_id\":\""u8);
        Pen.Raw(pod.Node.Cluster.IdBytes);
        Pen.Raw("\",\"io_kubernetes_pod_namespace\":\""u8);
        Pen.Raw(pod.NamespaceBytes);
        Pen.Raw("\",\"io_kubernetes_pod\":\""u8);
        Pen.Raw(pod.NameBytes);
        Pen.Raw("\",\"io_kubernetes_workload_name\":\""u8);
        Pen.Raw(pod.WorkloadBytes);
        Pen.Raw("\",\"container_name\":\""u8);
        Pen.Raw(pod.WorkloadBytes);
        Pen.Raw("\"},\"items\":["u8);
    }

    /// <summary>Messages of some pods at an even pace.</summary>
    private sealed class Source(LabPod[] pods, double gap, long from, long until)
    {
        private long _count;

        internal LabPod[] Pods { get; } = pods;

        internal long Next { get; private set; } = At(1, gap, from, until);

        internal void Step() => Next = At(++_count + 1, gap, from, until);

        private static long At(long count, double gap, long from, long until)
        {
            var next = double.IsFinite(gap) ? from + (count * gap) : double.MaxValue;
            return next < until ? (long)next : long.MaxValue;
        }
    }
}
