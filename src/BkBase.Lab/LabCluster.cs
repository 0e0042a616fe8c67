using System.Globalization;
using System.Text;

namespace BkBase.Lab;

/// <summary>One Kubernetes cluster.</summary>
public sealed class LabCluster
{
    private static readonly string[] Apps =
    [
        "coredns", "gateway", "bk-monitor-web", "order", "user", "payment", "search", "inventory", "bk-collector", "cart", "session", "matchmaking",
        "report", "scheduler", "notify", "cache-proxy",
    ];

    internal LabCluster(LabWorld world, int index)
    {
        var options = world.Options;
        Index = index;
        Id = string.Create(CultureInfo.InvariantCulture, $"BCS-K8S-{index:00000}");
        IdBytes = Encoding.UTF8.GetBytes(Id);
        BizId = 2 + index;
        Seed = LabHash.Mix(options.Seed, 0xC1u, (ulong)index);

        var total = options.Nodes * options.PodsPerNode;
        var workloads = new LabWorkload[Math.Min(total, Math.Max(options.Namespaces, Math.Max(1, total / 4)))];
        for (var i = 0; i < workloads.Length; i++)
        {
            var app = Apps[i % Apps.Length];
            var name = i < Apps.Length ? app : string.Create(CultureInfo.InvariantCulture, $"{app}-{i / Apps.Length}");
            workloads[i] = new LabWorkload(LabHash.Mix(Seed, 0xA0u, (ulong)i), name, world.Namespaces[i % world.Namespaces.Count], options.Containers);
        }

        Workloads = workloads;
        var nodes = new LabNode[options.Nodes];
        var pods = new LabPod[total];
        for (var i = 0; i < nodes.Length; i++)
        {
            nodes[i] = new LabNode(this, i, options.Start);
            for (var p = 0; p < options.PodsPerNode; p++)
            {
                var slot = (i * options.PodsPerNode) + p;
                pods[slot] = new LabPod(options, nodes[i], workloads[slot % workloads.Length], slot);
            }

            nodes[i].Pods = pods.AsMemory(i * options.PodsPerNode, options.PodsPerNode);
        }

        Nodes = nodes;
        Pods = pods;
    }

    /// <summary>The number of the cluster, from 0.</summary>
    public int Index { get; }

    /// <summary>The cluster id, BCS-K8S-00000 and on.</summary>
    public string Id { get; }

    /// <summary>The business the cluster belongs to.</summary>
    public int BizId { get; }

    /// <summary>The nodes.</summary>
    public IReadOnlyList<LabNode> Nodes { get; }

    /// <summary>The workloads (Deployments).</summary>
    public IReadOnlyList<LabWorkload> Workloads { get; }

    /// <summary>The places pods run in; who runs there changes with churn.</summary>
    public IReadOnlyList<LabPod> Pods { get; }

    internal ulong Seed { get; }

    internal byte[] IdBytes { get; }
}

/// <summary>A Deployment.</summary>
public sealed class LabWorkload
{
    private static readonly string[] Sidecars = ["istio-proxy", "log-agent", "config-reloader"];

    internal LabWorkload(ulong seed, string name, string space, int containers)
    {
        Name = name;
        Namespace = space;
        ReplicaSet = name + "-" + LabNames.Suffix(LabHash.Mix(seed, 1), 10);
        var count = 1 + LabHash.Below(LabHash.Mix(seed, 2), containers);
        var names = new string[count];
        for (var i = 0; i < count; i++)
        {
            var sidecar = Sidecars[(i + Sidecars.Length - 1) % Sidecars.Length];
            names[i] = i == 0 ? name : i <= Sidecars.Length ? sidecar : sidecar + i.ToString(CultureInfo.InvariantCulture);
        }

        Containers = names;
        Cores = 0.05 + (0.6 * LabHash.Unit(LabHash.Mix(seed, 3)));
        MemoryLimit = (256L << LabHash.Below(LabHash.Mix(seed, 4), 4)) << 20;
    }

    /// <summary>The name of the Deployment.</summary>
    public string Name { get; }

    /// <summary>The namespace.</summary>
    public string Namespace { get; }

    /// <summary>The name of its replica set.</summary>
    public string ReplicaSet { get; }

    /// <summary>The names of the containers of each pod.</summary>
    public IReadOnlyList<string> Containers { get; }

    /// <summary>The mean CPU use of the main container, cores.</summary>
    public double Cores { get; }

    /// <summary>The memory limit of a container, bytes.</summary>
    public long MemoryLimit { get; }
}

/// <summary>The endings Kubernetes gives to names.</summary>
internal static class LabNames
{
    internal static string Suffix(ulong seed, int length) => string.Create(length, seed, static (text, s) =>
    {
        const string alphabet = "bcdfghjklmnpqrstvwxz2456789";
        for (var i = 0; i < text.Length; i++)
        {
            s = LabHash.Mix(s);
            text[i] = alphabet[LabHash.Below(s, alphabet.Length)];
        }
    });
}
