using System.Runtime.InteropServices;

namespace BkBase.Flows.Records;

/// <summary>
/// Interned string maps of one generation. A series repeats its dimensions in every sample, so a map is stored once,
/// its pairs sorted by key bytes, and a row holds its id: equal maps have equal ids. Id 0 is the empty map.
/// Same threading as <see cref="StringDictionary"/>.
/// </summary>
public sealed class MapDictionary
{
    private readonly Dictionary<PairsKey, int> _ids = new(new PairsComparer());
    private readonly List<MapPair> _scratch = [];
    private MapPair[][] _maps = new MapPair[256][];
    private int _count;

    /// <param name="strings">Dictionary of the keys and values.</param>
    public MapDictionary(StringDictionary strings)
    {
        Strings = strings;
        Intern([]);
    }

    /// <summary>Dictionary of the keys and values.</summary>
    public StringDictionary Strings { get; }

    /// <summary>Number of distinct maps.</summary>
    public int Count => _count;

    /// <summary>The pairs of a map, sorted by key bytes.</summary>
    public ReadOnlySpan<MapPair> this[int id] => _maps[id];

    /// <summary>Id of the map with these pairs; later pairs win over earlier ones of the same key.</summary>
    public int Intern(ReadOnlySpan<MapPair> pairs)
    {
        _scratch.Clear();
        foreach (var pair in pairs)
        {
            Place(pair);
        }

        var sorted = CollectionsMarshal.AsSpan(_scratch);
        if (_ids.GetAlternateLookup<ReadOnlySpan<MapPair>>().TryGetValue(sorted, out var id))
        {
            return id;
        }

        if (_count == _maps.Length)
        {
            Array.Resize(ref _maps, _count * 2);
        }

        var kept = sorted.ToArray();
        _maps[_count] = kept;
        _ids.Add(new PairsKey(kept), _count);
        return _count++;
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

    private readonly struct PairsKey(MapPair[] pairs) : IEquatable<PairsKey>
    {
        public MapPair[] Pairs { get; } = pairs;

        public bool Equals(PairsKey other) => Pairs.AsSpan().SequenceEqual(other.Pairs);

        public override bool Equals(object? obj) => obj is PairsKey other && Equals(other);

        public override int GetHashCode() => PairsComparer.Hash(Pairs);
    }

    private sealed class PairsComparer : IEqualityComparer<PairsKey>, IAlternateEqualityComparer<ReadOnlySpan<MapPair>, PairsKey>
    {
        public static int Hash(ReadOnlySpan<MapPair> pairs)
        {
            var hash = default(HashCode);
            hash.AddBytes(MemoryMarshal.AsBytes(pairs));
            return hash.ToHashCode();
        }

        public bool Equals(PairsKey x, PairsKey y) => x.Equals(y);

        public int GetHashCode(PairsKey key) => Hash(key.Pairs);

        public bool Equals(ReadOnlySpan<MapPair> alternate, PairsKey other) => alternate.SequenceEqual(other.Pairs);

        public int GetHashCode(ReadOnlySpan<MapPair> alternate) => Hash(alternate);

        public PairsKey Create(ReadOnlySpan<MapPair> alternate) => new(alternate.ToArray());
    }
}

/// <summary>Ids of one key and its value in the map's <see cref="StringDictionary"/>.</summary>
public readonly record struct MapPair(int Key, int Value);
