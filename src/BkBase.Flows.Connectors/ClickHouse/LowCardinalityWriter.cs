using System.Buffers.Binary;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>
/// Writes the body of a LowCardinality(String) column: keys as they are met, then one index per value. Dictionary ids
/// are mapped to places in the block by an array that is stamped, not cleared.
/// </summary>
internal sealed class LowCardinalityWriter
{
    private const long HasAdditionalKeys = 1 << 9;

    private NativeBuffer _out = new();
    private long[] _places = [];
    private int[] _indexes = [];
    private int _stamp;
    private int _head;
    private int _count;
    private StringDictionary? _dictionary;

    /// <summary>Distinct keys so far, '' among them.</summary>
    public int Count { get; private set; }

    public void Begin(NativeBuffer output, int values)
    {
        _out = output;
        if (_indexes.Length < values)
        {
            _indexes = new int[Math.Max(values, _indexes.Length * 2)];
        }

        _dictionary = null;
        _count = 0;
        _head = output.Length;
        output.Int64(0);
        output.Int64(0);
        output.String([]);
        Count = 1;
    }

    /// <summary>The ids that follow are of this dictionary. A key may stand twice when dictionaries change: the engine unites them.</summary>
    public void Use(StringDictionary dictionary)
    {
        if (ReferenceEquals(dictionary, _dictionary))
        {
            return;
        }

        _dictionary = dictionary;
        _stamp++;
        if (_places.Length < dictionary.Count)
        {
            _places = new long[Math.Max(dictionary.Count + 256, _places.Length * 2)];
        }

        _places[0] = Place(0);
    }

    public void Add(int id)
    {
        if (id >= _places.Length)
        {
            Array.Resize(ref _places, Math.Max(id + 256, _places.Length * 2));
        }

        ref var place = ref _places[id];
        if ((int)(place >> 32) != _stamp)
        {
            _out.String(_dictionary![id]);
            place = Place(Count++);
        }

        _indexes[_count++] = (int)place;
    }

    public void End()
    {
        var width = Count <= 256 ? 0 : Count <= 65536 ? 1 : 2;
        _out.PatchInt64(_head, width | HasAdditionalKeys);
        _out.PatchInt64(_head + 8, Count);
        _out.Int64(_count);
        var indexes = _indexes.AsSpan(0, _count);
        var target = _out.Span(_count << width);
        switch (width)
        {
            case 0:
                for (var i = 0; i < indexes.Length; i++)
                {
                    target[i] = (byte)indexes[i];
                }

                break;
            case 1:
                for (var i = 0; i < indexes.Length; i++)
                {
                    BinaryPrimitives.WriteUInt16LittleEndian(target[(i * 2)..], (ushort)indexes[i]);
                }

                break;
            default:
                System.Runtime.InteropServices.MemoryMarshal.AsBytes(indexes).CopyTo(target);
                break;
        }
    }

    private long Place(int place) => ((long)_stamp << 32) | (uint)place;
}
