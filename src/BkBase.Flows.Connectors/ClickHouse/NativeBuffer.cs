using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>A growing byte buffer with the primitives of ClickHouse's Native format. Kept from block to block.</summary>
internal sealed class NativeBuffer
{
    private byte[] _bytes = new byte[1 << 16];

    public int Length { get; private set; }

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, Length);

    public void Truncate(int length) => Length = length;

    public void Byte(byte value) => Span(1)[0] = value;

    public void Int64(long value) => BinaryPrimitives.WriteInt64LittleEndian(Span(8), value);

    public void PatchInt64(int at, long value) => BinaryPrimitives.WriteInt64LittleEndian(_bytes.AsSpan(at), value);

    public void VarInt(ulong value)
    {
        Ensure(10);
        while (value >= 0x80)
        {
            _bytes[Length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _bytes[Length++] = (byte)value;
    }

    public void String(ReadOnlySpan<byte> utf8)
    {
        VarInt((ulong)utf8.Length);
        utf8.CopyTo(Span(utf8.Length));
    }

    public void String(string text)
    {
        VarInt((ulong)Encoding.UTF8.GetByteCount(text));
        Encoding.UTF8.GetBytes(text, Span(Encoding.UTF8.GetByteCount(text)));
    }

    public void Values<T>(ReadOnlySpan<T> values)
        where T : unmanaged => MemoryMarshal.AsBytes(values).CopyTo(Span(MemoryMarshal.AsBytes(values).Length));

    /// <summary>Room for so many bytes, already counted as written; void after the next write.</summary>
    public Span<byte> Span(int count)
    {
        Ensure(count);
        var span = _bytes.AsSpan(Length, count);
        Length += count;
        return span;
    }

    private void Ensure(int more)
    {
        if (_bytes.Length - Length < more)
        {
            Array.Resize(ref _bytes, checked((int)Math.Max((long)Length + more, Math.Min(_bytes.Length * 2L, Array.MaxLength))));
        }
    }
}
