namespace BkBase.Flows.Telemetry;

/// <summary>
/// Rows by outcome at one node. The conservation law: in + made = out + filtered + folded + late + rejected + held.
/// Written by the node's stage alone, read by anyone. Units: records before ETL, rows behind it.
/// </summary>
public sealed class NodeCounters(string node, string type)
{
    private long _in;
    private long _made;
    private long _out;
    private long _filtered;
    private long _rejected;
    private long _batches;
    private long _troubles;

    /// <summary>Name of the node in its flow.</summary>
    public string Node { get; } = node;

    /// <summary>The YAML word of its type; for a source, of its ETL format.</summary>
    public string Type { get; } = type;

    public long In => Volatile.Read(ref _in);

    public long Made => Volatile.Read(ref _made);

    public long Out => Volatile.Read(ref _out);

    public long Filtered => Volatile.Read(ref _filtered);

    public long Rejected => Volatile.Read(ref _rejected);

    /// <summary>Batches that came in.</summary>
    public long Batches => Volatile.Read(ref _batches);

    /// <summary>What hinders the node although it goes on, in one sentence; null when all is well.</summary>
    public string? Trouble { get; private set; }

    /// <summary>How often something hindered it.</summary>
    public long Troubles => Volatile.Read(ref _troubles);

    /// <summary>What is missing from the conservation law; 0 between two batches.</summary>
    public long Imbalance => In + Made - Out - Filtered - Rejected;

    internal void AddIn(long rows)
    {
        Volatile.Write(ref _in, _in + rows);
        Volatile.Write(ref _batches, _batches + 1);
    }

    internal void Tell(string? trouble)
    {
        Trouble = trouble;
        Volatile.Write(ref _troubles, _troubles + (trouble is null ? 0 : 1));
    }

    internal void AddMade(long rows) => Volatile.Write(ref _made, _made + rows);

    internal void AddOut(long rows) => Volatile.Write(ref _out, _out + rows);

    internal void AddFiltered(long rows) => Volatile.Write(ref _filtered, _filtered + rows);

    internal void AddRejected(long rows) => Volatile.Write(ref _rejected, _rejected + rows);
}
