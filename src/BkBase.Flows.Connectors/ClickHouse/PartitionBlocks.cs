using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Blocks of one source partition: open ones by day, recorded ones above the mark, and offsets not yet durable.</summary>
internal sealed class PartitionBlocks
{
    private readonly Queue<Mark> _marks = new();
    private readonly List<Block> _recorded = [];
    private List<RecordedBlock> _found = [];

    private readonly string _table;
    private RecordedBlock? _newest;

    public PartitionBlocks(string source, int partition, string table, EdgeProgress progress)
    {
        (Source, Partition, Confirmed) = (source, partition, progress.Mark);
        _table = table;
        _newest = progress.Table == table ? progress.Newest : null;
        Recovery = progress.Blocks.IsEmpty ? null : new Recovery(progress.Blocks);
    }

    public string Source { get; }

    public int Partition { get; }

    /// <summary>Blocks being filled, by day.</summary>
    public Dictionary<long, Block> Open { get; } = [];

    /// <summary>Blocks that an earlier run recorded and whose rows have not all passed again; null when there are none.</summary>
    public Recovery? Recovery { get; private set; }

    /// <summary>Everything up to here is durable.</summary>
    public long Confirmed { get; private set; }

    /// <summary>Whether <see cref="Confirmed"/> waits to be told.</summary>
    public bool IsDirty { get; set; }

    public Mark Begin(long lastOffset)
    {
        var mark = new Mark(lastOffset);
        _marks.Enqueue(mark);
        return mark;
    }

    /// <summary>All rows that an earlier run recorded have passed: what the table holds of them stays in the record until the mark is behind it.</summary>
    public void EndRecovery()
    {
        _newest = Newest();
        _found = [.. Recovery!.Left(Confirmed)];
        Recovery = null;
    }

    /// <summary>The table holds the block.</summary>
    public void Confirm(Block block)
    {
        block.IsConfirmed = true;
        if (_newest is null || _newest.Number < block.Number)
        {
            _newest = block.ToRecord();
        }
    }

    /// <summary>The block belongs to the record from now on.</summary>
    public void Record(Block block) => _recorded.Add(block);

    /// <summary>What the record says of this partition.</summary>
    public EdgeProgress Progress() => new(
        Confirmed,
        [.. (Recovery?.Left(Confirmed) ?? _found).Concat(_recorded.Select(b => b.ToRecord())).OrderBy(b => b.Number)])
    {
        Table = _table,
        Newest = Newest(),
    };

    /// <summary>Moves <see cref="Confirmed"/> on over all that is in; true when it moved.</summary>
    public bool Advance()
    {
        var moved = false;
        while (_marks.TryPeek(out var mark) && mark.Pending == 0)
        {
            Confirmed = Math.Max(Confirmed, _marks.Dequeue().Offset);
            moved = true;
        }

        if (moved)
        {
            _recorded.RemoveAll(b => b.IsConfirmed && b.Last <= Confirmed);
            _found.RemoveAll(b => b.Last <= Confirmed);
        }

        return moved;
    }

    // A block that was found by reading back counts like one that was answered.
    private RecordedBlock? Newest() => Recovery?.NewestConfirmed is { } found && (_newest is null || _newest.Number < found.Number) ? found : _newest;
}
