using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BkBase.Flows.Records;

/// <summary>
/// Interned string maps of one generation. A series repeats its dimensions in every sample, so a map is stored once,
/// its pairs sorted by key bytes, and a row holds its id: equal maps have equal ids. Id 0 is the empty map.
/// Same threading as <see cref="StringDictionary"/>.
/// </summary>
public sealed class MapDictionary
{
    private const int FewMax = 32;
    private const int BytesPerMap = 24 + 8 + (3 * sizeof(int));

    private readonly long _bytesMax;
    private readonly List<MapPair> _scratch = [];
    private MapPair[][] _maps = new MapPair[256][];
    private uint[] _hashes = new uint[256];
    private int[] _buckets = new int[512];
    private int _count;

    /// <param name="strings">Dictionary of the keys and values.</param>
    /// <param name="bytesMax">Bound of the bytes held before <see cref="IsFull"/>.</param>
    public MapDictionary(StringDictionary strings, long bytesMax = StringDictionary.BytesMaxDefault)
    {
        Strings = strings;
        _bytesMax = bytesMax;
        Intern([]);
    }

    /// <summary>Dictionary of the keys and values.</summary>
    public StringDictionary Strings { get; }

    /// <summary>Number of distinct maps.</summary>
    public int Count => _count;

    /// <summary>Bytes held, tables included; those of <see cref="Strings"/> not.</summary>
    public long Bytes { get; private set; }

    /// <summary>True when the owner should start a new generation: few strings can make many maps.</summary>
    public bool IsFull => Bytes >= _bytesMax;

    /// <summary>The pairs of a map, sorted by key bytes.</summary>
    public ReadOnlySpan<MapPair> this[int id] => _maps[id];

    /// <summary>Id of the map with these pairs; later pairs win over earlier ones of the same key.</summary>
    public int Intern(ReadOnlySpan<MapPair> pairs)
    {
        _scratch.Clear();
        if (pairs.Length > FewMax)
        {
            SortMany(pairs);
        }
        else
        {
            foreach (var pair in pairs)
            {
                Place(pair);
            }
        }

        var sorted = CollectionsMarshal.AsSpan(_scratch);
        var hash = (uint)ByteHash.Of(MemoryMarshal.AsBytes(sorted));
        var slot = hash & (uint)(_buckets.Length - 1);
        while (_buckets[slot] != 0)
        {
            var id = _buckets[slot] - 1;
            if (_hashes[id] == hash && sorted.SequenceEqual(_maps[id]))
            {
                return id;
            }

            slot = (slot + 1) & (uint)(_buckets.Length - 1);
        }

        return Add(sorted.ToArray(), hash, slot);
    }

    /// <summary>Value id under a key of map <paramref name="id"/>, or -1.</summary>
    public int Find(int id, int key)
    {
        foreach (var pair in _maps[id])
        {
            if (pair.Key == key)
            {
                return pair.Value;
            }
        }

        return -1;
    }

    private int Add(MapPair[] pairs, uint hash, uint slot)
    {
        if (_count == _maps.Length)
        {
            Array.Resize(ref _maps, _count * 2);
            Array.Resize(ref _hashes, _count * 2);
        }

        _maps[_count] = pairs;
        _hashes[_count] = hash;
        _buckets[slot] = ++_count;
        Bytes += BytesPerMap + (pairs.Length * Unsafe.SizeOf<MapPair>());
        if (_count * 2 > _buckets.Length)
        {
            Rehash();
        }

        return _count - 1;
    }

    private void Rehash()
    {
        var buckets = new int[_buckets.Length * 2];
        var mask = (uint)(buckets.Length - 1);
        for (var id = 0; id < _count; id++)
        {
            var slot = _hashes[id] & mask;
            while (buckets[slot] != 0)
            {
                slot = (slot + 1) & mask;
            }

            buckets[slot] = id + 1;
        }

        _buckets = buckets;
    }

    private void Place(MapPair pair)
    {
        var key = Strings[pair.Key];
        var at = _scratch.Count;
        while (at > 0)
        {
            var order = Strings[_scratch[at - 1].Key].SequenceCompareTo(key);
            if (order == 0)
            {
                _scratch[at - 1] = pair;
                return;
            }

            if (order < 0)
            {
                break;
            }

            at--;
        }

        _scratch.Insert(at, pair);
    }

    // Equal keys keep their order, so that the later one can win.
    private void SortMany(ReadOnlySpan<MapPair> pairs)
    {
        var order = new int[pairs.Length];
        for (var i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        var given = pairs.ToArray();
        Array.Sort(order, (a, b) => Strings[given[a].Key].SequenceCompareTo(Strings[given[b].Key]) is var byKey && byKey != 0 ? byKey : a.CompareTo(b));
        foreach (var i in order)
        {
            if (_scratch.Count > 0 && _scratch[^1].Key == given[i].Key)
            {
                _scratch[^1] = given[i];
            }
            else
            {
                _scratch.Add(given[i]);
            }
        }
    }
}

/// <summary>Ids of one key and its value in the map's <see cref="StringDictionary"/>.</summary>
public readonly record struct MapPair(int Key, int Value);
