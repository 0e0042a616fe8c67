namespace BkBase.Lab;

/// <summary>kubelet and cAdvisor of one node: its pods and their containers.</summary>
internal sealed class KubeletTarget : MetricTarget
{
    private const int PerContainer = 3;
    private const int PerPod = 2;

    private readonly MetricSeries _pods;
    private readonly MetricSeries _containers;
    private readonly (int Pod, int Kind, int Container)[] _plan;
    private readonly MetricSeries[] _series;
    private readonly long[] _generations;
    private readonly int _total;

    internal KubeletTarget(LabNode node, int step)
        : base(node, "kubelet", "kubelet", "bkmonitor-operator", step)
    {
        _pods = Series("kubelet_running_pods", "", "10250");
        _containers = Series("kubelet_running_containers", ",\"container_state\":\"running\"", "10250");
        var plan = new List<(int, int, int)>();
        for (var p = 0; p < node.Pods.Length; p++)
        {
            var count = node.Pods.Span[p].Workload.Containers.Count;
            _total += count;
            for (var k = 0; k < (count * PerContainer) + PerPod; k++)
            {
                plan.Add(k < PerPod ? (p, k, 0) : (p, PerPod + ((k - PerPod) % PerContainer), (k - PerPod) / PerContainer));
            }
        }

        _plan = [.. plan];
        _series = new MetricSeries[_plan.Length];
        _generations = new long[node.Pods.Length];
        Array.Fill(_generations, long.MinValue);
    }

    internal override int Count => _plan.Length + 2;

    internal override void Begin(long at)
    {
        var pods = Node.Pods.Span;
        var row = 0;
        for (var p = 0; p < pods.Length; p++)
        {
            pods[p].SetAt(at);
            var rows = (pods[p].Workload.Containers.Count * PerContainer) + PerPod;
            if (_generations[p] != pods[p].Generation)
            {
                _generations[p] = pods[p].Generation;
                for (var i = row; i < row + rows; i++)
                {
                    _series[i] = Describe(pods[p], _plan[i].Kind, _plan[i].Container);
                }
            }

            row += rows;
        }
    }

    internal override MetricSeries Sample(int index, long at, out double value)
    {
        if (index < 2)
        {
            value = index == 0 ? Node.Pods.Length : _total;
            return index == 0 ? _pods : _containers;
        }

        var series = _series[index - 2];
        var (p, kind, container) = _plan[index - 2];
        var pod = Node.Pods.Span[p];
        var seed = series.Key;
        var main = container == 0;
        var started = kind == 2 && main ? pod.Restarts(at).Started : pod.Born;
        value = kind switch
        {
            0 => Math.Floor(MetricValues.Counter(seed, 40_000, pod.Born, at, Step)),
            1 => Math.Floor(MetricValues.Counter(seed, 30_000, pod.Born, at, Step)),
            2 => MetricValues.Counter(seed, pod.Workload.Cores * (main ? 1 : 0.1), started, at, Step),
            3 => Math.Floor(main ? Memory(pod, seed, at) : MetricValues.Gauge(seed, 40 << 20, 0.1, at)),
            _ => main ? pod.Workload.MemoryLimit : 128 << 20,
        };
        return series;
    }

    private static double Memory(LabPod pod, ulong seed, long at)
    {
        var limit = pod.Workload.MemoryLimit;
        var normal = MetricValues.Gauge(seed, limit * 0.4, 0.1, at);
        if (pod.Suffers(IncidentKind.MemoryLeak, at) is not { } leak)
        {
            return normal;
        }

        var since = Math.Max(pod.Restarts(at).Started, leak.From);
        var share = Math.Min(1, (at - since) / (double)leak.Cycle);
        return normal + ((limit - normal) * share);
    }

    private MetricSeries Describe(LabPod pod, int kind, int container)
    {
        var name = kind switch
        {
            0 => "container_network_receive_bytes_total",
            1 => "container_network_transmit_bytes_total",
            2 => "container_cpu_usage_seconds_total",
            3 => "container_memory_working_set_bytes",
            _ => "container_spec_memory_limit_bytes",
        };
        var tail = kind < PerPod
            ? ",\"interface\":\"eth0\""
            : $",\"container\":\"{pod.Workload.Containers[container]}\"";
        return Series(name, $",\"namespace\":\"{pod.Workload.Namespace}\",\"pod\":\"{pod.Name}\"{tail}", "10250");
    }
}
