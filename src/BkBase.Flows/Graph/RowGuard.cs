using System.Globalization;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// Rejects rows whose event time cannot be: too far after their record's append time, so that one wrong clock cannot
/// move a watermark, or before the year 2000 where the record is younger, which is a time in another unit than the flow
/// says and would fall to the table's TTL at once. Compares with the append time, never with the clock, so that a
/// rebuild decides the same; a record without one passes.
/// </summary>
internal sealed class RowGuard(TimeSpan future)
{
    /// <summary>2000-01-01. Seconds read as milliseconds, or milliseconds as microseconds, end in January 1970.</summary>
    private const long Least = 946_684_800_000;

    private readonly long _futureMs = (long)future.TotalMilliseconds;

    public void Check(EtlOutput output, int firstRow, ReadOnlySpan<byte> payload)
    {
        var appended = output.AppendTime;
        if (appended <= 0)
        {
            return;
        }

        var least = appended >= Least ? Least : long.MinValue;
        var dropped = output.Rows.DropOutside(firstRow, least, appended + _futureMs, out var time);
        for (; dropped > 0; dropped--)
        {
            if (time < least)
            {
                output.Reject(RejectReason.BadTime, Schema.TimeName,
                    $"event time {Text(time)} lies before the year 2000: is the unit of the time right?", payload, time);
            }
            else
            {
                output.Reject(RejectReason.FutureTime, Schema.TimeName,
                    $"event time {Text(time)} is more than {_futureMs / 1000} s (limits.future) after {Text(appended)}, when the record was appended or read: a wrong clock, zone or unit?", payload, time);
            }
        }
    }

    private static string Text(long time) =>
        DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(time, -62_135_596_800_000, 253_402_300_799_999)).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}
