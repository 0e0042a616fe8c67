using System.CommandLine;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Store;
using ClickHouse.Driver;
using Spectre.Console;

namespace BkBase.Host;

/// <summary><c>bkbase query</c>: ClickHouse SQL on the store; a table on a terminal, tab-separated values otherwise.</summary>
internal static class QueryCommand
{
    public static Command Create()
    {
        var sql = new Argument<string>("sql") { Description = "one ClickHouse statement" };
        var store = CommonOptions.Store();
        var clickHouse = CommonOptions.ClickHouse();
        var json = CommonOptions.Json();
        var format = new Option<string?>("--format") { Description = "any ClickHouse format, such as TSVWithNames, CSV, JSONEachRow, PrettyCompact" };
        var command = new Verb(
            "query",
            "Run ClickHouse SQL on the store: a table on a terminal, tab-separated values otherwise.",
            "bkbase query \"SELECT name, total_rows FROM system.tables WHERE database = 'bkbase'\" --store data",
            "bkbase query \"SELECT node, reason, count() FROM bkbase.dead_letters GROUP BY ALL\" --store data --json") { sql, store, clickHouse, format, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            parsed.GetValue(sql)!, parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(json) ? "JSON" : parsed.GetValue(format), stop)));
        return command;
    }

    private static async Task<int> RunAsync(string sql, string directory, string? clickHouse, string? format, CancellationToken stop)
    {
        await using var store = clickHouse is { Length: > 0 } ? null : await StoreProcess.AttachOrStartAsync(
            new StoreOptions(Path.GetFullPath(directory)) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
        using var session = new ClickHouseSession(store is null ? Platform.Address(clickHouse!) : ClickHouseOptions.At(new Uri(store.Address)), TimeProvider.System);
        try
        {
            if (format is null && !Console.IsOutputRedirected)
            {
                await ShowAsync(session, sql, stop);
            }
            else
            {
                await using var output = Console.OpenStandardOutput();
                await session.QueryAsync(sql, format ?? "TSVWithNames", output, stop);
            }
        }
        catch (Exception e) when (e is ClickHouseServerException or HttpRequestException or TimeoutException)
        {
            await Console.Error.WriteLineAsync($"bkbase: {session.Explain(e)}");
            return ExitCodes.Failed;
        }

        return ExitCodes.Good;
    }

    private static async Task ShowAsync(ClickHouseSession session, string sql, CancellationToken stop)
    {
        using var buffer = new MemoryStream();
        await session.QueryAsync(sql, "TSVWithNames", buffer, stop);
        var rows = Tsv.Parse(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
        if (rows.Count == 0)
        {
            return;
        }

        var table = new Table().Border(TableBorder.Rounded);
        foreach (var name in rows[0])
        {
            table.AddColumn(new Spectre.Console.TableColumn(Markup.Escape(name ?? "")));
        }

        foreach (var row in rows.Skip(1))
        {
            table.AddRow([.. row.Select(v => Markup.Escape(v ?? "NULL"))]);
        }

        AnsiConsole.Write(table);
    }
}
