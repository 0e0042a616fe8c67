using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>Result tables of a flow that hold rows already.</summary>
internal static class TablesInUse
{
    public static async Task<IReadOnlyList<string>> OfAsync(ClickHouseConnector connector, FlowDefinition flow, CancellationToken stop)
    {
        var names = flow.Sinks.Where(s => s.Settings is ClickHouseSinkSettings)
            .Select(s => $"'{((ClickHouseSinkSettings)s.Settings).TableOf(flow.Biz)}'").ToList();
        if (names.Count == 0)
        {
            return [];
        }

        // The first question to the store: one that is down is waited for.
        var rows = await connector.Session.WithRetriesAsync(
            "tables of the flow",
            (_, token) => connector.Session.QueryAsync(
                $"SELECT name FROM system.tables WHERE database = '{connector.Options.Database}' AND name IN ({string.Join(", ", names)}) AND total_rows > 0 ORDER BY name", token),
            stop);
        return [.. rows.Select(r => r[0] ?? "")];
    }
}
