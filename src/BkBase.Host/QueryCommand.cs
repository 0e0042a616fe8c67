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
        var format = new Option<string?>("--format") { Description = "any ClickHouse format, such as TSVWithNames, CSV, JSONEachRow, PrettyCompact" };
        var command = new Command("query", "Run SQL on the store. Example: bkbase query \"SELECT count() FROM bkbase.2_k8s_metrics\"") { sql, store, clickHouse, format };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            parsed.GetValue(sql)!, parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(format), stop)));
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
        catch (ClickHouseServerException e)
        {
            await Console.Error.WriteLineAsync($"bkbase: {e.Message.Split('\n')[0]}");
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
