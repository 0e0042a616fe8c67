using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// Stands before a sink: drops rows and refusals at or below the edge's own mark. After a restart reading goes on
/// behind the smallest mark of all edges, and those ahead of it must not see their rows again.
/// </summary>
internal sealed class MarkGate(EdgeLedger ledger)
{
    private readonly Dictionary<(string Source, int Partition), long> _marks = [];

    public StreamElement Pass(StreamElement element)
    {
        if (Lineages.Of(element) is not { } lineage)
        {
            return element;
        }

        if (!_marks.TryGetValue((lineage.Source, lineage.Partition), out var mark))
        {
            _marks[(lineage.Source, lineage.Partition)] = mark = ledger.Of(lineage.Source, lineage.Partition).Mark;
        }

        return mark < lineage.FirstOffset ? element : Above(element, lineage, mark);
    }

    private static StreamElement Above(StreamElement element, Lineage lineage, long mark)
    {
        if (element is RejectionBatch refused)
        {
            return new RejectionBatch(lineage, [.. refused.Rejections.Where(r => r.Offset > mark)]);
        }

        var batch = (RecordBatch)element;
        var rows = new List<int>(batch.Count);
        for (var row = 0; row < batch.Count; row++)
        {
            if (batch.OffsetOf(row) > mark)
            {
                rows.Add(row);
            }
        }

        return batch.Take(rows.ToArray());
    }
}
