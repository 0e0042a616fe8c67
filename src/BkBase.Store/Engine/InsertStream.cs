using System.Runtime.InteropServices;

namespace BkBase.Store.Engine;

/// <summary>An insert whose data arrive piece by piece, in any format. Disposed before <see cref="Complete"/> it inserts nothing.</summary>
internal sealed unsafe class InsertStream : IDisposable
{
    private nint _stream;

    public InsertStream(EngineConnection connection, ReadOnlySpan<byte> sql, string format, QueryParameters parameters)
    {
        _stream = connection.StartInsert(sql, format, parameters);
        if (_stream != 0 && Native.chdb_stream_insert_error(_stream) is var error && error != 0 && Marshal.PtrToStringUTF8(error) is { Length: > 0 } text)
        {
            Dispose();
            throw new EngineException(text);
        }
    }

    /// <summary>Hands over bytes and waits until the engine took them; false when it wants no more (the error comes from <see cref="Complete"/>).</summary>
    public bool Append(ReadOnlySpan<byte> data)
    {
        fixed (byte* bytes = data)
        {
            return data.IsEmpty || Native.chdb_stream_append(_stream, bytes, (nuint)data.Length) == 0;
        }
    }

    /// <summary>Commits.</summary>
    public EngineResult Complete() => new(Native.chdb_stream_done(_stream));

    public void Dispose()
    {
        if (_stream != 0)
        {
            Native.chdb_destroy_insert_stream(_stream);
            _stream = 0;
        }
    }
}
