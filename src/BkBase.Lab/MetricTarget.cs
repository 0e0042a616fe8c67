using System.Text;

namespace BkBase.Lab;

/// <summary>One series: everything of it that does not change with time.</summary>
internal sealed class MetricSeries
{
    internal MetricSeries(string name, string labels, ulong salt)
    {
        Name = Encoding.UTF8.GetBytes(name);
        Labels = Encoding.UTF8.GetBytes(labels);
        Key = salt;
        foreach (var c in name + labels)
        {
            Key = (Key ^ c) * 0x100000001B3;
        }

        Key = LabHash.Mix(Key);
    }

    internal byte[] Name { get; }

    /// <summary>The members of the dimension object, without braces.</summary>
    internal byte[] Labels { get; }

    internal ulong Key { get; }
}

/// <summary>What one scrape asks: an exporter with its series.</summary>
internal abstract class MetricTarget(LabNode node, string job, string monitor, string space, int step)
{
    internal LabNode Node { get; } = node;

    /// <summary>Milliseconds after the tick at which it is scraped.</summary>
    internal long Offset { get; } = LabHash.Below(LabHash.Mix(node.Seed, (ulong)job[0], (ulong)job.Length), step);

    internal abstract int Count { get; }

    protected int Step { get; } = step;

    /// <summary>Called once before the samples of a scrape.</summary>
    internal virtual void Begin(long at)
    {
    }

    internal abstract MetricSeries Sample(int index, long at, out double value);

    protected MetricSeries Series(string name, string extra, string port = "9100")
    {
        var labels = $"\"bcs_cluster_id\":\"{Node.Cluster.Id}\",\"bk_biz_id\":\"{Node.Cluster.BizId}\",\"bk_monitor_name\":\"{monitor}\",\"bk_monitor_namespace\":\"{space}\",\"job\":\"{job}\",\"instance\":\"{Node.Ip}:{port}\",\"node\":\"{Node.Name}\"{extra}";
        return new MetricSeries(name, labels, Node.Seed);
    }
}
