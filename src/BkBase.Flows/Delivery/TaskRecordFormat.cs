using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace BkBase.Flows.Delivery;

/// <summary>
/// Bytes of a <see cref="TaskRecord"/>: "BKCP", the version (UInt16, little endian), the first 8 bytes of the SHA-256
/// of the body, the body as JSON. A program reads its own version and the one before, and refuses newer ones.
/// </summary>
public static partial class TaskRecordFormat
{
    /// <summary>The version written.</summary>
    public const ushort Version = 1;

    /// <summary>Bytes of a record.</summary>
    public static byte[] Encode(TaskRecord record) =>
        RecordEnvelope.Seal("BKCP"u8, Version, JsonSerializer.SerializeToUtf8Bytes(Body.Of(record), BodyContext.Default.Body));

    /// <summary>The record of these bytes.</summary>
    /// <param name="task">The task that it should be of.</param>
    /// <param name="at">Where the bytes lie, for messages: a file's path.</param>
    /// <exception cref="CheckpointException">The bytes are damaged, of something else, or of a newer version.</exception>
    public static TaskRecord Decode(ReadOnlySpan<byte> bytes, string task, string? at = null)
    {
        var name = at is null ? $"checkpoint of {task}" : $"checkpoint of {task} ({at})";
        var body = RecordEnvelope.Open("BKCP"u8, Version, bytes, name);
        var record = (JsonSerializer.Deserialize(body, BodyContext.Default.Body) ?? throw new CheckpointException($"{name} is empty. {RecordEnvelope.WayOut}")).ToRecord();
        return record.Task == task ? record : throw new CheckpointException($"{name} is that of {record.Task}: a foreign file stands in its place. {RecordEnvelope.WayOut}");
    }

    private sealed record Body(
        string Flow, string Revision, string Source, int Partition, string Place, string Incarnation, int Generation, long Begun, Dictionary<string, BodyEdge> Edges)
    {
        public static Body Of(TaskRecord r) => new(
            r.Flow, r.Revision, r.Source, r.Partition, r.Place, r.Incarnation, r.Generation, r.Begun,
            r.Edges.ToDictionary(e => e.Key, e => new BodyEdge(e.Value.Mark, [.. e.Value.Blocks], e.Value.Table, e.Value.Newest), StringComparer.Ordinal));

        public TaskRecord ToRecord() => new()
        {
            Flow = Flow,
            Revision = Revision,
            Source = Source,
            Partition = Partition,
            Place = Place,
            Incarnation = Incarnation,
            Generation = Generation,
            Begun = Begun,
            Edges = Edges.ToImmutableSortedDictionary(e => e.Key, e => new EdgeProgress(e.Value.Mark, [.. e.Value.Blocks]) { Table = e.Value.Table, Newest = e.Value.Newest }, StringComparer.Ordinal),
        };
    }

    private sealed record BodyEdge(long Mark, RecordedBlock[] Blocks, string? Table = null, RecordedBlock? Newest = null);

    [JsonSerializable(typeof(Body))]
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
    private sealed partial class BodyContext : JsonSerializerContext;
}

/// <summary>A checkpoint cannot be used; the message says which, why and what to do.</summary>
public class CheckpointException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Offsets of a record count in something that is not there any more.</summary>
public sealed class IncarnationException(string task, string was, string now)
    : CheckpointException($"{task} counts in '{was}', but there is '{now}' now: the file or topic is another one. Start the flow afresh to read it from its beginning");

/// <summary>Another owner has claimed the task since: this one must write nothing more.</summary>
public sealed class FencedException(string task) : CheckpointException($"{task} has another owner now; this process writes no more of it")
{
    public string Task { get; } = task;
}
