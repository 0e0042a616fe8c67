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

    /// <exception cref="CheckpointException">The bytes are damaged, of something else, or of a newer version.</exception>
    public static ReadOnlySpan<byte> Open(ReadOnlySpan<byte> magic, ushort newest, ReadOnlySpan<byte> bytes, string task)
    {
        if (bytes.Length < HeaderLength || !bytes.StartsWith(magic))
        {
            throw new CheckpointException($"checkpoint of {task} is not a checkpoint record ({bytes.Length} bytes without its header, {Encoding.ASCII.GetString(magic)})");
        }

        var version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version == 0 || version > newest)
        {
            throw new CheckpointException($"checkpoint of {task} has version {version}; this program reads up to {newest}: run the program that wrote it, or a newer one");
        }

        var body = bytes[HeaderLength..];
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(body, hash);
        return hash[..8].SequenceEqual(bytes[6..HeaderLength])
            ? body
            : throw new CheckpointException($"checkpoint of {task} is damaged: its checksum does not fit its {body.Length} bytes");
    }
}
