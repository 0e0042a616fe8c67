namespace BkBase.Lab;

/// <summary>Traces of 3 to 12 spans across services, one trace a message, as the collector sends them.</summary>
public sealed class SpanStream : LabStream
{
    private const int Most = 12;

    private readonly LabWorld _world;
    private readonly double _gap;
    private readonly long[] _starts = new long[Most];
    private readonly long[] _costs = new long[Most];
    private readonly ulong[] _ids = new ulong[Most];
    private long _messages;

    /// <summary>The traces of a world.</summary>
    public SpanStream(LabWorld world)
        : base(LabTopic.Spans)
    {
        ArgumentNullException.ThrowIfNull(world);
        _world = world;
        _gap = 60_000 / (world.Options.TracesPerMinute * world.Clusters.Count);
        NextTime = At();
    }

    private protected override void Compose()
    {
        var at = NextTime;
        var dice = LabHash.Mix(_world.Options.Seed, 0x5Au, (ulong)_messages++);
        var cluster = _world.Clusters[LabHash.Below(dice, _world.Clusters.Count)];
        Records = 3 + LabHash.Below(LabHash.Mix(dice, 1), Most - 2);
        KeyHash = LabHash.Mix(dice, 2);
        Pen.Raw("{\"dataid\":1100100,\"datetime\":\""u8);
        Pen.Time(at + 28_800_000);
        Pen.Raw("\",\"utctime\":\""u8);
        Pen.Time(at);
        Pen.Raw("\",\"time\":"u8);
        Pen.Int(at / 1000);
        Pen.Raw(",\"items\":["u8);
        for (var i = 0; i < Records; i++)
        {
            if (i > 0)
            {
                Pen.Raw((byte)',');
            }

            Span(cluster, i, at, LabHash.Mix(dice, 3, (ulong)i));
        }

        Pen.Raw((byte)']');
        Gse(cluster.Nodes[0], _messages);
        Pen.Raw((byte)'}');
        NextTime = At();
    }

    private long At() => double.IsInfinity(_gap) ? long.MaxValue : _world.Options.Start + (long)(_gap * (_messages + 1));

    /// <summary>A span lies within its parent; the root ends at the event time.</summary>
    private void Span(LabCluster cluster, int index, long at, ulong dice)
    {
        var pod = cluster.Pods[LabHash.Below(dice, cluster.Pods.Count)];
        pod.SetAt(at);
        var sick = pod.Suffers(IncidentKind.LogStorm, at) is not null || pod.Suffers(IncidentKind.CrashLoop, at) is not null;
        var failed = LabHash.Below(LabHash.Mix(dice, 1), 100) < (sick ? 40 : 2);
        var parent = index == 0 ? 0 : LabHash.Below(LabHash.Mix(dice, 2), index);
        _ids[index] = LabHash.Mix(dice, 3) | 1;
        if (index == 0)
        {
            _costs[0] = (20_000 + LabHash.Below(dice, 80_000)) * (pod.Node.Hot(at) ? 5 : 1);
            _starts[0] = (at * 1000) - _costs[0];
        }
        else
        {
            _costs[index] = 1 + (long)(_costs[parent] * 0.6 * LabHash.Unit(LabHash.Mix(dice, 4)));
            _starts[index] = _starts[parent] + (long)((_costs[parent] - _costs[index]) * LabHash.Unit(LabHash.Mix(dice, 5)));
        }

        var database = index > 2 && LabHash.Below(LabHash.Mix(dice, 6), 3) == 0;
        Pen.Raw("{\"trace_id\":\""u8);
        Pen.Hex(KeyHash);
        Pen.Hex(LabHash.Mix(KeyHash));
        Pen.Raw("\",\"span_id\":\""u8);
        Pen.Hex(_ids[index]);
        Pen.Raw("\",\"parent_span_id\":\""u8);
        if (index > 0)
        {
            Pen.Hex(_ids[parent]);
        }

        Pen.Raw("\",\"trace_state\":\"\",\"span_name\":\""u8);
        Pen.Raw(database ? "SELECT orders"u8 : index == 0 ? "GET /api/v1/orders"u8 : "POST /internal/call"u8);
        Pen.Raw("\",\"kind\":"u8);
        Pen.Int(database ? 3 : index == 0 ? 2 : 2 + (index % 2));
        Pen.Raw(",\"start_time\":"u8);
        Pen.Int(_starts[index]);
        Pen.Raw(",\"end_time\":"u8);
        Pen.Int(_starts[index] + _costs[index]);
        Pen.Raw(",\"elapsed_time\":"u8);
        Pen.Int(_costs[index]);
        Pen.Raw(failed ? ",\"status\":{\"code\":2,\"message\":\"deadline exceeded\"},\"attributes\":{"u8 : ",\"status\":{\"code\":0,\"message\":\"\"},\"attributes\":{"u8);
        Pen.Raw(database
            ? "\"db.system\":\"mysql\",\"db.statement\":\"SELECT * FROM orders WHERE id = ?\""u8
            : index == 0 ? "\"http.method\":\"GET\",\"http.status_code\":"u8 : "\"http.method\":\"POST\",\"http.status_code\":"u8);
        if (!database)
        {
            Pen.Int(failed ? 504 : 200);
        }

        Pen.Raw("},\"resource\":{\"service.name\":\""u8);
        Pen.Raw(pod.WorkloadBytes);
        Pen.Raw("\",\"k8s.bcs.cluster.id\":\""u8);
        Pen.Raw(cluster.IdBytes);
        Pen.Raw("\",\"k8s.namespace.name\":\""u8);
        Pen.Raw(pod.NamespaceBytes);
        Pen.Raw("\",\"k8s.pod.name\":\""u8);
        Pen.Raw(pod.NameBytes);
        Pen.Raw("\"},\"events\":["u8);
        if (failed)
        {
            Pen.Raw("{\"name\":\"exception\",\"timestamp\":"u8);
            Pen.Int(_starts[index] + _costs[index]);
            Pen.Raw(",\"attributes\":{\"exception.type\":\"TimeoutError\",\"exception.message\":\"deadline exceeded\"}}"u8);
        }

        Pen.Raw("],\"links\":[],\"client_ip\":\""u8);
        Pen.Raw(pod.Node.IpBytes);
        Pen.Raw("\",\"bk_biz_id\":"u8);
        Pen.Int(cluster.BizId);
        Pen.Raw(",\"app_name\":\"demo\",\"iterationindex\":"u8);
        Pen.Int(index);
        Pen.Raw((byte)'}');
    }
}
