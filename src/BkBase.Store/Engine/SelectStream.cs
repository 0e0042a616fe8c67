namespace BkBase.Store.Engine;

/// <summary>A select whose result arrives in chunks. The engine repeats the format's header in every chunk; here it appears once.</summary>
internal sealed class SelectStream : IDisposable
{
    private const int ShortChunk = 65536;
    private readonly EngineConnection _connection;
    private readonly ChunkHeader _header;
    private nint _stream;
    private EngineResult? _current;
    private EngineResult? _ahead;
    private long _headerLength = -1;
    private long _offset;

    public SelectStream(EngineConnection connection, ReadOnlySpan<byte> sql, string format, ChunkHeader header, QueryParameters parameters)
    {
        _connection = connection;
        _header = header;
        var stream = connection.StartStream(sql, format, parameters);
        _ = new EngineResult(stream); // throws, and frees the stream, when it carries an error
        _stream = stream;
    }

    /// <summary>True once the last chunk was fetched without an error.</summary>
    public bool Ended { get; private set; }

    public ulong RowsRead { get; private set; }

    public ulong BytesRead { get; private set; }

    /// <summary>Fetches the first chunk, and looks one ahead when it is short, so that errors and small results are known before the answer starts.</summary>
    public bool Start()
    {
        if (!Next())
        {
            return false;
        }

        if (_current!.Length < ShortChunk)
        {
            _ahead = Fetch();
        }

        return true;
    }

    /// <summary>Moves to the next chunk; false at the end.</summary>
    public bool Next()
    {
        _current?.Dispose();
        _current = _ahead;
        _ahead = null;
        _current ??= Ended ? null : Fetch();
        if (_current is null)
        {
            return false;
        }

        if (_headerLength < 0)
        {
            _headerLength = ChunkHeaders.Length(_current.Span, _header);
            _offset = 0;
        }
        else
        {
            _offset = _headerLength;
        }

        return true;
    }

    /// <summary>The bytes of the current chunk; valid until the next move.</summary>
    public IEnumerable<ReadOnlyMemory<byte>> Current => _current?.Slices(_offset) ?? [];

    public void Dispose()
    {
        _current?.Dispose();
        _ahead?.Dispose();
        _current = _ahead = null;
        if (_stream != 0)
        {
            if (!Ended)
            {
                Native.chdb_stream_cancel_query(_connection.Handle, _stream);
            }

            Native.chdb_destroy_query_result(_stream);
            _stream = 0;
        }
    }

    private EngineResult? Fetch()
    {
        var chunk = new EngineResult(Native.chdb_stream_fetch_result(_connection.Handle, _stream));
        if (chunk.Length == 0)
        {
            chunk.Dispose();
            Ended = true;
            return null;
        }

        RowsRead += chunk.RowsRead;
        BytesRead += chunk.BytesRead;
        return chunk;
    }
}
