using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace BkBase.Flows.Records;

/// <summary>One growing column of a <see cref="BatchBuilder"/>. Holds the array of its type only.</summary>
internal sealed class ColumnBuilder
{
    private readonly Field _field;
    private bool[] _bools = [];
    private int[] _ints = [];
    private long[] _longs = [];
    private double[] _doubles = [];
    private byte[] _data = [];
    private ulong[] _validity = [];
    private int _set;
    private int _nulls;

    public ColumnBuilder(Field field)
    {
        _field = field;
        Grow(256);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(bool value, int row)
    {
        Reserve(row);
        _bools[row] = value;
        Mark(row);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(int value, int row)
    {
        Reserve(row);
        _ints[row] = value;
        Mark(row);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(long value, int row)
    {
        Reserve(row);
        _longs[row] = value;
        Mark(row);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Set(double value, int row)
    {
        Reserve(row);
        _doubles[row] = value;
        Mark(row);
    }

    public void Set(ReadOnlySpan<byte> utf8, int row)
    {
        Reserve(row);
        var start = row == 0 ? 0 : _ints[row - 1];
        if (start + utf8.Length > _data.Length)
        {
            Array.Resize(ref _data, Math.Max(start + utf8.Length, Math.Max(4096, _data.Length * 2)));
        }

        utf8.CopyTo(_data.AsSpan(start));
        _ints[row] = start + utf8.Length;
        Mark(row);
    }

    /// <summary>Room for values of rows, all of which the caller sets.</summary>
    public Span<long> Longs(int row, int count)
    {
        Extend(row, count);
        return _longs.AsSpan(row, count);
    }

    /// <inheritdoc cref="Longs"/>
    public Span<double> Doubles(int row, int count)
    {
        Extend(row, count);
        return _doubles.AsSpan(row, count);
    }

    /// <inheritdoc cref="Longs"/>
    public Span<int> Ints(int row, int count)
    {
        Extend(row, count);
        return _ints.AsSpan(row, count);
    }

    /// <summary>Fills the row when it was not set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Complete(int row)
    {
        if (_set <= row)
        {
            SetDefault(row);
        }
    }

    public void Truncate(int rows)
    {
        if (!_field.Nullable)
        {
            _set = Math.Min(_set, rows);
            return;
        }

        while (_set > rows)
        {
            _set--;
            if (_field.Nullable && (_validity[_set >> 6] & (1UL << (_set & 63))) == 0)
            {
                _nulls--;
            }
        }
    }

    /// <summary>Event times, of the time column.</summary>
    public ReadOnlySpan<long> Times => _longs;

    /// <summary>Copies a row over an earlier one. The rows between are given up.</summary>
    public void Move(int from, int to)
    {
        switch (_field.Type)
        {
            case ColumnType.Bool: _bools[to] = _bools[from]; break;
            case ColumnType.Int64 or ColumnType.DateTime: _longs[to] = _longs[from]; break;
            case ColumnType.Float64: _doubles[to] = _doubles[from]; break;
            case ColumnType.Text or ColumnType.Json: MoveText(from, to); break;
            default: _ints[to] = _ints[from]; break;
        }

        if (_field.Nullable)
        {
            var present = (_validity[from >> 6] & (1UL << (from & 63))) != 0;
            var was = (_validity[to >> 6] & (1UL << (to & 63))) != 0;
            _nulls += (was ? 1 : 0) - (present ? 1 : 0);
            _validity[to >> 6] = present ? _validity[to >> 6] | (1UL << (to & 63)) : _validity[to >> 6] & ~(1UL << (to & 63));
        }
    }

    private void MoveText(int from, int to)
    {
        // Rows move towards the front only, so the target starts at or before the source and the copy may overlap forwards.
        var start = _ints[from - 1];
        var length = _ints[from] - start;
        var target = to == 0 ? 0 : _ints[to - 1];
        _data.AsSpan(start, length).CopyTo(_data.AsSpan(target));
        _ints[to] = target + length;
    }

    public Column Build(int rows, StringDictionary strings, MapDictionary maps)
    {
        var validity = _nulls == 0 ? null : _validity.AsSpan(0, (rows + 63) >> 6).ToArray();
        Column column = _field.Type switch
        {
            ColumnType.Bool => new BoolColumn(_bools.AsSpan(0, rows).ToArray(), rows, validity),
            ColumnType.Int32 => new Int32Column(_ints.AsSpan(0, rows).ToArray(), rows, validity),
            ColumnType.Int64 or ColumnType.DateTime => new Int64Column(_longs.AsSpan(0, rows).ToArray(), rows, validity),
            ColumnType.Float64 => new Float64Column(_doubles.AsSpan(0, rows).ToArray(), rows, validity),
            ColumnType.String => new StringColumn(_ints.AsSpan(0, rows).ToArray(), rows, strings, validity),
            ColumnType.Map => new MapColumn(_ints.AsSpan(0, rows).ToArray(), rows, maps, validity),
            ColumnType.Text or ColumnType.Json => new TextColumn(
                _data.AsSpan(0, rows == 0 ? 0 : _ints[rows - 1]).ToArray(), _ints.AsSpan(0, rows).ToArray(), rows, validity),
            _ => throw new UnreachableException($"column type {_field.Type}"),
        };
        (_set, _nulls) = (0, 0);
        return column;
    }

    private void SetDefault(int row)
    {
        switch (_field.Type)
        {
            case ColumnType.Bool: Set(false, row); break;
            case ColumnType.Int64 or ColumnType.DateTime: Set(0L, row); break;
            case ColumnType.Float64: Set(0d, row); break;
            case ColumnType.Text or ColumnType.Json: Set([], row); break;
            default: Set(0, row); break;
        }

        if (_field.Nullable)
        {
            _validity[row >> 6] &= ~(1UL << (row & 63));
            _nulls++;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Mark(int row)
    {
        _set = row + 1;
        if (_field.Nullable)
        {
            _validity[row >> 6] |= 1UL << (row & 63);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Reserve(int row)
    {
        if (row >= Capacity)
        {
            Grow(Math.Max(256, Capacity * 2));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Extend(int row, int count)
    {
        if (row + count > Capacity || _field.Nullable)
        {
            ExtendSlowly(row, count);
        }

        _set = row + count;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ExtendSlowly(int row, int count)
    {
        if (row + count > Capacity)
        {
            Grow(Math.Max(row + count, Capacity * 2));
        }

        for (var i = row; _field.Nullable && i < row + count; i++)
        {
            _validity[i >> 6] |= 1UL << (i & 63);
        }
    }

    private int Capacity { get; set; }

    private void Grow(int capacity)
    {
        Capacity = capacity;
        switch (_field.Type)
        {
            case ColumnType.Bool: Array.Resize(ref _bools, capacity); break;
            case ColumnType.Int64 or ColumnType.DateTime: Array.Resize(ref _longs, capacity); break;
            case ColumnType.Float64: Array.Resize(ref _doubles, capacity); break;
            default: Array.Resize(ref _ints, capacity); break;
        }

        if (_field.Nullable)
        {
            Array.Resize(ref _validity, (capacity + 63) >> 6);
        }
    }
}
