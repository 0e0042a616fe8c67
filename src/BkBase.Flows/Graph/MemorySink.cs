using Akka;
using Akka.Streams.Dsl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>Keeps what comes in and confirms it at once: flow tests, tests and benchmarks.</summary>
public sealed class MemorySink : ISink
{
    private readonly List<StreamElement> _elements = [];

    /// <summary>Batches that came in.</summary>
    public IReadOnlyList<RecordBatch> Batches
    {
        get
        {
            lock (_elements)
            {
                return [.. _elements.OfType<RecordBatch>()];
            }
        }
    }

    /// <summary>Refusals that came in, with the lineage of their batch.</summary>
    public IReadOnlyList<(Lineage Lineage, Rejection Rejection)> Rejections
    {
        get
        {
            lock (_elements)
            {
                return [.. _elements.OfType<RejectionBatch>().SelectMany(b => b.Rejections.Select(r => (b.Lineage, r)))];
            }
        }
    }

    /// <summary>Rows that came in.</summary>
    public long Rows => Batches.Sum(b => (long)b.Count);

    public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context) =>
        Flow.Create<StreamElement>().SelectMany(element =>
        {
            lock (_elements)
            {
                _elements.Add(element);
            }

            return Lineages.Of(element) is { } lineage ? [new Confirmation(lineage.Source, lineage.Partition, lineage.LastOffset)] : Array.Empty<Confirmation>();
        });
}

/// <summary>Takes everything, keeps nothing, confirms at once: measures what comes before it.</summary>
public sealed class NullSink : ISink
{
    public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context) =>
        Flow.Create<StreamElement>().SelectMany(element =>
            Lineages.Of(element) is { } lineage ? [new Confirmation(lineage.Source, lineage.Partition, lineage.LastOffset)] : Array.Empty<Confirmation>());
}

/// <summary>The lineage of an element that has one.</summary>
public static class Lineages
{
    public static Lineage? Of(StreamElement element) => element switch
    {
        RecordBatch batch => batch.Lineage,
        RejectionBatch batch => batch.Lineage,
        _ => null,
    };
}
