using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace BkBase.Flows.Delivery;

/// <summary>
/// Bytes of a <see cref="FlowRecord"/>: the envelope of every record with the letters "BKFR"; its body is the length of
/// the header (Int32, little endian), the header as JSON, then the bytes of states and blocks one after another, in
/// the header's order. The checksum covers all of it.
/// </summary>
public static partial class FlowRecordFormat
{
    /// <summary>The version written.</summary>
    public const ushort Version = 1;

    /// <summary>Bytes of a record.</summary>
    public static byte[] Encode(FlowRecord record)
    {
        var header = JsonSerializer.SerializeToUtf8Bytes(Header.Of(record), HeaderContext.Default.Header);
        var length = sizeof(int) + header.Length + record.States.Values.Sum(s => s.Bytes.Length) + record.Pending.Sum(b => b.Bytes.Length);
        var body = new byte[length];
        BinaryPrimitives.WriteInt32LittleEndian(body, header.Length);
        header.CopyTo(body, sizeof(int));
        var at = sizeof(int) + header.Length;
        foreach (var section in record.States.Values.Select(s => s.Bytes).Concat(record.Pending.Select(b => b.Bytes)))
        {
            section.Span.CopyTo(body.AsSpan(at));
            at += section.Length;
        }

        return RecordEnvelope.Seal("BKFR"u8, Version, body);
    }

    /// <summary>The record of these bytes.</summary>
    /// <exception cref="CheckpointException">The bytes are damaged, of something else, or of a newer version.</exception>
    public static FlowRecord Decode(ReadOnlySpan<byte> bytes, string flow)
    {
        var task = FlowRecord.TaskOf(flow);
        var body = RecordEnvelope.Open("BKFR"u8, Version, bytes, $"checkpoint of {task}").ToArray();
        var length = body.Length >= sizeof(int) ? BinaryPrimitives.ReadInt32LittleEndian(body) : -1;
        if (length < 0 || length > body.Length - sizeof(int))
        {
            throw new CheckpointException($"checkpoint of {task} has no header");
        }

        var header = JsonSerializer.Deserialize(body.AsSpan(sizeof(int), length), HeaderContext.Default.Header) ?? throw new CheckpointException($"checkpoint of {task} is empty");
        if (header.Flow != flow)
        {
            throw new CheckpointException($"checkpoint of {task} is that of {header.Flow}: a foreign file stands in its place");
        }

        return header.ToRecord(body.AsMemory(sizeof(int) + length), task);
    }

    private sealed record Header(string Flow, string Revision, long Number, Dictionary<string, SourceCut> Cuts, Dictionary<string, StateHeader> States, BlockHeader[] Pending)
    {
        public static Header Of(FlowRecord r) => new(
            r.Flow, r.Revision, r.Number,
            r.Cuts.ToDictionary(StringComparer.Ordinal),
            r.States.ToDictionary(s => s.Key, s => new StateHeader(s.Value.Type, s.Value.Settings, s.Value.Version, s.Value.Bytes.Length), StringComparer.Ordinal),
            [.. r.Pending.Select(b => new BlockHeader(b.Edge, b.Number, b.Target, [.. b.Columns], b.Day, b.Rows, b.Attempt, b.Bytes.Length))]);

        public FlowRecord ToRecord(ReadOnlyMemory<byte> sections, string task)
        {
            var at = 0;
            var states = ImmutableSortedDictionary.CreateBuilder<string, NodeState>(StringComparer.Ordinal);
            foreach (var (name, s) in States.OrderBy(s => s.Key, StringComparer.Ordinal))
            {
                states[name] = new NodeState(s.Type, s.Settings, s.Version, Next(s.Length));
            }

            ValueBlock[] pending = [.. Pending.Select(b => new ValueBlock(b.Edge, b.Number, b.Target, [.. b.Columns], b.Day, b.Rows, b.Attempt, Next(b.Length)))];
            return new FlowRecord
            {
                Flow = Flow,
                Revision = Revision,
                Number = Number,
                Cuts = Cuts.ToImmutableSortedDictionary(StringComparer.Ordinal),
                States = states.ToImmutable(),
                Pending = [.. pending],
            };

            ReadOnlyMemory<byte> Next(int length)
            {
                if (length < 0 || length > sections.Length - at)
                {
                    throw new CheckpointException($"checkpoint of {task} names more bytes than it has");
                }

                at += length;
                return sections.Slice(at - length, length);
            }
        }
    }

    private sealed record StateHeader(string Type, string Settings, int Version, int Length);

    private sealed record BlockHeader(string Edge, ulong Number, string Target, string[] Columns, long Day, int Rows, int Attempt, int Length);

    [JsonSerializable(typeof(Header))]
    [JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
    private sealed partial class HeaderContext : JsonSerializerContext;
}
