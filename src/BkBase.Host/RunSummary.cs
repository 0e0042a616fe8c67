using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary>
/// The balance of a run. At every node: in + made = out + filtered + rejected; what was rejected is in the dead letters;
/// what sinks took is in their tables.
/// </summary>
/// <param name="Flow">Name of the flow.</param>
/// <param name="Records">Records read by all sources.</param>
/// <param name="Rejected">Refusals of all nodes; each is a row of the dead letters.</param>
/// <param name="Balanced">Whether nothing is missing anywhere.</param>
internal sealed record RunSummary(
    string Flow, long Records, long Made, long Filtered, long Rejected, bool Balanced,
    IReadOnlyList<RunSummary.NodeBalance> Nodes, IReadOnlyList<RunSummary.TableRows> Tables, string DeadLetters)
{
    /// <summary>Of a flow that has ended.</summary>
    public static RunSummary Of(FlowHandle handle, ClickHouseConnector store)
    {
        var nodes = handle.Nodes.Select(n => new NodeBalance(n.Node, n.Type, n.In, n.Made, n.Out, n.Filtered, n.Rejected, n.Imbalance, n.Troubles)).ToList();
        var tables = handle.Sinks.Select(s => new TableRows(
            s.Sink.Settings is ClickHouseSinkSettings t ? $"{store.Options.Database}.{t.TableOf(handle.Flow.Biz)}" : s.Sink.Settings.Describe,
            s.Sink.From,
            s.Rows,
            s.Sink.Settings is ClickHouseSinkSettings e ? store.Expired(e.TableOf(handle.Flow.Biz)) : 0)).ToList();
        var rejected = nodes.Sum(n => n.Rejected);
        return new RunSummary(
            handle.Flow.Name,
            nodes.Take(handle.Flow.Sources.Count).Sum(n => n.In),
            nodes.Sum(n => n.Made),
            nodes.Sum(n => n.Filtered),
            rejected,
            nodes.TrueForAll(n => n.Missing == 0) && rejected == handle.DeadLetters,
            nodes,
            tables,
            $"{store.Options.Database}.{Flows.Connectors.ClickHouse.DeadLetters.Table}");
    }

    public void Print(TextWriter output)
    {
        foreach (var n in Nodes)
        {
            output.WriteLine($"{n.Node,-20} {n.In} in + {n.Made} made = {n.Out} out + {n.Filtered} filtered + {n.Rejected} rejected{(n.Missing == 0 ? "" : $" + {n.Missing} LOST")}");
        }

        foreach (var t in Tables)
        {
            output.WriteLine($"{t.Table}: {t.Rows} rows from {t.From}");
            if (t.Expired > 0)
            {
                output.WriteLine($"  {t.Expired} of them are older than the table's ttl, and the store drops such rows: raise 'ttl' of the sink to keep them");
            }
        }

        if (Rejected > 0)
        {
            output.WriteLine($"{DeadLetters}: {Rejected} rows, one per refusal: SELECT reason, path, message, sample FROM {DeadLetters} WHERE flow = '{Flow}'");
        }

        output.WriteLine(Balanced ? "balanced: every record and row is accounted for" : "NOT balanced: rows are missing; this is a fault of bkbase, please report it");
    }

    internal sealed record NodeBalance(string Node, string Type, long In, long Made, long Out, long Filtered, long Rejected, long Missing, long Troubles);

    /// <param name="Expired">Rows of it that were older than the table's TTL when they were written.</param>
    internal sealed record TableRows(string Table, string From, long Rows, long Expired);
}
