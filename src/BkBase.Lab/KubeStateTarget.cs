namespace BkBase.Lab;

/// <summary>kube-state-metrics of one cluster: the API server's view of nodes and pods.</summary>
internal sealed class KubeStateTarget : MetricTarget
{
    private static readonly string[] Phases = ["Running", "Pending", "Failed"];

    private readonly LabCluster _cluster;
    private readonly MetricSeries[] _nodes;
    private readonly MetricSeries[] _pods;
    private readonly long[] _generations;

    internal KubeStateTarget(LabCluster cluster, int step)
        : base(cluster.Nodes[0], "kube-state-metrics", "kube-state-metrics", "bkmonitor-operator", step)
    {
        _cluster = cluster;
        _nodes = new MetricSeries[cluster.Nodes.Count * 2];
        for (var i = 0; i < _nodes.Length; i++)
        {
            var unit = i % 2 == 0 ? "\"resource\":\"cpu\",\"unit\":\"core\"" : "\"resource\":\"memory\",\"unit\":\"byte\"";
            _nodes[i] = Series("kube_node_status_allocatable", $",\"exported_node\":\"{cluster.Nodes[i / 2].Name}\",{unit}", "8080");
        }

        _pods = new MetricSeries[cluster.Pods.Count * (Phases.Length + 1)];
        _generations = new long[cluster.Pods.Count];
        Array.Fill(_generations, long.MinValue);
    }

    internal override int Count => _nodes.Length + _pods.Length;

    internal override void Begin(long at)
    {
        for (var p = 0; p < _generations.Length; p++)
        {
            var pod = _cluster.Pods[p];
            pod.SetAt(at);
            if (_generations[p] == pod.Generation)
            {
                continue;
            }

            _generations[p] = pod.Generation;
            var row = p * (Phases.Length + 1);
            var labels = $",\"namespace\":\"{pod.Workload.Namespace}\",\"pod\":\"{pod.Name}\"";
            _pods[row] = Series("kube_pod_container_status_restarts_total", $"{labels},\"container\":\"{pod.Workload.Containers[0]}\"", "8080");
            for (var i = 0; i < Phases.Length; i++)
            {
                _pods[row + 1 + i] = Series("kube_pod_status_phase", $"{labels},\"phase\":\"{Phases[i]}\"", "8080");
            }
        }
    }

    internal override MetricSeries Sample(int index, long at, out double value)
    {
        if (index < _nodes.Length)
        {
            var node = _cluster.Nodes[index / 2];
            value = index % 2 == 0 ? node.Cpus - 0.1 : node.Memory - (1L << 30);
            return _nodes[index];
        }

        var row = index - _nodes.Length;
        var pod = _cluster.Pods[row / (Phases.Length + 1)];
        var pending = at - pod.Born < 5000;
        value = (row % (Phases.Length + 1)) switch
        {
            0 => pod.Restarts(at).Count,
            1 => pending ? 0 : 1,
            2 => pending ? 1 : 0,
            _ => 0,
        };
        return _pods[row];
    }
}
