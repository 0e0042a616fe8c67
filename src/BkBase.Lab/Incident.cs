namespace BkBase.Lab;

/// <summary>What goes wrong.</summary>
public enum IncidentKind
{
    /// <summary>The working set of every pod of a workload grows to the limit; the kernel kills it; it starts again.</summary>
    MemoryLeak,

    /// <summary>The CPUs of a node are saturated; its load rises and probes of its pods time out.</summary>
    NodeCpu,

    /// <summary>One pod starts, fails and is restarted after growing waits of 10 s to 300 s.</summary>
    CrashLoop,

    /// <summary>Every pod of a workload writes many more lines, most of them errors.</summary>
    LogStorm,
}

/// <summary>One scripted incident, in simulated time.</summary>
/// <param name="Kind">What goes wrong.</param>
/// <param name="After">When it starts, from the start of the simulation.</param>
/// <param name="Duration">How long it lasts.</param>
/// <param name="Cluster">The number of the cluster, from 0; taken modulo the clusters.</param>
/// <param name="Target">The number of the workload, node or pod in its cluster, from 0; taken modulo what exists.</param>
/// <param name="Strength">A log storm's factor of extra lines; other kinds ignore it.</param>
public sealed record Incident(
    IncidentKind Kind, TimeSpan After, TimeSpan Duration, int Cluster = 0, int Target = 0, double Strength = 40);

/// <summary>The incidents of one simulation.</summary>
/// <param name="Incidents">In any order.</param>
public sealed record LabScript(IReadOnlyList<Incident> Incidents)
{
    /// <summary>Nothing happens.</summary>
    public static LabScript Calm { get; } = new([]);

    /// <summary>One of each within the first half hour: a leak, a hot node, a crash loop, a log storm.</summary>
    public static LabScript Demo { get; } = new(
    [
        new(IncidentKind.MemoryLeak, TimeSpan.FromMinutes(2), TimeSpan.FromMinutes(20), 0, 3),
        new(IncidentKind.NodeCpu, TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(10), 0, 1),
        new(IncidentKind.CrashLoop, TimeSpan.FromMinutes(8), TimeSpan.FromMinutes(15), 1, 4),
        new(IncidentKind.LogStorm, TimeSpan.FromMinutes(12), TimeSpan.FromMinutes(5), 0, 5, 40),
    ]);
}

/// <summary>An incident bound to a world: absolute times, Unix milliseconds.</summary>
internal sealed class LiveIncident(Incident incident, long start)
{
    internal Incident Incident { get; } = incident;

    internal IncidentKind Kind => Incident.Kind;

    internal long From { get; } = start + (long)incident.After.TotalMilliseconds;

    internal long Until { get; } = start + (long)(incident.After + incident.Duration).TotalMilliseconds;

    /// <summary>Milliseconds from one out-of-memory kill to the next.</summary>
    internal long Cycle => Math.Max(1000, Math.Min(Until - From, 600_000));

    internal bool Active(long at) => at >= From && at < Until;

    /// <summary>Milliseconds of the incident inside a span of time.</summary>
    internal long Overlap(long from, long to) => Math.Max(0, Math.Min(to, Until) - Math.Max(from, From));

    /// <summary>How often it restarted a container between birth and now, and when last (or birth).</summary>
    internal (int Count, long Last) Restarts(long born, long at)
    {
        var count = 0;
        var last = born;
        var wait = 10_000L;
        var restart = From;
        while (Kind is IncidentKind.CrashLoop or IncidentKind.MemoryLeak)
        {
            restart += Kind == IncidentKind.MemoryLeak ? Cycle : wait;
            wait = Math.Min(wait * 2, 300_000);
            if (restart > at || restart > Until)
            {
                break;
            }

            if (restart > born)
            {
                count++;
                last = restart;
            }
        }

        return (count, last);
    }
}
