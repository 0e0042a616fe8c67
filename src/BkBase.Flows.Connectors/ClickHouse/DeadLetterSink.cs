using Akka;
using Akka.Streams.Dsl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Takes the refusals of one node and writes them to <c>bkbase.dead_letters</c> under the rules of any table.</summary>
public sealed class DeadLetterSink(ClickHouseConnector connector) : IBarrierSink
{
    public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context)
    {
        var builder = DeadLetters.Builder();
        return Flow.Create<StreamElement>()
            .Select(element => element is RejectionBatch refused
                ? DeadLetters.ToBatch(builder, context.Flow, context.Revision, context.From, context.Time.GetUtcNow().ToUnixTimeMilliseconds(), refused.Lineage, refused.Rejections)
                : element)
            .Via(connector.DeadLetterSink().Create(context with { Schema = DeadLetters.Schema }));
    }
}
