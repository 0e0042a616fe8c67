using System.Buffers;
using System.Buffers.Binary;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>
/// Byte keys with an event time each, in one open-addressing table: no object per key. Keys are held as bytes and not as
/// dictionary ids, so that neither a new generation of a dictionary nor a restart changes them.
/// </summary>
internal sealed class KeyTable
{
    private int[] _slots = new int[256];
    private Entry[] _entries = new Entry[128];
    private byte[] _bytes = new byte[4096];
    private int _used;

    /// <summary>Number of keys.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the keys, with what the table needs for each.</summary>
    public long Bytes => _used + (Count * 32L);

    /// <summary>Number of the key in the table, or -1.</summary>
    public int Find(ReadOnlySpan<byte> key)
    {
        var hash = (uint)ByteHash.Of(key);
        var mask = (uint)(_slots.Length - 1);
        for (var slot = hash & mask; _slots[slot] != 0; slot = (slot + 1) & mask)
        {
            ref readonly var entry = ref _entries[_slots[slot] - 1];
            if (entry.Hash == hash && key.SequenceEqual(_bytes.AsSpan(entry.Start, entry.Length)))
            {
                return _slots[slot] - 1;
            }
        }

        return -1;
    }

    public long TimeOf(int entry) => _entries[entry].Time;

    public void SetTime(int entry, long time) => _entries[entry].Time = time;

    /// <summary>Whether the next key needs larger arrays.</summary>
    public bool IsFull(int keyLength) => Count == _entries.Length || _used + keyLength > _bytes.Length;

    /// <summary>Adds a key that is not there.</summary>
    public void Add(ReadOnlySpan<byte> key, long time)
    {
        if (Count == _entries.Length)
        {
            Array.Resize(ref _entries, Count * 2);
            _slots = new int[_slots.Length * 2];
            for (var i = 0; i < Count; i++)
            {
                Place(i);
            }
        }

        if (_used + key.Length > _bytes.Length)
        {
            Array.Resize(ref _bytes, checked((int)Math.Max((long)_used + key.Length, Math.Min(_bytes.Length * 2L, Array.MaxLength))));
        }

        key.CopyTo(_bytes.AsSpan(_used));
        _entries[Count] = new Entry { Time = time, Start = _used, Length = key.Length, Hash = (uint)ByteHash.Of(key) };
        _used += key.Length;
        Place(Count++);
    }

    /// <summary>Forgets keys whose time lies before <paramref name="least"/>.</summary>
    public void Sweep(long least)
    {
        var (kept, used) = (0, 0);
        for (var i = 0; i < Count; i++)
        {
            var entry = _entries[i];
            if (entry.Time >= least)
            {
                _bytes.AsSpan(entry.Start, entry.Length).CopyTo(_bytes.AsSpan(used));
                entry.Start = used;
                used += entry.Length;
                _entries[kept++] = entry;
            }
        }

        (Count, _used) = (kept, used);
        Array.Clear(_slots);
        for (var i = 0; i < Count; i++)
        {
            Place(i);
        }
    }

    /// <summary>Writes the count, then time, length and bytes of each key whose time is at least <paramref name="least"/>.</summary>
    public void Write(IBufferWriter<byte> target, long least)
    {
        var live = 0;
        for (var i = 0; i < Count; i++)
        {
            live += _entries[i].Time >= least ? 1 : 0;
        }

        BinaryPrimitives.WriteInt32LittleEndian(target.GetSpan(4), live);
        target.Advance(4);
        for (var i = 0; i < Count; i++)
        {
            ref readonly var entry = ref _entries[i];
            if (entry.Time >= least)
            {
                var span = target.GetSpan(12 + entry.Length);
                BinaryPrimitives.WriteInt64LittleEndian(span, entry.Time);
                BinaryPrimitives.WriteInt32LittleEndian(span[8..], entry.Length);
                _bytes.AsSpan(entry.Start, entry.Length).CopyTo(span[12..]);
                target.Advance(12 + entry.Length);
            }
        }
    }

    /// <summary>Adds what <see cref="Write"/> wrote.</summary>
    /// <exception cref="InvalidDataException">The bytes are something else.</exception>
    public void Read(ReadOnlySpan<byte> from)
    {
        var count = from.Length >= 4 ? BinaryPrimitives.ReadInt32LittleEndian(from) : -1;
        var at = 4;
        for (var i = 0; i < count; i++)
        {
            var length = from.Length - at >= 12 ? BinaryPrimitives.ReadInt32LittleEndian(from[(at + 8)..]) : -1;
            if (length < 0 || length > from.Length - at - 12)
            {
                throw new InvalidDataException($"key {i} of {count} is cut off");
            }

            Add(from.Slice(at + 12, length), BinaryPrimitives.ReadInt64LittleEndian(from[at..]));
            at += 12 + length;
        }

        if (count < 0 || at != from.Length)
        {
            throw new InvalidDataException($"{from.Length} bytes are no table of {count} keys");
        }
    }

    private void Place(int entry)
    {
        var mask = (uint)(_slots.Length - 1);
        var slot = _entries[entry].Hash & mask;
        while (_slots[slot] != 0)
        {
            slot = (slot + 1) & mask;
        }

        _slots[slot] = entry + 1;
    }

    private struct Entry
    {
        public long Time;
        public int Start;
        public int Length;
        public uint Hash;
    }
}
