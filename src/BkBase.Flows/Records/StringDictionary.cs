using System.Runtime.CompilerServices;
using System.Text;

namespace BkBase.Flows.Records;

/// <summary>
/// Interned UTF-8 strings of one generation: bytes are stored once and known by a small id. Id 0 is ''.
/// One thread interns; any thread reads the ids that reached it inside a batch. An id means nothing outside its
/// dictionary. There is no eviction: an owner that finds <see cref="IsFull"/> starts a new dictionary between two batches.
/// </summary>
public sealed class StringDictionary
{
    /// <summary>Bytes after which a generation is full.</summary>
    public const int BytesMaxDefault = 64 << 20;

    private const int ChunkBits = 16;
    private const int ChunkBytes = 1 << ChunkBits;

    private readonly long _bytesMax;
    private byte[][] _chunks = [new byte[ChunkBytes]];
    private int _chunk;
    private int _chunkUsed;
    private Entry[] _entries = new Entry[256];
    private int[] _buckets = new int[512];
    private int _count;

    /// <param name="bytesMax">Bound of the bytes held before <see cref="IsFull"/>.</param>
    public StringDictionary(long bytesMax = BytesMaxDefault)
    {
        _bytesMax = bytesMax;
        Intern([]);
    }

    /// <summary>Number of distinct strings.</summary>
    public int Count => _count;

    /// <summary>Bytes held, tables included.</summary>
    public long Bytes { get; private set; }

    /// <summary>True when the owner should start a new generation.</summary>
    public bool IsFull => Bytes >= _bytesMax;

    /// <summary>The bytes of an id that this dictionary gave out.</summary>
    public ReadOnlySpan<byte> this[int id]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            ref readonly var e = ref _entries[id];
            return _chunks[e.Chunk].AsSpan(e.Start, e.Length);
        }
    }

    /// <summary>The text of an id. Allocates: for edges and messages, not for the hot path.</summary>
    public string Text(int id) => Encoding.UTF8.GetString(this[id]);

    /// <summary>Id of the string; added when new.</summary>
    public int Intern(ReadOnlySpan<byte> utf8)
    {
        var hash = Hash(utf8);
        var slot = hash & (uint)(_buckets.Length - 1);
        while (_buckets[slot] != 0)
        {
            var id = _buckets[slot] - 1;
            if (_entries[id].Hash == hash && this[id].SequenceEqual(utf8))
            {
                return id;
            }

            slot = (slot + 1) & (uint)(_buckets.Length - 1);
        }

        return Add(utf8, hash, slot);
    }

    /// <summary>Id of a text. Allocates nothing up to 256 characters.</summary>
    public int Intern(string text)
    {
        Span<byte> buffer = text.Length <= 256 ? stackalloc byte[768] : new byte[text.Length * 3];
        return Intern(buffer[..Encoding.UTF8.GetBytes(text, buffer)]);
    }

    /// <summary>Id of the string, or -1 when it is not here. Safe on the interning thread only.</summary>
    public int Find(ReadOnlySpan<byte> utf8)
    {
        var hash = Hash(utf8);
        for (var slot = hash & (uint)(_buckets.Length - 1); _buckets[slot] != 0; slot = (slot + 1) & (uint)(_buckets.Length - 1))
        {
            var id = _buckets[slot] - 1;
            if (_entries[id].Hash == hash && this[id].SequenceEqual(utf8))
            {
                return id;
            }
        }

        return -1;
    }

    private static uint Hash(ReadOnlySpan<byte> utf8) => (uint)ByteHash.Of(utf8);

    private int Add(ReadOnlySpan<byte> utf8, uint hash, uint slot)
    {
        var (chunk, start) = Store(utf8);
        if (_count == _entries.Length)
        {
            Array.Resize(ref _entries, _count * 2);
        }

        _entries[_count] = new Entry(chunk, start, utf8.Length, hash);
        _buckets[slot] = ++_count;
        Bytes += utf8.Length + Unsafe.SizeOf<Entry>() + (2 * sizeof(int));
        if (_count * 2 > _buckets.Length)
        {
            Rehash();
        }

        return _count - 1;
    }

    private (int Chunk, int Start) Store(ReadOnlySpan<byte> utf8)
    {
        // Chunks never move, so that a reader on another thread may hold a span while the writer goes on.
        if (utf8.Length > ChunkBytes / 4)
        {
            AddChunk(utf8.ToArray());
            var at = _chunks.Length - 1;
            return (at, 0);
        }

        if (_chunkUsed + utf8.Length > ChunkBytes)
        {
            _chunk = AddChunk(new byte[ChunkBytes]);
            _chunkUsed = 0;
        }

        utf8.CopyTo(_chunks[_chunk].AsSpan(_chunkUsed));
        var start = _chunkUsed;
        _chunkUsed += utf8.Length;
        return (_chunk, start);
    }

    private int AddChunk(byte[] chunk)
    {
        var grown = new byte[_chunks.Length + 1][];
        _chunks.CopyTo(grown, 0);
        grown[^1] = chunk;
        _chunks = grown;
        return grown.Length - 1;
    }

    private void Rehash()
    {
        var buckets = new int[_buckets.Length * 2];
        var mask = (uint)(buckets.Length - 1);
        for (var id = 0; id < _count; id++)
        {
            var slot = _entries[id].Hash & mask;
            while (buckets[slot] != 0)
            {
                slot = (slot + 1) & mask;
            }

            buckets[slot] = id + 1;
        }

        _buckets = buckets;
    }

    private readonly record struct Entry(int Chunk, int Start, int Length, uint Hash);
}
