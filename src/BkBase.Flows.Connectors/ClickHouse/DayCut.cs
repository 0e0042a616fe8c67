using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Cuts a batch by event day, UTC.</summary>
internal static class DayCut
{
    private const long DayMs = 86_400_000;

    public static long DayOf(long time) => (time - (((time % DayMs) + DayMs) % DayMs)) / DayMs;

    /// <summary>Gives each day's rows, days rising; rows keep their order. One part without a row list in the common case of one day.</summary>
    public static void Split(RecordBatch batch, Action<long, BlockPart> give)
    {
        if (batch.Count == 0)
        {
            return;
        }

        var times = batch.Times;
        var (least, most) = (long.MaxValue, long.MinValue);
        foreach (var time in times)
        {
            least = Math.Min(least, time);
            most = Math.Max(most, time);
        }

        if (DayOf(least) == DayOf(most))
        {
            give(DayOf(least), BlockPart.All(batch));
            return;
        }

        var days = new long[batch.Count];
        var rows = new int[batch.Count];
        for (var i = 0; i < rows.Length; i++)
        {
            days[i] = (DayOf(times[i]) << 24) | (uint)i;
            rows[i] = i;
        }

        Array.Sort(days, rows);
        for (var start = 0; start < rows.Length;)
        {
            var end = start + 1;
            while (end < rows.Length && days[end] >> 24 == days[start] >> 24)
            {
                end++;
            }

            give(days[start] >> 24, new BlockPart(batch, rows, start, end - start));
            start = end;
        }
    }
}
