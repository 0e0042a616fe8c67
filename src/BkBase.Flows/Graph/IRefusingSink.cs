using Akka;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// A sink whose target may refuse single rows. What it refuses goes to the dead letters, and an offset is confirmed only
/// when both the rows taken and the refusals are durable.
/// </summary>
public interface IRefusingSink : ISink
{
    /// <summary>
    /// As <see cref="ISink.Create"/>, with a second outlet: one <see cref="RejectionBatch"/> (often empty) per batch
    /// that came in, in the same order.
    /// </summary>
    IGraph<FanOutShape<StreamElement, Confirmation, StreamElement>, NotUsed> CreateRefusing(SinkContext context);

    /// <summary>The sink where no dead letters are kept: a refusal fails the stream.</summary>
    Flow<StreamElement, Confirmation, NotUsed> ISink.Create(SinkContext context) => Flow.FromGraph(GraphDsl.Create(builder =>
    {
        var sink = builder.Add(CreateRefusing(context));
        builder.From(sink.Out1).To(builder.Add(Sink.ForEach<StreamElement>(Refuse).MapMaterializedValue(_ => NotUsed.Instance)));
        return new FlowShape<StreamElement, Confirmation>(sink.In, sink.Out0);
    }));

    private static void Refuse(StreamElement element)
    {
        if (element is RejectionBatch { Rejections: [var first, ..] })
        {
            throw new InvalidOperationException(first.Message);
        }
    }
}
