using System.Buffers;
using System.Runtime.InteropServices;

namespace BkBase.Store.Engine;

/// <summary>One native result or chunk; its memory is valid until it is disposed.</summary>
internal sealed unsafe class EngineResult : IDisposable
{
    private const int Slice = 1 << 26;
    private nint _handle;

    public EngineResult(nint handle)
    {
        _handle = handle;
        if (handle == 0)
        {
            throw EngineException.Of(EngineException.UnknownException, "The engine returned no result", "UNKNOWN_EXCEPTION");
        }

        if (Native.chdb_result_error(handle) is var error && error != 0 && Marshal.PtrToStringUTF8(error) is { Length: > 0 } text)
        {
            Dispose();
            throw new EngineException(text);
        }

        Buffer = Native.chdb_result_buffer(handle);
        Length = Buffer == null ? 0 : (long)Native.chdb_result_length(handle);
        RowsRead = Native.chdb_result_rows_read(handle);
        BytesRead = Native.chdb_result_bytes_read(handle);
        RowsWritten = Native.chdb_result_rows_written(handle);
        BytesWritten = Native.chdb_result_bytes_written(handle);
    }

    public byte* Buffer { get; private set; }

    public long Length { get; }

    public ulong RowsRead { get; }

    public ulong BytesRead { get; }

    public ulong RowsWritten { get; }

    public ulong BytesWritten { get; }

    /// <summary>The bytes from an offset on, in slices that fit a span.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> Slices(long from)
    {
        for (var at = from; at < Length; at += Slice)
        {
            yield return SliceAt(at);
        }
    }

    public ReadOnlySpan<byte> Span => new(Buffer, (int)Math.Min(Length, int.MaxValue));

    public void Dispose()
    {
        if (_handle != 0)
        {
            Native.chdb_destroy_query_result(_handle);
            _handle = 0;
            Buffer = null;
        }
    }

    private ReadOnlyMemory<byte> SliceAt(long at) => new View(Buffer + at, (int)Math.Min(Slice, Length - at)).Memory;

    private sealed class View(byte* start, int length) : MemoryManager<byte>
    {
        public override Span<byte> GetSpan() => new(start, length);

        public override MemoryHandle Pin(int elementIndex = 0) => new(start + elementIndex);

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
        }
    }
}
