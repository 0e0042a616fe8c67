using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Rows of one event day and one source partition that go into one insert.</summary>
internal sealed class Block(PartitionBlocks partition, long day, long opened)
{
    /// <summary>The rows; emptied once they are encoded.</summary>
    public List<BlockPart> Parts { get; } = [];

    public List<Mark> Marks { get; } = [];

    public PartitionBlocks Partition { get; } = partition;

    /// <summary>Days since 1970, UTC.</summary>
    public long Day { get; } = day;

    /// <summary>Timestamp of the clock when the first row came.</summary>
    public long Opened { get; } = opened;

    public int Rows { get; private set; }

    /// <summary>Offset of the record of the first row.</summary>
    public long First { get; private set; } = -1;

    /// <summary>Offset of the record of the last row.</summary>
    public long Last { get; private set; } = -1;

    /// <summary>Number of the block, rising as blocks are closed.</summary>
    public ulong Number { get; set; }

    /// <summary>Part of the token; rises when an earlier attempt is proved lost although the store knows its token.</summary>
    public int Attempt { get; set; }

    /// <summary>Whether an earlier run recorded it: its fate is read back before it counts as in.</summary>
    public bool IsRebuilt { get; init; }

    public bool IsConfirmed { get; set; }

    public void Add(BlockPart part, Mark mark)
    {
        if (Rows == 0)
        {
            First = part.OffsetOf(0);
        }

        Last = part.OffsetOf(part.Count - 1);
        Parts.Add(part);
        Rows += part.Count;
        if (Marks.Count == 0 || !ReferenceEquals(Marks[^1], mark))
        {
            Marks.Add(mark);
            mark.Pending++;
        }
    }

    public RecordedBlock ToRecord() => new(Number, Day, First, Last, Rows, Attempt, IsConfirmed);
}

/// <summary>An offset that counts as durable when all blocks with rows of its batch are in.</summary>
internal sealed class Mark(long offset)
{
    public long Offset { get; } = offset;

    public int Pending { get; set; }
}
