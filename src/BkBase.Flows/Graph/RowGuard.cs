using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// The future guard: rows whose event time lies too far after their record's append time are rejected, so that one
/// wrong clock cannot move a watermark. Compares with the append time, never with the clock, so that a rebuild decides
/// the same.
/// </summary>
internal sealed class RowGuard(TimeSpan future)
{
    private readonly long _futureMs = (long)future.TotalMilliseconds;

    public void Check(EtlOutput output, int firstRow, ReadOnlySpan<byte> payload)
    {
        if (output.AppendTime <= 0)
        {
            return;
        }

        var bound = output.AppendTime + _futureMs;
        var dropped = output.Rows.DropAfter(firstRow, bound, out var firstDropped);
        for (; dropped > 0; dropped--)
        {
            output.Reject(RejectReason.FutureTime, Schema.TimeName,
                $"event time {firstDropped} is more than {_futureMs / 1000} s after the record's append time {output.AppendTime}", payload, firstDropped);
        }
    }
}
