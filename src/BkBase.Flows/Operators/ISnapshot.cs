using System.Buffers;

namespace BkBase.Flows.Operators;

/// <summary>
/// An operator whose output depends on rows that came before. Its state is a function of those rows and of event time
/// alone: restored from a snapshot at any point, it goes on exactly as if it had never stopped.
/// </summary>
public interface ISnapshot
{
    /// <summary>Version of the bytes that <see cref="Snapshot"/> writes; the operator reads older ones.</summary>
    int SnapshotVersion { get; }

    /// <summary>Writes the whole state. Called between two batches. Holds bytes of strings, never dictionary ids.</summary>
    void Snapshot(IBufferWriter<byte> target);

    /// <summary>Takes the state over; called once, before the first batch.</summary>
    /// <exception cref="InvalidDataException">The bytes are no state of this operator.</exception>
    void Restore(ReadOnlySpan<byte> state, int version);
}
