using System.Collections.Immutable;

namespace BkBase.Flows.Delivery;

/// <summary>
/// The checkpoint record of a flow that holds state: one cut through the whole flow. Everything at or below the cut is
/// in the tables, in the states, or among the pending blocks, each once.
/// </summary>
public sealed record FlowRecord
{
    public required string Flow { get; init; }

    /// <summary>The revision that took the checkpoint.</summary>
    public required string Revision { get; init; }

    /// <summary>Number of the barrier that made the cut; rises over all runs.</summary>
    public long Number { get; init; }

    /// <summary>Reading position of each source partition, by <see cref="TaskRecord.TaskOf"/>.</summary>
    public ImmutableSortedDictionary<string, SourceCut> Cuts { get; init; } = ImmutableSortedDictionary<string, SourceCut>.Empty.WithComparers(StringComparer.Ordinal);

    /// <summary>State of each stateful node, by its name.</summary>
    public ImmutableSortedDictionary<string, NodeState> States { get; init; } = ImmutableSortedDictionary<string, NodeState>.Empty.WithComparers(StringComparer.Ordinal);

    /// <summary>Blocks that may not be in their tables yet, with their bytes.</summary>
    public ImmutableArray<ValueBlock> Pending { get; init; } = [];

    /// <summary>Key of a flow's record in a checkpoint store. No partition's record has such a key.</summary>
    public static string TaskOf(string flow) => $"{flow}@state/task";

    /// <summary>What finds the record by <see cref="ICheckpointStore.ReadAsync"/>.</summary>
    public static string FolderOf(string flow) => $"{flow}@state";
}

/// <summary>How far one source partition had been read at the cut.</summary>
/// <param name="Incarnation">What the offsets count in: a file's identity, a topic's id.</param>
/// <param name="Offset">The last offset below the cut.</param>
public sealed record SourceCut(string Source, int Partition, string Place, string Incarnation, long Offset);

/// <summary>State of one node at the cut.</summary>
/// <param name="Type">Type of the node.</param>
/// <param name="Settings">What the meaning of the state depends on, as text.</param>
/// <param name="Version">Version of the bytes' format.</param>
public sealed record NodeState(string Type, string Settings, int Version, ReadOnlyMemory<byte> Bytes);

/// <summary>A block that cannot be rebuilt from its source, with its bytes.</summary>
/// <param name="Edge">The edge that made it.</param>
/// <param name="Number">Value of the <c>_block</c> column of its rows.</param>
/// <param name="Target">Quoted name of the table.</param>
/// <param name="Columns">Columns that the bytes hold.</param>
/// <param name="Day">Event day of its rows, days since 1970, UTC.</param>
/// <param name="Attempt">Rises when an earlier attempt is proved lost although the store knows its token.</param>
/// <param name="Bytes">The rows as one Native block.</param>
public sealed record ValueBlock(string Edge, ulong Number, string Target, ImmutableArray<string> Columns, long Day, int Rows, int Attempt, ReadOnlyMemory<byte> Bytes);
