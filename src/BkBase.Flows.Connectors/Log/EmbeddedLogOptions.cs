namespace BkBase.Flows.Connectors.Log;

/// <summary>Bounds of an embedded log.</summary>
/// <param name="Directory">Folder of the log; one process at a time.</param>
public sealed record EmbeddedLogOptions(string Directory)
{
    /// <summary>Partitions of a topic when it is created.</summary>
    public int Partitions { get; init; } = 1;

    /// <summary>Bytes kept per partition; older pages go first.</summary>
    public long RetentionBytes { get; init; } = 4L << 30;

    /// <summary>Age at which records go.</summary>
    public TimeSpan Retention { get; init; } = TimeSpan.FromDays(7);

    /// <summary>How often age is looked at.</summary>
    public TimeSpan RetentionCheck { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Bytes of one record at most.</summary>
    public int RecordBytesMax { get; init; } = 8 << 20;

    /// <summary>Log2 of the page, for a new log; an old one keeps its own.</summary>
    public int PageBits { get; init; } = 20;

    /// <summary>Log2 of the memory that each partition holds for what is being written; at least two pages.</summary>
    public int MemoryBits { get; init; } = 22;

    /// <summary>Log2 of a segment file, the unit in which space comes back.</summary>
    public int SegmentBits { get; init; } = 26;
}
