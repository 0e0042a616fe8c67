using System.Collections.Immutable;
using System.Globalization;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>What a table's content says against a record.</summary>
public enum AuditFault
{
    /// <summary>The record says that a block is in the table; it holds no row of it.</summary>
    Missing,

    /// <summary>The table holds some rows of a block.</summary>
    Partial,

    /// <summary>The table holds more rows of a block than were recorded.</summary>
    Double,

    /// <summary>The table holds a block above all that were recorded: the records are older than it.</summary>
    Unknown,
}

/// <summary>One disagreement between a record and a table.</summary>
/// <param name="Task">Key of the task; empty when no single record is concerned.</param>
/// <param name="Edge">Name of the edge; empty likewise.</param>
/// <param name="Block">Number of the block.</param>
/// <param name="Recorded">Rows that the record names.</param>
/// <param name="Found">Rows that the table holds.</param>
public sealed record AuditFinding(AuditFault Fault, string Table, string Task, string Edge, ulong Block, long Recorded, long Found, string Message);

/// <summary>What an audit read of one table.</summary>
/// <param name="Rows">Rows by block, of the blocks asked for; those without rows are absent.</param>
/// <param name="Newest">The largest block number by writer.</param>
/// <param name="TtlDays">Days that rows are kept; null when they are kept for ever.</param>
/// <param name="IsTtlKnown">False when the table drops rows by a rule that is not ours.</param>
public sealed record TableContent(IReadOnlyDictionary<ulong, long> Rows, IReadOnlyDictionary<ulong, ulong> Newest, int? TtlDays, bool IsTtlKnown)
{
    /// <summary>A table that is not there.</summary>
    public static TableContent None { get; } = new(new Dictionary<ulong, long>(), new Dictionary<ulong, ulong>(), null, true);
}

/// <summary>Outcome of an audit.</summary>
/// <param name="Checked">Blocks compared.</param>
/// <param name="Pending">Blocks recorded but not yet confirmed, whole or absent in the table: the next run settles them.</param>
/// <param name="Expired">Confirmed blocks whose rows the table's TTL may have dropped; their absence says nothing.</param>
/// <param name="Findings">What does not agree; empty when the tables are exact.</param>
public sealed record AuditReport(int Checked, int Pending, int Expired, IReadOnlyList<AuditFinding> Findings)
{
    public bool IsExact => Findings.Count == 0;
}

/// <summary>Compares checkpoint records with the content of tables. Pure.</summary>
public static class DeliveryAudit
{
    // The store's clock may be ahead of ours.
    private static readonly TimeSpan Margin = TimeSpan.FromHours(1);

    /// <summary>The blocks of a table that records name, without repeats, by the order of their numbers.</summary>
    public static IReadOnlyList<RecordedBlock> BlocksOf(IEnumerable<TaskRecord> records, string table) =>
        [.. records.SelectMany(r => r.Edges.Values).Where(e => e.Table == table).SelectMany(Named).DistinctBy(b => b.Number).OrderBy(b => b.Number)];

    /// <summary>Tables that records name.</summary>
    public static IReadOnlyList<string> TablesOf(IEnumerable<TaskRecord> records) =>
        [.. records.SelectMany(r => r.Edges.Values).Select(e => e.Table).OfType<string>().Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)];

    /// <summary>Number of the writer that allotted a block.</summary>
    public static ulong WriterOf(ulong block) => block >> 40;

    /// <summary>Compares.</summary>
    /// <param name="before">Records read before the tables: what they confirm must be there.</param>
    /// <param name="after">Records read after the tables: what is there must be in them.</param>
    /// <param name="tables">Contents by the table's name.</param>
    /// <param name="now">The time, for TTLs.</param>
    public static AuditReport Compare(
        IReadOnlyList<TaskRecord> before, IReadOnlyList<TaskRecord> after, IReadOnlyDictionary<string, TableContent> tables, DateTimeOffset now)
    {
        var findings = new List<AuditFinding>();
        var (seen, pending, expired) = (0, 0, 0);
        foreach (var record in before)
        {
            foreach (var (edge, progress) in record.Edges.Where(e => e.Value.Table is not null))
            {
                var content = tables.GetValueOrDefault(progress.Table!, TableContent.None);
                foreach (var block in Named(progress))
                {
                    seen++;
                    var found = content.Rows.GetValueOrDefault(block.Number);
                    var isKept = IsKept(block, content, now);
                    pending += block.IsConfirmed ? 0 : 1;
                    expired += block.IsConfirmed && !isKept ? 1 : 0;
                    if (FaultOf(block, found, isKept) is { } fault)
                    {
                        findings.Add(new AuditFinding(fault, progress.Table!, record.Task, edge, block.Number, block.Rows, found, Describe(fault, progress, block, found)));
                    }
                }
            }
        }

        foreach (var table in TablesOf(after))
        {
            if (NewestUnknown(BlocksOf(after, table), tables.GetValueOrDefault(table, TableContent.None)) is { } unknown)
            {
                findings.Add(new AuditFinding(AuditFault.Unknown, table, "", "", unknown, 0, 0, string.Create(
                    CultureInfo.InvariantCulture, $"{table} holds block {unknown}, which is above all that are recorded: the checkpoints are older than the table, and the flow would write those rows again")));
            }
        }

        return new AuditReport(seen, pending, expired, findings);
    }

    /// <summary>
    /// The record that takes missing blocks as lost: those at or below the mark are forgotten, those above it are read
    /// and sent again, under a token that the store does not know.
    /// </summary>
    public static TaskRecord Accept(TaskRecord record, IReadOnlyList<AuditFinding> missing)
    {
        var gone = missing.Select(f => f.Block).ToHashSet();
        return record with
        {
            Edges = record.Edges.ToImmutableSortedDictionary(
                e => e.Key,
                e => e.Value with
                {
                    Newest = e.Value.Newest is { } newest && gone.Contains(newest.Number) ? null : e.Value.Newest,
                    Blocks = [.. e.Value.Blocks.Select(b => gone.Contains(b.Number) ? b with { IsConfirmed = false, Attempt = b.Attempt + 1 } : b)],
                },
                StringComparer.Ordinal),
        };
    }

    private static IEnumerable<RecordedBlock> Named(EdgeProgress progress) =>
        progress.Newest is { } newest && progress.Blocks.All(b => b.Number != newest.Number) ? progress.Blocks.Append(newest) : progress.Blocks;

    private static bool IsKept(RecordedBlock block, TableContent content, DateTimeOffset now) =>
        content.IsTtlKnown && (content.TtlDays is not { } days || DateTimeOffset.UnixEpoch.AddDays(block.Day + days) > now + Margin);

    private static AuditFault? FaultOf(RecordedBlock block, long found, bool isKept) =>
        found > block.Rows ? AuditFault.Double
        : found == block.Rows || !isKept ? null
        : found > 0 ? AuditFault.Partial
        : block.IsConfirmed ? AuditFault.Missing
        : null;

    // A writer records a block before it sends it. Of the youngest writer alone no record can have moved on to another.
    private static ulong? NewestUnknown(IReadOnlyList<RecordedBlock> known, TableContent content) =>
        known.Count > 0 && known[^1].Number is var last && content.Newest.TryGetValue(WriterOf(last), out var newest) && newest > last ? newest : null;

    private static string Describe(AuditFault fault, EdgeProgress progress, RecordedBlock block, long found)
    {
        var what = string.Create(
            CultureInfo.InvariantCulture,
            $"block {block.Number} ({block.Rows} rows of {DateTimeOffset.UnixEpoch.AddDays(block.Day):yyyy-MM-dd}, offsets {block.First} to {block.Last})");
        return fault switch
        {
            AuditFault.Missing => $"{progress.Table} holds no row of {what}, which was confirmed",
            AuditFault.Partial => string.Create(CultureInfo.InvariantCulture, $"{progress.Table} holds only {found} rows of {what}"),
            _ => string.Create(CultureInfo.InvariantCulture, $"{progress.Table} holds {found} rows of {what}"),
        };
    }
}
