using System.Text;

namespace BkBase.Lab;

/// <summary>Kubernetes events as bk_standard_v2_event messages: everyday ones, those of churn, those of incidents.</summary>
public sealed class EventStream : LabStream
{
    private static readonly (byte[] Reason, byte[] Type, byte[] Content)[] Everyday =
    [
        Kind("Pulled", "Normal", "Container image already present on machine"),
        Kind("SuccessfulCreate", "Normal", "Created pod"),
        Kind("Unhealthy", "Warning", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
        Kind("FailedScheduling", "Warning", "0/5 nodes are available: 5 Insufficient cpu."),
        Kind("ScalingReplicaSet", "Normal", "Scaled up replica set to 3"),
    ];

    private static readonly (byte[] Reason, byte[] Type, byte[] Content)[] Birth =
    [
        Kind("Scheduled", "Normal", "Successfully assigned pod to node"),
        Kind("Created", "Normal", "Created container"),
        Kind("Started", "Normal", "Started container"),
    ];

    private static readonly (byte[] Reason, byte[] Type, byte[] Content)[] Trouble =
    [
        Kind("OOMKilling", "Warning", "Memory cgroup out of memory: Killed process"),
        Kind("Unhealthy", "Warning", "Liveness probe failed: context deadline exceeded"),
        Kind("BackOff", "Warning", "Back-off restarting failed container"),
        Kind("EvictionThresholdMet", "Warning", "Attempting to reclaim ephemeral-storage"),
    ];

    private readonly LabWorld _world;
    private readonly PriorityQueue<LabPod, long> _churn = new();
    private readonly Source[] _sources;
    private readonly double _gap;
    private long _everyday;
    private int _birth;
    private long _messages;

    /// <summary>The events of a world.</summary>
    public EventStream(LabWorld world)
        : base(LabTopic.Events)
    {
        ArgumentNullException.ThrowIfNull(world);
        _world = world;
        _gap = 60_000 / (world.Options.EventsPerMinute * world.Clusters.Count);
        foreach (var pod in world.Pods)
        {
            pod.SetAt(world.Options.Start);
            if (pod.Until != long.MaxValue)
            {
                _churn.Enqueue(pod, pod.Until);
            }
        }

        _sources = [.. world.Incidents.Select(i => new Source(world, i))];
        NextTime = Soonest(out _);
    }

    private protected override void Compose()
    {
        var at = Soonest(out var source);
        _messages++;
        if (source >= 0)
        {
            var live = _sources[source];
            var pod = live.Take();
            pod.SetAt(at);
            Event(pod, Trouble[(int)live.Kind], at);
        }
        else if (source == -2)
        {
            var pod = _churn.Peek();
            pod.SetAt(at);
            Event(pod, Birth[_birth], at);
            if (++_birth == Birth.Length)
            {
                _birth = 0;
                _churn.Dequeue();
                _churn.Enqueue(pod, pod.Until);
            }
        }
        else
        {
            var dice = LabHash.Mix(_world.Options.Seed, 0xEEu, (ulong)_everyday++);
            var pod = _world.Pods[LabHash.Below(dice, _world.Pods.Length)];
            pod.SetAt(at);
            Event(pod, Everyday[LabHash.Below(LabHash.Mix(dice), Everyday.Length)], at);
        }

        Records = 1;
        NextTime = Soonest(out _);
    }

    private static (byte[] Reason, byte[] Type, byte[] Content) Kind(string reason, string type, string content) =>
        (Encoding.UTF8.GetBytes(reason), Encoding.UTF8.GetBytes(type), Encoding.UTF8.GetBytes(content));

    /// <summary>The time of the next event and where from: an incident, -1 everyday, -2 churn.</summary>
    private long Soonest(out int source)
    {
        source = -1;
        var next = double.IsInfinity(_gap) ? long.MaxValue : _world.Options.Start + (long)(_gap * (_everyday + 1));
        if (_churn.TryPeek(out _, out var churn) && churn < next)
        {
            next = churn;
            source = -2;
        }

        for (var i = 0; i < _sources.Length; i++)
        {
            if (_sources[i].Next < next)
            {
                next = _sources[i].Next;
                source = i;
            }
        }

        return next;
    }

    private void Event(LabPod pod, (byte[] Reason, byte[] Type, byte[] Content) kind, long at)
    {
        var cluster = pod.Node.Cluster;
        KeyHash = pod.Seed;
        Pen.Raw("{\"dataid\":1572867,\"version\":\"\",\"data\":[{\"event_name\":\""u8);
        Pen.Raw(kind.Reason);
        Pen.Raw("\",\"target\":\"kubelet\",\"event\":{\"content\":\""u8);
        Pen.Raw(kind.Content);
        Pen.Raw("\",\"count\":1},\"dimension\":{\"kind\":\"Pod\",\"namespace\":\""u8);
        Pen.Raw(pod.NamespaceBytes);
        Pen.Raw("\",\"name\":\""u8);
        Pen.Raw(pod.NameBytes);
        Pen.Raw("\",\"apiVersion\":\"v1\",\"uid\":\""u8);
        Pen.Hex(LabHash.Mix(pod.Seed, (ulong)_messages));
        Pen.Raw("\",\"host\":\""u8);
        Pen.Raw(pod.Node.NameBytes);
        Pen.Raw("\",\"type\":\""u8);
        Pen.Raw(kind.Type);
        Pen.Raw("\",\"pod\":\""u8);
        Pen.Raw(pod.NameBytes);
        Pen.Raw("\",\"bcs_cluster_id\":\""u8);
        Pen.Raw(cluster.IdBytes);
        Pen.Raw("\",\"bk_biz_id\":\""u8);
        Pen.Int(cluster.BizId);
        Pen.Raw("\"},\"timestamp\":"u8);
        Pen.Int(at);
        Pen.Raw("}],\"time\":"u8);
        Pen.Int(at / 1000);
        Pen.Raw(",\"timestamp\":"u8);
        Pen.Int(at / 1000);
        Gse(pod.Node, _messages);
        Pen.Raw((byte)'}');
    }

    /// <summary>The events of one incident: each pod in turn, at its own pace.</summary>
    private sealed class Source
    {
        private readonly LiveIncident _live;
        private readonly LabPod[] _pods;
        private readonly long _pace;
        private int _pod;

        internal Source(LabWorld world, LiveIncident live)
        {
            _live = live;
            _pods = live.Kind == IncidentKind.NodeCpu
                ? [.. world.Pods.Where(p => p.Node.Incidents.Contains(live))]
                : [.. world.Pods.Where(p => p.Incidents.Contains(live))];
            _pace = live.Kind switch
            {
                IncidentKind.MemoryLeak => live.Cycle,
                IncidentKind.NodeCpu => 15_000,
                IncidentKind.CrashLoop => 10_000,
                _ => 30_000,
            };
            Next = live.From + _pace <= live.Until ? live.From + _pace : long.MaxValue;
        }

        internal IncidentKind Kind => _live.Kind;

        internal long Next { get; private set; }

        /// <summary>A memory leak kills all pods at once; the others take turns.</summary>
        internal LabPod Take()
        {
            var pod = _pods[_pod++ % _pods.Length];
            if (Kind != IncidentKind.MemoryLeak || _pod % _pods.Length == 0)
            {
                Next = Next + _pace <= _live.Until ? Next + _pace : long.MaxValue;
            }

            return pod;
        }
    }
}
