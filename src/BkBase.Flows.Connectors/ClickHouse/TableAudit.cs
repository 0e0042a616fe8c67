using System.Globalization;
using System.Text.RegularExpressions;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Reads what tables hold of recorded blocks, and compares.</summary>
public sealed partial class TableAudit(ClickHouseConnector connector, TimeProvider time)
{
    /// <summary>Compares a flow's records with its tables. The flow may run meanwhile.</summary>
    /// <param name="records">Reads the published records; called before the tables are read, and after.</param>
    /// <param name="cancel">Ends waiting for a store that is away.</param>
    public async Task<AuditReport> RunAsync(Func<Task<IReadOnlyList<TaskRecord>>> records, CancellationToken cancel)
    {
        var before = await records();
        var tables = await ReadAsync(before, withNewest: true, cancel);
        return DeliveryAudit.Compare(before, await records(), tables, time.GetUtcNow());
    }

    /// <summary>Sees to it that no table is behind its mark: restored from a backup, dropped, or changed by somebody.</summary>
    /// <exception cref="CheckpointException">One is; the message says which and the ways out.</exception>
    public async Task EnsureNotBehindAsync(IReadOnlyList<TaskRecord> records, CancellationToken cancel)
    {
        var report = DeliveryAudit.Compare(records, [], await ReadAsync(records, withNewest: false, cancel), time.GetUtcNow());
        var behind = report.Findings.Where(f => f.Fault is AuditFault.Missing).ToArray();
        if (behind.Length > 0)
        {
            var flow = records[0].Flow;
            throw new CheckpointException(
                $"flow {flow}: {string.Join("; ", behind.Select(f => $"{f.Task}: {f.Message}").Take(3))}{(behind.Length > 3 ? $"; and {behind.Length - 3} more" : "")}. " +
                "The table is behind its checkpoint: it was restored from a backup, dropped, or rows were deleted. " +
                $"Put back the checkpoints of the same moment as the table, and the flow goes on from there; or say 'bkbase audit {flow} --accept-loss', and it goes on behind its mark without the rows that are gone");
        }
    }

    private async Task<IReadOnlyDictionary<string, TableContent>> ReadAsync(IReadOnlyList<TaskRecord> records, bool withNewest, CancellationToken cancel)
    {
        var contents = new Dictionary<string, TableContent>(StringComparer.Ordinal);
        foreach (var table in DeliveryAudit.TablesOf(records))
        {
            if (DeliveryAudit.BlocksOf(records, table) is { Count: > 0 } blocks)
            {
                contents[table] = await connector.Session.WithRetriesAsync($"blocks of {table}", (_, token) => ReadAsync(table, blocks, withNewest, token), cancel);
            }
        }

        return contents;
    }

    private async Task<TableContent> ReadAsync(string table, IReadOnlyList<RecordedBlock> blocks, bool withNewest, CancellationToken cancel)
    {
        var session = connector.Session;
        var found = await session.QueryAsync(
            $"SELECT engine_full FROM system.tables WHERE database = {Sql.Text(connector.Options.Database)} AND name = {Sql.Text(table)}", cancel);
        if (found.Count == 0)
        {
            return TableContent.None;
        }

        var name = $"{Sql.Name(connector.Options.Database)}.{Sql.Name(table)}";
        var newest = withNewest
            ? await session.QueryAsync($"SELECT bitShiftRight(`{TableSchema.BlockColumn}`, 40) AS writer, max(`{TableSchema.BlockColumn}`) FROM {name} GROUP BY writer", cancel)
            : [];
        var (days, isKnown) = TtlOf(found[0][0] ?? "");
        return new TableContent(
            await session.CountBlocksAsync(name, blocks, cancel),
            newest.ToDictionary(r => ulong.Parse(r[0]!, CultureInfo.InvariantCulture), r => ulong.Parse(r[1]!, CultureInfo.InvariantCulture)),
            days,
            isKnown);
    }

    // People change TTLs: the table's own counts, not the flow's.
    internal static (int? Days, bool IsKnown) TtlOf(string engine)
    {
        if (!engine.Contains(" TTL ", StringComparison.Ordinal))
        {
            return (null, true);
        }

        return Ours().Match(engine) is { Success: true } match ? (int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture), true) : (null, false);
    }

    [GeneratedRegex(@" TTL toDateTime\(`?time`?\) \+ toIntervalDay\((\d{1,6})\)(?: SETTINGS |$)", RegexOptions.None, 1000)]
    private static partial Regex Ours();
}

/// <summary>Reading back blocks.</summary>
internal static class BlockCounts
{
    /// <summary>Rows that a table holds of each of these blocks, by number; those it holds none of are absent.</summary>
    public static async Task<IReadOnlyDictionary<ulong, long>> CountBlocksAsync(this ClickHouseSession session, string quotedName, IReadOnlyList<RecordedBlock> blocks, CancellationToken cancel)
    {
        var numbers = string.Join(", ", blocks.Select(b => b.Number.ToString(CultureInfo.InvariantCulture)));
        var days = string.Join(", ", blocks.Select(b => b.Day).Distinct().Select(d => DateTimeOffset.UnixEpoch.AddDays(d).ToString("yyyyMMdd", CultureInfo.InvariantCulture)));
        var rows = await session.QueryAsync(
            $"SELECT `{TableSchema.BlockColumn}`, count() FROM {quotedName} WHERE `{TableSchema.BlockColumn}` IN ({numbers}) AND toYYYYMMDD(`{Records.Schema.TimeName}`, 'UTC') IN ({days}) GROUP BY `{TableSchema.BlockColumn}`",
            cancel);
        return rows.ToDictionary(r => ulong.Parse(r[0]!, CultureInfo.InvariantCulture), r => long.Parse(r[1]!, CultureInfo.InvariantCulture));
    }
}
