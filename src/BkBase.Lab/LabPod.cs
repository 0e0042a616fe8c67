using System.Text;

namespace BkBase.Lab;

/// <summary>A place for one pod of a workload on a node; churn replaces the pod that lives there.</summary>
public sealed class LabPod
{
    private readonly ulong _seed;
    private readonly long _start;
    private readonly double _life;
    private readonly double _phase;
    private long _generation = -1;
    private long _until = long.MinValue;

    internal LabPod(LabOptions options, LabNode node, LabWorkload workload, int slot)
    {
        Node = node;
        Workload = workload;
        Slot = slot;
        _start = options.Start;
        _seed = LabHash.Mix(node.Cluster.Seed, 0x9Du, (ulong)slot);
        _life = options.PodChurn > 0 ? 3_600_000 / options.PodChurn * (0.75 + (0.5 * LabHash.Unit(_seed))) : double.PositiveInfinity;
        _phase = LabHash.Unit(LabHash.Mix(_seed, 7)) * (double.IsInfinity(_life) ? 86_400_000 : _life);
        WorkloadBytes = Encoding.UTF8.GetBytes(workload.Name);
        NamespaceBytes = Encoding.UTF8.GetBytes(workload.Namespace);
        SetAt(options.Start);
    }

    /// <summary>The node it runs on.</summary>
    public LabNode Node { get; }

    /// <summary>The workload it belongs to.</summary>
    public LabWorkload Workload { get; }

    /// <summary>The number of the place in its cluster, from 0.</summary>
    public int Slot { get; }

    /// <summary>The name of the pod living here at the time last asked for.</summary>
    public string Name { get; private set; } = "";

    /// <summary>When that pod was born, Unix milliseconds.</summary>
    public long Born { get; private set; }

    internal LiveIncident[] Incidents { get; set; } = [];

    internal ulong Seed { get; private set; }

    internal byte[] NameBytes { get; private set; } = [];

    internal byte[] WorkloadBytes { get; }

    internal byte[] NamespaceBytes { get; }

    /// <summary>Changes whenever another pod lives here.</summary>
    internal long Generation => _generation;

    /// <summary>When the next pod replaces this one, Unix milliseconds.</summary>
    internal long Until => _until;

    /// <summary>Moves to a time, Unix milliseconds; names and births are those of that time.</summary>
    public void SetAt(long at)
    {
        if (at >= Born && at < _until)
        {
            return;
        }

        var generation = double.IsInfinity(_life) ? 0 : (long)Math.Floor((at - _start + _phase) / _life);
        Born = double.IsInfinity(_life) ? _start - (long)_phase : Begin(generation);
        _until = double.IsInfinity(_life) ? long.MaxValue : Begin(generation + 1);
        if (at >= _until)
        {
            Born = _until;
            _until = Begin(++generation + 1);
        }

        _generation = generation;
        Seed = LabHash.Mix(_seed, 0x6Eu, (ulong)generation);
        Name = Workload.ReplicaSet + "-" + LabNames.Suffix(Seed, 5);
        NameBytes = Encoding.UTF8.GetBytes(Name);
    }

    /// <summary>Restarts of the main container and its last start, Unix milliseconds.</summary>
    internal (int Count, long Started) Restarts(long at)
    {
        var count = 0;
        var started = Born;
        foreach (var incident in Incidents)
        {
            var (n, last) = incident.Restarts(Born, at);
            count += n;
            started = Math.Max(started, last);
        }

        return (count, started);
    }

    internal LiveIncident? Suffers(IncidentKind kind, long at)
    {
        foreach (var incident in Incidents)
        {
            if (incident.Kind == kind && incident.Active(at))
            {
                return incident;
            }
        }

        return null;
    }

    private long Begin(long generation) => (long)((generation * _life) - _phase) + _start;
}
