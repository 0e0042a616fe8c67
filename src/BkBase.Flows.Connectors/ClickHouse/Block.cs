namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Rows of one event day and one source partition that go into one insert.</summary>
internal sealed class Block(PartitionProgress partition, long day, long opened)
{
    /// <summary>The rows; emptied once they are encoded.</summary>
    public List<BlockPart> Parts { get; } = [];

    public List<Mark> Marks { get; } = [];

    public PartitionProgress Partition { get; } = partition;

    /// <summary>Days since 1970, UTC.</summary>
    public long Day { get; } = day;

    /// <summary>Timestamp of the clock when the first row came.</summary>
    public long Opened { get; } = opened;

    public int Rows { get; private set; }

    public long FirstOffset { get; private set; } = long.MaxValue;

    public long LastOffset { get; private set; } = -1;

    /// <summary>Number of the block, rising as blocks are closed.</summary>
    public ulong Number { get; set; }

    public void Add(BlockPart part, Mark mark)
    {
        Parts.Add(part);
        Rows += part.Count;
        FirstOffset = Math.Min(FirstOffset, part.Batch.Lineage.FirstOffset);
        LastOffset = Math.Max(LastOffset, part.Batch.Lineage.LastOffset);
        if (Marks.Count == 0 || !ReferenceEquals(Marks[^1], mark))
        {
            Marks.Add(mark);
            mark.Pending++;
        }
    }
}

/// <summary>An offset that counts as durable when all blocks with rows of its batch are in.</summary>
internal sealed class Mark(long offset)
{
    public long Offset { get; } = offset;

    public int Pending { get; set; }
}

/// <summary>Open blocks and unconfirmed offsets of one source partition.</summary>
internal sealed class PartitionProgress(string source, int partition)
{
    private readonly Queue<Mark> _marks = new();

    public string Source { get; } = source;

    public int Partition { get; } = partition;

    /// <summary>Blocks being filled, by day.</summary>
    public Dictionary<long, Block> Open { get; } = [];

    /// <summary>Everything up to here is durable.</summary>
    public long Confirmed { get; private set; } = -1;

    /// <summary>Whether <see cref="Confirmed"/> waits to be told.</summary>
    public bool IsDirty { get; set; }

    public Mark Begin(long lastOffset)
    {
        var mark = new Mark(lastOffset);
        _marks.Enqueue(mark);
        return mark;
    }

    /// <summary>Moves <see cref="Confirmed"/> on over all that is in; true when it moved.</summary>
    public bool Advance()
    {
        var moved = false;
        while (_marks.TryPeek(out var mark) && mark.Pending == 0)
        {
            Confirmed = _marks.Dequeue().Offset;
            moved = true;
        }

        return moved;
    }
}
