using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>
/// What a node does to batches. Single-threaded by contract. A stateless operator emits exactly one batch per input
/// batch on every output, empty when no row is left, so that the lineage goes on.
/// </summary>
public interface IOperator
{
    /// <summary>Handles one batch that came in on input <paramref name="input"/> (0 for nodes with one).</summary>
    void OnBatch(RecordBatch batch, int input, Output output);

    /// <summary>Event time moved on, on all inputs. The default hands it on.</summary>
    void OnWatermark(Watermark watermark, Output output) => output.Emit(watermark);
}

/// <summary>Where an operator writes, and where it accounts for rows that do not come out.</summary>
public abstract class Output
{
    /// <summary>Hands a batch on, on the named output; <c>''</c> is the node's own.</summary>
    public abstract void Emit(RecordBatch batch, string port = "");

    /// <summary>Hands a watermark on, on all outputs.</summary>
    public abstract void Emit(Watermark watermark);

    /// <summary>Counts rows that the node dropped on purpose.</summary>
    public abstract void Filtered(long rows);

    /// <summary>Counts rows beyond one per input row: fan-out, join matches, emissions.</summary>
    public abstract void Made(long rows);

    /// <summary>Refuses a row of the current batch.</summary>
    public abstract void Reject(Rejection rejection);

    /// <summary>Says what hinders the node although it goes on, counted once per call; null when all is well again.</summary>
    public virtual void Trouble(string? message)
    {
    }
}
