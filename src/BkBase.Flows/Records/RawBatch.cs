using System.Buffers;

namespace BkBase.Flows.Records;

/// <summary>
/// Records of one partition as they came: payload bytes one after another, with offsets and append times.
/// The stage that parses a batch disposes it, which gives the buffers back to the pool.
/// </summary>
public sealed class RawBatch : StreamElement, IDisposable
{
    private byte[] _data;
    private int[] _ends;
    private long[] _offsets;
    private long[] _appendTimes;

    private RawBatch(string source, int partition, int records, int bytes)
    {
        Source = source;
        Partition = partition;
        _data = ArrayPool<byte>.Shared.Rent(Math.Max(bytes, 256));
        _ends = ArrayPool<int>.Shared.Rent(Math.Max(records, 16));
        _offsets = ArrayPool<long>.Shared.Rent(Math.Max(records, 16));
        _appendTimes = ArrayPool<long>.Shared.Rent(Math.Max(records, 16));
    }

    /// <summary>Name of the source in its flow.</summary>
    public string Source { get; }

    public int Partition { get; }

    /// <summary>Number of records.</summary>
    public int Count { get; private set; }

    /// <summary>Payload bytes.</summary>
    public int Bytes => Count == 0 ? 0 : _ends[Count - 1];

    /// <summary>The range of offsets read; first and last record.</summary>
    public Lineage Lineage => new(Source, Partition, Count == 0 ? 0 : _offsets[0], Count == 0 ? -1 : _offsets[Count - 1]);

    /// <summary>Payload of a record.</summary>
    public ReadOnlySpan<byte> this[int record] => _data.AsSpan((record == 0 ? 0 : _ends[record - 1])..(_ends[record]));

    /// <summary>Starts an empty batch; <paramref name="records"/> and <paramref name="bytes"/> are first sizes, not bounds.</summary>
    public static RawBatch Rent(string source, int partition, int records = 1024, int bytes = 1 << 18) => new(source, partition, records, bytes);

    public long Offset(int record) => _offsets[record];

    /// <summary>When the record was appended to its topic, Unix milliseconds; 0 when unknown.</summary>
    public long AppendTime(int record) => _appendTimes[record];

    /// <summary>Adds a record; offsets rise.</summary>
    public void Add(ReadOnlySpan<byte> payload, long offset, long appendTime)
    {
        var start = Bytes;
        if (start + payload.Length > _data.Length)
        {
            Grow(ref _data, start, start + payload.Length);
        }

        if (Count == _ends.Length)
        {
            Grow(ref _ends, Count, Count + 1);
        }

        if (Count == _offsets.Length)
        {
            Grow(ref _offsets, Count, Count + 1);
        }

        if (Count == _appendTimes.Length)
        {
            Grow(ref _appendTimes, Count, Count + 1);
        }

        payload.CopyTo(_data.AsSpan(start));
        _ends[Count] = start + payload.Length;
        _offsets[Count] = offset;
        _appendTimes[Count] = appendTime;
        Count++;
    }

    /// <summary>Forgets the records behind an offset.</summary>
    public void CutAfter(long offset)
    {
        while (Count > 0 && _offsets[Count - 1] > offset)
        {
            Count--;
        }
    }

    public void Dispose()
    {
        if (_data.Length == 0)
        {
            return;
        }

        ArrayPool<byte>.Shared.Return(_data);
        ArrayPool<int>.Shared.Return(_ends);
        ArrayPool<long>.Shared.Return(_offsets);
        ArrayPool<long>.Shared.Return(_appendTimes);
        (_data, _ends, _offsets, _appendTimes, Count) = ([], [], [], [], 0);
    }

    private static void Grow<T>(ref T[] array, int used, int needed)
    {
        var grown = ArrayPool<T>.Shared.Rent(Math.Max(needed, array.Length * 2));
        array.AsSpan(0, used).CopyTo(grown);
        ArrayPool<T>.Shared.Return(array);
        array = grown;
    }
}
