using System.Globalization;
using System.Text;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>SQL that makes and widens tables.</summary>
public static class TableDdl
{
    // A DateTime ends in 2106 and wraps: a longer TTL would drop rows at once. Such tables keep their rows.
    private const int TtlDaysMax = 20_000;

    public static string CreateDatabase(string database) => $"CREATE DATABASE IF NOT EXISTS {Sql.Name(database)}";

    /// <summary>CREATE TABLE IF NOT EXISTS.</summary>
    /// <param name="table">The table.</param>
    /// <param name="fsync">Whether inserts are synced to disk before they are answered.</param>
    public static string CreateTable(TableSchema table, bool fsync)
    {
        var sql = new StringBuilder($"CREATE TABLE IF NOT EXISTS {table.QuotedName}\n(\n    ");
        sql.AppendJoin(",\n    ", table.Columns.Select(Definition).Concat(Aliases(table)));
        sql.Append(CultureInfo.InvariantCulture, $"\n)\nENGINE = MergeTree\nPARTITION BY toYYYYMMDD(`time`, 'UTC')\nORDER BY ({string.Join(", ", table.OrderBy)})\n");
        if (table.TtlDays <= TtlDaysMax)
        {
            sql.Append(CultureInfo.InvariantCulture, $"TTL toDateTime(`time`) + INTERVAL {table.TtlDays} DAY\n");
        }

        sql.Append("SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000");
        return sql.Append(fsync ? ", fsync_after_insert = 1, fsync_part_directory = 1" : "").ToString();
    }

    /// <summary>Adds a column behind the one named.</summary>
    public static string AddColumn(TableSchema table, TableColumn column, string after) =>
        $"ALTER TABLE {table.QuotedName} ADD COLUMN IF NOT EXISTS {Definition(column)} AFTER {Sql.Name(after)}";

    private static string Definition(TableColumn column) => $"{Sql.Name(column.Name)} {column.Type}{(column.Codec.Length == 0 ? "" : $" CODEC({column.Codec})")}";

    private static IEnumerable<string> Aliases(TableSchema table)
    {
        var zone = Sql.Text(table.Zone);
        (string Name, string Value)[] aliases =
        [
            ("dtEventTimeStamp", "Int64 ALIAS toUnixTimestamp64Milli(`time`)"),
            ("dtEventTime", $"String ALIAS formatDateTime(`time`, '%Y-%m-%d %H:%i:%S', {zone})"),
            ("thedate", $"Int32 ALIAS toInt32(toYYYYMMDD(`time`, {zone}))"),
        ];
        return aliases.Where(a => table.Schema.IndexOf(a.Name) < 0).Select(a => $"{Sql.Name(a.Name)} {a.Value}");
    }
}
