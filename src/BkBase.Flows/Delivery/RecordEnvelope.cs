using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace BkBase.Flows.Delivery;

/// <summary>
/// What stands around the body of every checkpoint record: four letters, the version (UInt16, little endian), the first
/// 8 bytes of the SHA-256 of the body.
/// </summary>
internal static class RecordEnvelope
{
    /// <summary>What to do about a record that cannot be used.</summary>
    public const string WayOut = "Put it back from a backup; or remove it together with the rows of the flow's tables, then the flow begins afresh. Removed alone, rows are written twice";

    private const int HeaderLength = 14;

    public static byte[] Seal(ReadOnlySpan<byte> magic, ushort version, ReadOnlySpan<byte> body)
    {
        var bytes = new byte[HeaderLength + body.Length];
        magic.CopyTo(bytes);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), version);
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(body, hash);
        hash[..8].CopyTo(bytes.AsSpan(6));
        body.CopyTo(bytes.AsSpan(HeaderLength));
        return bytes;
    }

    /// <summary>The body.</summary>
    /// <param name="name">What the bytes should be, for messages.</param>
    /// <exception cref="CheckpointException">The bytes are damaged, of something else, or of a newer version.</exception>
    public static ReadOnlySpan<byte> Open(ReadOnlySpan<byte> magic, ushort newest, ReadOnlySpan<byte> bytes, string name)
    {
        if (bytes.Length < HeaderLength || !bytes.StartsWith(magic))
        {
            throw new CheckpointException($"{name} is not a checkpoint record ({bytes.Length} bytes without its header, {Encoding.ASCII.GetString(magic)}). {WayOut}");
        }

        var version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version == 0 || version > newest)
        {
            throw new CheckpointException($"{name} has version {version}; this program reads up to {newest}: run the program that wrote it, or a newer one");
        }

        var body = bytes[HeaderLength..];
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(body, hash);
        return hash[..8].SequenceEqual(bytes[6..HeaderLength])
            ? body
            : throw new CheckpointException($"{name} is damaged: its checksum does not fit its {body.Length} bytes. {WayOut}");
    }
}
