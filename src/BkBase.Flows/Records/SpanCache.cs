using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BkBase.Flows.Records;

/// <summary>
/// A bounded cache from byte strings to a few ints each: what was learned about bytes seen before. Keys stand in a ring
/// that grows to its bound and then forgets its oldest; nothing is allocated after that. When the ring is full only
/// every eighth newcomer gets in, so that a set of keys larger than the ring, or a stream of keys that never come back,
/// does not wash out all that is useful. One thread at a time.
/// </summary>
/// <param name="width">Ints per key.</param>
/// <param name="bytesMax">Bound of the ring, a power of two; the table beside it takes a quarter of that.</param>
internal sealed class SpanCache(int width, int bytesMax)
{
    private const int Ways = 4;
    private const int BytesFirst = 1 << 14;

    private byte[] _ring = new byte[BytesFirst];
    private Entry[] _table = new Entry[BytesFirst / 64];
    private long _head;
    private int _newcomers;

    /// <summary>Bytes held, the table included.</summary>
    public long Bytes => _ring.Length + ((long)_table.Length * Unsafe.SizeOf<Entry>());

    /// <summary>The ints under a key; they stand until the next <see cref="Add"/>. Empty when there are none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<int> Find(ReadOnlySpan<byte> key)
    {
        var hash = ByteHash.Of(key);
        ref var first = ref Set(hash);
        for (var way = 0; way < Ways; way++)
        {
            ref var entry = ref Unsafe.Add(ref first, way);
            if (entry.Tag == (uint)hash && entry.Length == key.Length && IsAlive(entry))
            {
                var at = (int)(entry.Start & (_ring.Length - 1));
                if (_ring.AsSpan(at, key.Length).SequenceEqual(key))
                {
                    return MemoryMarshal.Cast<byte, int>(_ring.AsSpan(at + key.Length, width * sizeof(int)));
                }
            }
        }

        return default;
    }

    /// <summary>Remembers the ints of a key that <see cref="Find"/> did not find; or does not, when the key is long or the ring full.</summary>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<int> values)
    {
        var need = key.Length + (width * sizeof(int));
        if (need > bytesMax / 16)
        {
            return;
        }

        while (_head + need > _ring.Length && _ring.Length < bytesMax)
        {
            Grow();
        }

        if (_head + need > _ring.Length && (++_newcomers & 7) != 0)
        {
            return;
        }

        var at = (int)(_head & (_ring.Length - 1));
        if (at + need > _ring.Length)
        {
            _head += _ring.Length - at;
            at = 0;
        }

        key.CopyTo(_ring.AsSpan(at));
        MemoryMarshal.AsBytes(values[..width]).CopyTo(_ring.AsSpan(at + key.Length));
        var hash = ByteHash.Of(key);
        Place(new Entry((uint)hash, key.Length, _head), hash);
        _head += need;
    }

    /// <summary>Forgets everything; keeps the buffers.</summary>
    public void Clear()
    {
        _head = 0;
        Array.Clear(_table);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private ref Entry Set(ulong hash) =>
        ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_table), (int)(hash >> 32) & (_table.Length - Ways));

    // An empty entry has no length; only the empty key has none either, and that one is nobody's.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool IsAlive(in Entry entry) => entry.Length > 0 && entry.Start >= _head - _ring.Length;

    private void Place(in Entry entry, ulong hash)
    {
        ref var first = ref Set(hash);
        ref var oldest = ref first;
        for (var way = 0; way < Ways; way++)
        {
            ref var candidate = ref Unsafe.Add(ref first, way);
            if (!IsAlive(candidate))
            {
                oldest = ref candidate;
                break;
            }

            if (candidate.Start < oldest.Start)
            {
                oldest = ref candidate;
            }
        }

        oldest = entry;
    }

    private void Grow()
    {
        // The ring has not come round yet, so every key stays where it is.
        Array.Resize(ref _ring, _ring.Length * 2);
        var old = _table;
        _table = new Entry[old.Length * 2];
        foreach (var entry in old)
        {
            if (entry.Length > 0)
            {
                Place(entry, ByteHash.Of(_ring.AsSpan((int)entry.Start, entry.Length)));
            }
        }
    }

    private readonly record struct Entry(uint Tag, int Length, long Start);
}
