using System.Globalization;

namespace BkBase.Lab;

/// <summary>The simulated clusters with their nodes, workloads and pods; a pure function of options and time.</summary>
public sealed class LabWorld
{
    private static readonly string[] Names = ["kube-system", "default", "blueking", "bkmonitor-operator", "bcs-system", "game-prod", "game-test", "payment", "search", "istio-system"];

    /// <summary>Builds the world of the options.</summary>
    public LabWorld(LabOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        Options = options;
        var namespaces = new string[options.Namespaces];
        for (var i = 0; i < namespaces.Length; i++)
        {
            namespaces[i] = i < Names.Length ? Names[i] : string.Create(CultureInfo.InvariantCulture, $"team-{i - Names.Length + 1:000}");
        }

        Namespaces = namespaces;
        var clusters = new LabCluster[options.Clusters];
        for (var i = 0; i < clusters.Length; i++)
        {
            clusters[i] = new LabCluster(this, i);
        }

        Clusters = clusters;
        Nodes = [.. clusters.SelectMany(c => c.Nodes)];
        Pods = [.. clusters.SelectMany(c => c.Pods)];
        Incidents = [.. options.Script.Incidents.Select(i => new LiveIncident(i, options.Start))];
        foreach (var live in Incidents)
        {
            Bind(live);
        }
    }

    /// <summary>What the world was built from.</summary>
    public LabOptions Options { get; }

    /// <summary>The names of the namespaces, the same in each cluster.</summary>
    public IReadOnlyList<string> Namespaces { get; }

    /// <summary>The clusters.</summary>
    public IReadOnlyList<LabCluster> Clusters { get; }

    internal LabNode[] Nodes { get; }

    internal LabPod[] Pods { get; }

    internal LiveIncident[] Incidents { get; }

    private void Bind(LiveIncident live)
    {
        var cluster = Clusters[live.Incident.Cluster % Clusters.Count];
        var target = live.Incident.Target;
        if (live.Kind == IncidentKind.NodeCpu)
        {
            var node = cluster.Nodes[target % cluster.Nodes.Count];
            node.Incidents = [.. node.Incidents, live];
            return;
        }

        var pods = live.Kind == IncidentKind.CrashLoop
            ? [cluster.Pods[target % cluster.Pods.Count]]
            : cluster.Pods.Where(p => p.Workload == cluster.Workloads[target % cluster.Workloads.Count]);
        foreach (var pod in pods)
        {
            pod.Incidents = [.. pod.Incidents, live];
        }
    }
}
