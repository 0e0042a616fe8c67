namespace BkBase.Lab;

/// <summary>What the simulated platform looks like. The same options always give the same bytes.</summary>
public sealed record LabOptions
{
    /// <summary>The seed of every name, value and choice.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The simulated start, Unix milliseconds.</summary>
    public long Start { get; init; } = 1_767_225_600_000;

    /// <summary>The scrape interval, milliseconds.</summary>
    public int Step { get; init; } = 60_000;

    /// <summary>The number of Kubernetes clusters.</summary>
    public int Clusters { get; init; } = 2;

    /// <summary>Nodes in each cluster.</summary>
    public int Nodes { get; init; } = 5;

    /// <summary>Namespaces in each cluster; kube-system, default and blueking come first.</summary>
    public int Namespaces { get; init; } = 6;

    /// <summary>Pods on each node.</summary>
    public int PodsPerNode { get; init; } = 12;

    /// <summary>The most containers in one pod; the second and later ones are sidecars.</summary>
    public int Containers { get; init; } = 2;

    /// <summary>The share of pods replaced by a new name in one hour: 0.1 is ten percent, 0 is never.</summary>
    public double PodChurn { get; init; } = 0.1;

    /// <summary>Log lines per minute of one pod.</summary>
    public double LogLinesPerMinute { get; init; } = 6;

    /// <summary>Ordinary Kubernetes events per minute of one cluster.</summary>
    public double EventsPerMinute { get; init; } = 10;

    /// <summary>Traces per minute of one cluster.</summary>
    public double TracesPerMinute { get; init; } = 60;

    /// <summary>Metric items in one message; only items of one scrape of one target share a message.</summary>
    public int ItemsPerMessage { get; init; } = 1;

    /// <summary>The most log lines in one message.</summary>
    public int LinesPerMessage { get; init; } = 4;

    /// <summary>Vary key order and optional fields (exemplar, envelope, target) among several shapes.</summary>
    public bool MixedShapes { get; init; }

    /// <summary>The topics the generator mixes.</summary>
    public LabTopics Topics { get; init; } = LabTopics.All;

    /// <summary>The incidents to play.</summary>
    public LabScript Script { get; init; } = LabScript.Calm;

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Start);
        ArgumentOutOfRangeException.ThrowIfLessThan(Step, 1000);
        ArgumentOutOfRangeException.ThrowIfLessThan(Clusters, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Nodes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Nodes, 60_000);
        ArgumentOutOfRangeException.ThrowIfLessThan(Namespaces, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(PodsPerNode, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Containers, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(PodChurn);
        ArgumentOutOfRangeException.ThrowIfNegative(LogLinesPerMinute);
        ArgumentOutOfRangeException.ThrowIfNegative(EventsPerMinute);
        ArgumentOutOfRangeException.ThrowIfNegative(TracesPerMinute);
        ArgumentOutOfRangeException.ThrowIfLessThan(ItemsPerMessage, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(LinesPerMessage, 1);
    }
}
