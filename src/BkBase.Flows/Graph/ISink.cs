using Akka;
using Akka.Streams.Dsl;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Where rows go. A blueprint: opens nothing until the stream runs.</summary>
public interface ISink
{
    /// <summary>
    /// Takes the elements of one edge and emits, per partition in rising order, what is now durable. On completion of
    /// its input it flushes, confirms the rest and completes. Emits a confirmation for batches without rows as well,
    /// but never before the rows that came ahead of them in the same partition.
    /// </summary>
    Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context);
}

/// <summary>
/// A sink that answers barriers itself: in a flow that holds state it hands over the blocks of each barrier at
/// <see cref="EdgeLedger.Barriers"/> and emits no confirmations. Any other sink gets no barriers; a checkpoint waits until it
/// has confirmed what came before them, so that its rows are written at least once.
/// </summary>
public interface IBarrierSink : ISink;

/// <summary>Everything of a source partition up to and including the offset is durable here.</summary>
public readonly record struct Confirmation(string Source, int Partition, long Offset);

/// <summary>What a sink needs of its flow.</summary>
/// <param name="Flow">Name of the flow.</param>
/// <param name="Revision">Content hash of the flow's text, short.</param>
/// <param name="From">The node or source (or <c>node.port</c>) whose rows come in.</param>
/// <param name="Schema">Schema of the rows.</param>
/// <param name="Limits">Bounds of the flow.</param>
/// <param name="Time">The clock.</param>
/// <param name="Ledger">What of this edge was durable before, and where the sink records blocks before it sends them.</param>
public sealed record SinkContext(string Flow, string Revision, string From, Schema Schema, FlowLimits Limits, TimeProvider Time, EdgeLedger Ledger)
{
    /// <summary>Owner of the flow: result tables are named {biz}_{table}.</summary>
    public int Biz { get; init; }
}
