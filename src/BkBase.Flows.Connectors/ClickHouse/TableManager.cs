namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Makes tables, and widens them by columns that are new.</summary>
public sealed class TableManager(ClickHouseSession session)
{
    /// <summary>Sees to it that rows of the schema can be written. Throws when the table stands in the way.</summary>
    /// <exception cref="ClickHouseFailureException">A column has another type; the message says the way out.</exception>
    public async Task EnsureAsync(TableSchema table, CancellationToken cancel = default)
    {
        await session.ExecuteAsync(TableDdl.CreateDatabase(table.Database), cancel);
        await session.ExecuteAsync(TableDdl.CreateTable(table, session.Options.Fsync), cancel);
        var rows = await session.QueryAsync(
            $"SELECT name, type, default_kind FROM system.columns WHERE database = {Sql.Text(table.Database)} AND table = {Sql.Text(table.Table)}", cancel);
        var found = rows.ToDictionary(r => r[0]!, r => (Type: r[1]!, Kind: r[2]), StringComparer.Ordinal);
        if (!found.ContainsKey(Records.Schema.TimeName))
        {
            throw new ClickHouseFailureException(
                $"table {table.Database}.{table.Table} is there already and is none of ours: it has no column '{Records.Schema.TimeName}', only {string.Join(", ", rows.Take(10).Select(r => r[0]))}; " +
                "give the sink another table, or drop this one");
        }

        var after = Records.Schema.TimeName;
        foreach (var column in table.Columns)
        {
            if (!found.TryGetValue(column.Name, out var has))
            {
                await session.ExecuteAsync(TableDdl.AddColumn(table, column, after), cancel);
            }
            else if (has.Kind is "ALIAS" or "MATERIALIZED")
            {
                throw new ClickHouseFailureException(
                    $"table {table.Database}.{table.Table}: column '{column.Name}' is {has.Kind} and cannot be written; give the flow's column another name");
            }
            else if (!Fits(has.Type, column.Type))
            {
                throw new ClickHouseFailureException(
                    $"table {table.Database}.{table.Table}: column '{column.Name}' has type {has.Type}, the flow wants {column.Type}; " +
                    "give the column another name or the sink another table, or change the column's type in the store by ALTER TABLE first");
            }

            after = column.Name;
        }
    }

    /// <summary>Whether values of the wanted type can be written into a column without loss.</summary>
    internal static bool Fits(string has, string wants)
    {
        has = has.Replace(" ", "", StringComparison.Ordinal);
        wants = wants.Replace(" ", "", StringComparison.Ordinal);
        if (has == wants)
        {
            return true;
        }

        if (Inner(has, "LowCardinality") is { } keyed)
        {
            return Fits(keyed, wants);
        }

        if (Inner(wants, "LowCardinality") is { } plain)
        {
            return Fits(has, plain);
        }

        return Inner(has, "Nullable") is { } nullable ? Fits(nullable, Inner(wants, "Nullable") ?? wants) : (has, wants) is ("Int64", "Int32");
    }

    private static string? Inner(string type, string outer) =>
        type.StartsWith(outer + "(", StringComparison.Ordinal) && type.EndsWith(')') ? type[(outer.Length + 1)..^1] : null;
}
