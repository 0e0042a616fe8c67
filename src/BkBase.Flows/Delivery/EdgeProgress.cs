using System.Collections.Immutable;

namespace BkBase.Flows.Delivery;

/// <summary>
/// A block whose rows were fixed before it was sent: all rows of one event day that one source partition's records
/// from <paramref name="First"/> to <paramref name="Last"/> give at one edge. It can be rebuilt from the source.
/// </summary>
/// <param name="Number">Value of the <c>_block</c> column of its rows.</param>
/// <param name="Day">Event day of its rows, days since 1970, UTC.</param>
/// <param name="First">Offset of the record of its first row.</param>
/// <param name="Last">Offset of the record of its last row.</param>
/// <param name="Rows">Number of rows.</param>
/// <param name="Attempt">Rises when an earlier attempt is proved lost although the store knows its token.</param>
/// <param name="IsConfirmed">Whether its rows are in the table.</param>
public sealed record RecordedBlock(ulong Number, long Day, long First, long Last, int Rows, int Attempt = 0, bool IsConfirmed = false);

/// <summary>How much of one source partition one edge has made durable.</summary>
/// <param name="Mark">Everything of the partition at or below this offset is in the table.</param>
/// <param name="Blocks">Blocks that reach above the mark, in the order of their numbers.</param>
public sealed record EdgeProgress(long Mark, ImmutableArray<RecordedBlock> Blocks)
{
    /// <summary>Name of the table that the blocks go to; null before the first, and for sinks without tables.</summary>
    public string? Table { get; init; }

    /// <summary>
    /// The block of the largest number that is confirmed, kept when the mark is behind it: a table without it was
    /// restored or changed. Null before the first.
    /// </summary>
    public RecordedBlock? Newest { get; init; }

    /// <summary>Nothing above an offset.</summary>
    public static EdgeProgress At(long mark) => new(mark, []);

    /// <summary>The largest offset that the mark or a block touches: behind it nothing of the partition was written.</summary>
    public long Reach => Blocks.IsEmpty ? Mark : Math.Max(Mark, Blocks.Max(b => b.Last));
}
