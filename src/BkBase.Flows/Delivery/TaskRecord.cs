using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace BkBase.Flows.Delivery;

/// <summary>
/// The checkpoint record of one stateless task: one source partition of one flow, and how far each edge that its rows
/// reach has made them durable.
/// </summary>
public sealed record TaskRecord
{
    public required string Flow { get; init; }

    /// <summary>The revision that cut the blocks of this record.</summary>
    public required string Revision { get; init; }

    public required string Source { get; init; }

    public required int Partition { get; init; }

    /// <summary>Where the source reads when it does not always read in the same place: a file's path. Each has a record of its own.</summary>
    public string Place { get; init; } = "";

    /// <summary>What the offsets count in: a file's identity, a topic's id. Empty when that never changes.</summary>
    public string Incarnation { get; init; } = "";

    /// <summary>Rises with every deliberate rewind.</summary>
    public int Generation { get; init; }

    /// <summary>Progress by the name of the edge: all that the source's rows reach.</summary>
    public ImmutableSortedDictionary<string, EdgeProgress> Edges { get; init; } = ImmutableSortedDictionary<string, EdgeProgress>.Empty.WithComparers(StringComparer.Ordinal);

    /// <summary>The mark that the partition was begun behind.</summary>
    public long Begun { get; init; } = -1;

    /// <summary>Key of the task in a checkpoint store.</summary>
    public string Task => TaskOf(Flow, Source, Partition, Place);

    /// <summary>Everything at or below it is durable at every edge; reading goes on behind it.</summary>
    public long Mark => Edges.IsEmpty ? Begun : Edges.Values.Min(e => e.Mark);

    /// <summary>The largest offset of which an edge may have written rows.</summary>
    public long Reach => Edges.IsEmpty ? Begun : Edges.Values.Max(e => e.Reach);

    /// <summary>Whether some edge wrote rows that lie above the smallest mark, so that another revision must not read on from it.</summary>
    public bool IsOpen => Reach > Mark;

    /// <summary>Key of a task.</summary>
    public static string TaskOf(string flow, string source, int partition, string place = "") => place.Length == 0
        ? string.Create(CultureInfo.InvariantCulture, $"{flow}/{source}/{partition}")
        : string.Create(CultureInfo.InvariantCulture, $"{flow}/{source}/{partition}@{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(place)))[..16]}");

    /// <summary>The record with these edges: those it has stay, others go, new ones begin at the mark.</summary>
    public TaskRecord WithEdges(IEnumerable<string> edges)
    {
        var mark = Mark;
        return this with { Edges = edges.ToImmutableSortedDictionary(e => e, e => Edges.GetValueOrDefault(e) ?? EdgeProgress.At(mark), StringComparer.Ordinal) };
    }
}
