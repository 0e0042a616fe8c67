using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Rows of one batch that go into one block.</summary>
/// <param name="Batch">The batch.</param>
/// <param name="Rows">Row numbers to choose from; null when the rows stand one after another.</param>
/// <param name="Start">First position in <paramref name="Rows"/>, or first row of the batch when that is null.</param>
/// <param name="Count">Number of rows.</param>
public readonly record struct BlockPart(RecordBatch Batch, int[]? Rows, int Start, int Count)
{
    /// <summary>All rows of a batch.</summary>
    public static BlockPart All(RecordBatch batch) => new(batch, null, 0, batch.Count);

    /// <summary>Some of these rows.</summary>
    public BlockPart Slice(int start, int count) => this with { Start = Start + start, Count = count };

    /// <summary>Offset of the record behind the row at a position of this part.</summary>
    internal long OffsetOf(int position) => Batch.OffsetOf(Row(position));

    /// <summary>Row number of the batch at a position of this part.</summary>
    internal int Row(int position) => Rows is null ? Start + position : Rows[Start + position];
}
