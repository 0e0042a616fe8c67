namespace BkBase.Flows.Records;

/// <summary>
/// Cuts the stream at a checkpoint: what came before it belongs to the checkpoint, what comes behind does not. Every
/// source of a stateful flow emits each number once; nodes pass it on when it has come on all their inputs.
/// </summary>
/// <param name="number">Number of the checkpoint.</param>
public sealed class StreamBarrier(long number) : StreamElement
{
    public long Number { get; } = number;
}
