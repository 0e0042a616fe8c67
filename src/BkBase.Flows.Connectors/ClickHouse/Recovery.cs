using System.Collections.Immutable;
using System.Globalization;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>
/// What an earlier run recorded above a partition's mark. Its records are read again: rows of blocks that the table
/// holds are dropped, rows of blocks that it does not hold are gathered into the very same blocks again.
/// </summary>
internal sealed class Recovery
{
    private readonly Dictionary<long, Day> _days = [];

    public Recovery(ImmutableArray<RecordedBlock> blocks)
    {
        foreach (var day in blocks.GroupBy(b => b.Day))
        {
            _days[day.Key] = new Day([.. day.OrderBy(b => b.First).Select(b => new Entry(b))]);
        }
    }

    /// <summary>Blocks whose fate must be read back.</summary>
    public IReadOnlyList<RecordedBlock> Unsettled => [.. Entries.Where(e => !e.Block.IsConfirmed).Select(e => e.Block)];

    /// <summary>The block of the largest number that the table holds; null when it holds none of them.</summary>
    public RecordedBlock? NewestConfirmed => Entries.Where(e => e.Block.IsConfirmed).MaxBy(e => e.Block.Number)?.Block;

    private IEnumerable<Entry> Entries => _days.Values.SelectMany(d => d.Entries);

    /// <summary>Takes in how many rows the table holds of each unsettled block.</summary>
    /// <exception cref="ClickHouseFailureException">It holds a part of a block.</exception>
    public void Settle(IReadOnlyDictionary<ulong, long> rows, string table)
    {
        foreach (var entry in Entries.Where(e => !e.Block.IsConfirmed))
        {
            var found = rows.GetValueOrDefault(entry.Block.Number);
            if (found == entry.Block.Rows)
            {
                entry.Block = entry.Block with { IsConfirmed = true };
            }
            else if (found != 0)
            {
                throw new ClickHouseFailureException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"{table} holds {found} of the {entry.Block.Rows} rows of block {entry.Block.Number}: something else changed the table; compare it with the source before going on"));
            }
        }
    }

    /// <summary>
    /// Gives the rows of a part that belong to blocks still to be written, in order; returns how many rows from the
    /// start belong to recorded blocks at all. What follows them is new.
    /// </summary>
    public int Take(long day, BlockPart part, Action<RecordedBlock, BlockPart> rebuild)
    {
        if (!_days.TryGetValue(day, out var recorded))
        {
            return 0;
        }

        var row = 0;
        while (row < part.Count && recorded.At(part.OffsetOf(row)) is { } entry)
        {
            var end = row;
            while (end < part.Count && part.OffsetOf(end) <= entry.Block.Last)
            {
                if (part.OffsetOf(end) < entry.Block.First)
                {
                    throw Differs(entry, $"a row of offset {part.OffsetOf(end)} stands before it");
                }

                end++;
            }

            entry.Seen += end - row;
            if (!entry.Block.IsConfirmed)
            {
                rebuild(entry.Block, part.Slice(row, end - row));
            }

            row = end;
        }

        return row;
    }

    /// <summary>Told when all records up to an offset have passed: gives the numbers of blocks to be written that are whole now, and true when nothing is left.</summary>
    /// <exception cref="ClickHouseFailureException">The records gave other rows than at first.</exception>
    public bool Pass(long offset, long mark, List<ulong> whole)
    {
        foreach (var entry in Entries.Where(e => !e.IsPassed && e.Block.Last <= offset))
        {
            entry.IsPassed = true;
            if (entry.Block.First > mark && entry.Seen != entry.Block.Rows)
            {
                throw Differs(entry, $"the records give {entry.Seen} rows");
            }

            if (!entry.Block.IsConfirmed)
            {
                whole.Add(entry.Block.Number);
            }
        }

        return Entries.All(e => e.IsPassed);
    }

    /// <summary>Blocks that the record still has to name.</summary>
    public IEnumerable<RecordedBlock> Left(long mark) => Entries.Where(e => e.Block.IsConfirmed ? e.Block.Last > mark : !e.IsPassed).Select(e => e.Block);

    private static ClickHouseFailureException Differs(Entry entry, string how) => new(string.Create(
        CultureInfo.InvariantCulture,
        $"block {entry.Block.Number} was recorded with {entry.Block.Rows} rows of offsets {entry.Block.First} to {entry.Block.Last}, but {how}: the source or what the flow does with it has changed since"));

    private sealed class Entry(RecordedBlock block)
    {
        public RecordedBlock Block { get; set; } = block;

        public long Seen { get; set; }

        public bool IsPassed { get; set; }
    }

    private sealed class Day(Entry[] entries)
    {
        private int _next;

        public Entry[] Entries => entries;

        /// <summary>The first block that ends at the offset or later; null behind the last.</summary>
        public Entry? At(long offset)
        {
            while (_next < entries.Length && entries[_next].Block.Last < offset)
            {
                _next++;
            }

            return _next < entries.Length ? entries[_next] : null;
        }
    }
}
