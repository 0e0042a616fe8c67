using BkBase.Flows.Records;

namespace BkBase.Flows.Definition;

/// <summary>Named bounds of a flow, with their defaults.</summary>
public sealed record FlowLimits
{
    /// <summary>Rows of one block at most.</summary>
    public int BlockRows { get; init; } = 100_000;

    /// <summary>Blocks sent or waiting and not yet confirmed, per table, before the source is held back.</summary>
    public int Pending { get; init; } = 4;

    /// <summary>Longest wait before an incomplete block is flushed.</summary>
    public TimeSpan Flush { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Bytes of state per flow.</summary>
    public long State { get; init; } = 512L << 20;

    /// <summary>Keys per stateful node.</summary>
    public long Keys { get; init; } = 1_000_000;

    /// <summary>Bytes of the string dictionary before it is swapped.</summary>
    public long Dictionary { get; init; } = StringDictionary.BytesMaxDefault;

    /// <summary>How far event time may lie after a record's append time before the row is rejected.</summary>
    public TimeSpan Future { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Share of a source's rows that may be refused, over 1000 at least, before it is paused; 1 for any.</summary>
    public double Rejected { get; init; } = 1;

    /// <summary>Bytes of one record at most.</summary>
    public long Record { get; init; } = 8L << 20;
}
