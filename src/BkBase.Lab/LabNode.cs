using System.Globalization;
using System.Text;

namespace BkBase.Lab;

/// <summary>One node of a cluster.</summary>
public sealed class LabNode
{
    internal LabNode(LabCluster cluster, int index, long start)
    {
        Cluster = cluster;
        Index = index;
        Seed = LabHash.Mix(cluster.Seed, 0x0Du, (ulong)index);
        Ip = string.Create(CultureInfo.InvariantCulture, $"10.{cluster.Index % 250}.{index / 250}.{(index % 250) + 1}");
        Name = "node-" + Ip.Replace('.', '-');
        Cpus = 8;
        Memory = 32L << 30;
        Boot = start - 86_400_000L - ((long)LabHash.Below(Seed, 1000) * 3_600_000);
        IpBytes = Encoding.UTF8.GetBytes(Ip);
        NameBytes = Encoding.UTF8.GetBytes(Name);
    }

    /// <summary>The cluster of the node.</summary>
    public LabCluster Cluster { get; }

    /// <summary>The number of the node in its cluster, from 0.</summary>
    public int Index { get; }

    /// <summary>The name of the node.</summary>
    public string Name { get; }

    /// <summary>The IPv4 address.</summary>
    public string Ip { get; }

    /// <summary>The CPUs.</summary>
    public int Cpus { get; }

    /// <summary>The memory, bytes.</summary>
    public long Memory { get; }

    /// <summary>When it started, Unix milliseconds; its counters begin there.</summary>
    public long Boot { get; }

    internal ulong Seed { get; }

    internal ReadOnlyMemory<LabPod> Pods { get; set; }

    internal LiveIncident[] Incidents { get; set; } = [];

    internal byte[] IpBytes { get; }

    internal byte[] NameBytes { get; }

    internal bool Hot(long at)
    {
        foreach (var incident in Incidents)
        {
            if (incident.Active(at))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Seconds of saturation between boot and now.</summary>
    internal double HotSeconds(long at)
    {
        var sum = 0L;
        foreach (var incident in Incidents)
        {
            sum += incident.Overlap(Boot, at);
        }

        return sum / 1000.0;
    }
}
