using System.Globalization;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Records;
using BkBase.Flows.Runtime.Replays;

namespace BkBase.Host.Letters;

/// <summary>A record of which something was refused: its place, and its dead letters.</summary>
/// <param name="AppendTime">Unix milliseconds.</param>
internal sealed record RefusedRecord(string Source, int Partition, long Offset, long AppendTime)
{
    /// <summary>Its dead letters, with the revision that wrote each.</summary>
    public List<(string Revision, RefusedItem Item)> Letters { get; } = [];

    /// <summary>Where the first of them was refused.</summary>
    public string Node { get; private init; } = "";

    /// <summary>Why the first of them was refused.</summary>
    public string Reason { get; private init; } = "";

    /// <summary>Whether one sample, short enough to be whole, is kept with all of them: it may be the whole record.</summary>
    public bool MayBeWhole { get; private set; }

    /// <summary>Those of a flow, in the order of their offsets.</summary>
    public static async Task<IReadOnlyList<RefusedRecord>> ReadAsync(ClickHouseSession session, LetterFilter filter, int most, CancellationToken stop)
    {
        var rows = await session.QueryAsync(string.Create(CultureInfo.InvariantCulture, $"""
            SELECT source, partition, offset, revision, node, reason, path, lower(hex(SHA256(sample))), length(sample), toUnixTimestamp64Milli(time)
            FROM {session.Options.Database}.{DeadLetters.Table} WHERE {filter.Where}
            ORDER BY source, partition, offset, revision LIMIT {most}
            """), stop);
        var records = new List<RefusedRecord>();
        foreach (var r in rows)
        {
            var (source, partition, offset) = (r[0]!, int.Parse(r[1]!, CultureInfo.InvariantCulture), long.Parse(r[2]!, CultureInfo.InvariantCulture));
            var whole = int.Parse(r[8]!, CultureInfo.InvariantCulture) < Rejection.SampleBytesMax;
            if (records.Count == 0 || records[^1] is var last && (last.Source, last.Partition, last.Offset) != (source, partition, offset))
            {
                records.Add(new RefusedRecord(source, partition, offset, long.Parse(r[9]!, CultureInfo.InvariantCulture)) { Node = r[4]!, Reason = r[5]!, MayBeWhole = whole });
            }

            var item = new RefusedItem(r[5]!, r[6]!, r[7]!);
            records[^1].MayBeWhole &= records[^1].Letters.TrueForAll(l => l.Item.Sample == item.Sample);
            records[^1].Letters.Add((r[3]!, item));
        }

        return records;
    }

    /// <summary>The samples of some records, by partition and offset.</summary>
    public static async Task<Dictionary<(int Partition, long Offset), byte[]>> SamplesAsync(ClickHouseSession session, string flow, IReadOnlyList<RefusedRecord> records, CancellationToken stop)
    {
        var places = string.Join(", ", records.Select(r => string.Create(CultureInfo.InvariantCulture, $"({r.Partition}, {r.Offset})")));
        var rows = await session.QueryAsync(
            $"SELECT partition, offset, any(hex(sample)) FROM {session.Options.Database}.{DeadLetters.Table} WHERE flow = {LetterFilter.Quote(flow)} AND source = {LetterFilter.Quote(records[0].Source)} AND (partition, offset) IN ({places}) GROUP BY partition, offset", stop);
        return rows.ToDictionary(
            r => (int.Parse(r[0]!, CultureInfo.InvariantCulture), long.Parse(r[1]!, CultureInfo.InvariantCulture)),
            r => Convert.FromHexString(r[2]!));
    }
}
