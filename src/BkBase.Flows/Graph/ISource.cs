using Akka.Streams.Dsl;
using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Where records come from. A blueprint: opens nothing until the stream runs.</summary>
public interface ISource
{
    /// <summary>Whether its input ends by itself; the end is then the final watermark of the flow.</summary>
    bool IsBounded => false;

    /// <summary>Where it reads when a source of its name does not always read in the same place: a file's path.</summary>
    string Place => "";

    /// <summary>
    /// Batches of one partition each, in offset order per partition. Completes at the end of bounded input or after
    /// <see cref="ISourceControl.Stop"/>; fails only for what no waiting can heal. Each partition is claimed at the
    /// context's ledger before its first record is read, and read from the offset that the claim gives.
    /// </summary>
    Source<RawBatch, ISourceControl> Create(SourceContext context);
}

/// <summary>Steers one running source. Safe from any thread.</summary>
public interface ISourceControl
{
    /// <summary>Everything of the partition up to and including <paramref name="offset"/> is durable in every sink.</summary>
    void Confirm(int partition, long offset);

    /// <summary>Stops reading; what was read still comes out, then the stream completes.</summary>
    void Stop();

    /// <summary>Distance to the end per partition.</summary>
    IReadOnlyList<PartitionLag> Lag();
}

/// <summary>Distance of a reader to the end of its partition.</summary>
/// <param name="Records">Records not yet confirmed; -1 when unknown.</param>
/// <param name="Seconds">Age of the oldest record not yet confirmed; -1 when unknown.</param>
public readonly record struct PartitionLag(int Partition, long Records, double Seconds);

/// <summary>What a source needs of its flow.</summary>
/// <param name="Flow">Name of the flow; also the consumer group's.</param>
/// <param name="Source">Name of the source in the flow.</param>
/// <param name="Start">First start only: head, tail or a timestamp.</param>
/// <param name="Time">The clock.</param>
/// <param name="BatchRecordsMax">Records per batch at most.</param>
/// <param name="Ledger">Where the source claims each partition, and learns where to go on.</param>
public sealed record SourceContext(string Flow, string Source, StartPosition Start, TimeProvider Time, SourceLedger Ledger, int BatchRecordsMax = 4096);

/// <summary>Where a source without a mark begins: the head, the tail, or the first record at or after a time.</summary>
/// <param name="Kind">head, tail or timestamp.</param>
/// <param name="Timestamp">Unix milliseconds, for a timestamp.</param>
public readonly record struct StartPosition(StartKind Kind, long Timestamp = 0);

public enum StartKind
{
    Head,
    Tail,
    Timestamp,
}
