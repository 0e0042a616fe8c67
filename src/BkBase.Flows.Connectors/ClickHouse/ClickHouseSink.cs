using Akka;
using Akka.Streams;
using Akka.Streams.Dsl;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Settings of a sink that writes a result table.</summary>
public sealed record ClickHouseSinkSettings(ClickHouseConnector Connector, string Table, TimeSpan Ttl, string Zone) : ISinkSettings
{
    /// <summary>Where the sink stands in its flow file.</summary>
    public Position At { get; init; } = new(1, 1);

    public string Describe => $"table {Table}";

    /// <summary>Id of the result table: the owner's biz id, '_' and the name.</summary>
    public string TableOf(int biz) => $"{biz}_{Table}";

    public void Resolve(Schema input, DiagnosticBag diagnostics)
    {
        if (input.IndexOf(TableSchema.BlockColumn) >= 0)
        {
            diagnostics.Error(At, DiagnosticCodes.Conflict, $"column '{TableSchema.BlockColumn}' of table '{Table}' is the store's own; give it another name");
        }
    }

    public ISink Create() => new ClickHouseSink(this, c => TableOf(c.Biz));
}

/// <summary>Writes rows to a ClickHouse table in blocks that are stored exactly once.</summary>
/// <param name="settings">Where and how.</param>
/// <param name="table">Name of the table, from the flow's context.</param>
public sealed class ClickHouseSink(ClickHouseSinkSettings settings, Func<SinkContext, string> table) : IBarrierSink
{
    /// <summary>Rises with every deliberate rewind of the flow.</summary>
    public int Generation { get; init; }

    /// <summary>Incarnation of the source's topic.</summary>
    public string Incarnation { get; init; } = "0";

    public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context)
    {
        var name = table(context);
        var connector = settings.Connector;
        var schema = new TableSchema(context.Schema, connector.Options.Database, name, settings.Ttl, settings.Zone);
        var ttlMs = (long)schema.TtlDays * 86_400_000;
        var writer = new BlockWriter(connector.Session, schema, $"{context.Flow}/{Generation}/{name}/{Incarnation}");
        GraphStage<FlowShape<StreamElement, Confirmation>> stage = context.Ledger.Barriers is { } barriers
            ? new ClickHouseBarrierStage(writer, context.Limits, barriers)
            : new ClickHouseStage(writer, context.Limits, context.Time, context.Ledger);
        return Flow.Create<StreamElement>().Select(CountExpired).Via(Flow.FromGraph(stage));

        // Rows beyond the table's TTL are written and dropped by the store: whoever runs the flow should hear of it.
        StreamElement CountExpired(StreamElement element)
        {
            if (element is RecordBatch batch)
            {
                var bound = context.Time.GetUtcNow().ToUnixTimeMilliseconds() - ttlMs;
                var expired = 0;
                foreach (var time in batch.Times)
                {
                    expired += time < bound ? 1 : 0;
                }

                connector.AddExpired(name, expired);
            }

            return element;
        }
    }
}
