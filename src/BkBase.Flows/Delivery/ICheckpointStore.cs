namespace BkBase.Flows.Delivery;

/// <summary>
/// Where checkpoint records live. Every claim raises the task's epoch by a conditional write; a publication under an
/// older epoch is refused. Safe from any thread. Trouble that waiting heals is an <see cref="IOException"/>.
/// </summary>
public interface ICheckpointStore
{
    /// <summary>Becomes the task's owner, then reads its newest published record.</summary>
    /// <exception cref="CheckpointException">The record is damaged, or the store is another program's.</exception>
    Task<Claim> ClaimAsync(string task, CancellationToken cancel);

    /// <summary>Makes records durable. Gives the tasks whose claims are outdated; their records were not written, the others were.</summary>
    Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel);

    /// <summary>The published records of a flow, without claiming them.</summary>
    Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel);

    /// <summary>Removes a claimed task's record. False when the claim is outdated.</summary>
    Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel);

    /// <summary>A number of at least <paramref name="least"/> that no other writer of this store has had or will have.</summary>
    Task<long> NextWriterAsync(long least, CancellationToken cancel);

    /// <summary>Keeps the text of a revision, for as long as a record names it.</summary>
    Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel);

    /// <summary>Text of a revision; null when it is not kept.</summary>
    Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel);
}

/// <summary>Ownership of a task.</summary>
/// <param name="Task">Key of the task.</param>
/// <param name="Epoch">Rises with every claim.</param>
/// <param name="Record">The newest published record; null when there is none.</param>
public sealed record Claim(string Task, long Epoch, byte[]? Record)
{
    /// <summary>Where the bytes lie, for messages: a file's path. Null when the task says it all.</summary>
    public string? At { get; init; }
}

/// <summary>A record to publish under a claim.</summary>
public readonly record struct Publication(string Task, long Epoch, byte[] Record);

/// <summary>A published record and the epoch it was written under.</summary>
public readonly record struct StoredRecord(string Task, long Epoch, byte[] Record)
{
    /// <summary>Where the bytes lie, for messages: a file's path. Null when the task says it all.</summary>
    public string? At { get; init; }
}
