using System.Buffers;
using System.Text;
using BkBase.Flows.Records;

namespace BkBase.Flows.Expressions;

/// <summary>The strings of all rows: ids of a dictionary, or bytes one after another when there is none.</summary>
internal readonly ref struct StringRows(StringDictionary? dictionary, ReadOnlySpan<int> ids, ReadOnlySpan<byte> data, ReadOnlySpan<int> ends)
{
    private readonly ReadOnlySpan<byte> _data = data;
    private readonly ReadOnlySpan<int> _ends = ends;

    public StringDictionary? Dictionary { get; } = dictionary;

    public ReadOnlySpan<int> Ids { get; } = ids;

    public ReadOnlySpan<byte> this[int row] => Dictionary is { } strings ? strings[Ids[row]] : _data[(row == 0 ? 0 : _ends[row - 1]).._ends[row]];
}

/// <summary>A kernel with strings: dictionary ids for <see cref="ColumnType.String"/>, bytes for text and json.</summary>
internal abstract class StringKernel(ColumnType type, bool nullable) : Kernel(type, nullable)
{
    private int[] _numbers = [];
    private byte[] _data = [];
    private StringDictionary? _dictionary;
    private int _count;
    private int _written;

    public virtual StringRows Rows => new(_dictionary, _numbers.AsSpan(0, _count), _data, _numbers.AsSpan(0, _count));

    public override Column ToColumn(int count)
    {
        var rows = Rows;
        if (rows.Dictionary is { } dictionary)
        {
            return new StringColumn(rows.Ids[..count].ToArray(), count, dictionary, CopyValidity(count));
        }

        return new TextColumn(_data.AsSpan(0, _written).ToArray(), _numbers.AsSpan(0, count).ToArray(), count, CopyValidity(count));
    }

    /// <summary>Room for rows that are then set one by one, in order.</summary>
    protected Span<int> Reserve(int count, StringDictionary? dictionary)
    {
        if (_numbers.Length < count)
        {
            _numbers = new int[Math.Max(count, 1024)];
        }

        _count = count;
        _written = 0;
        _dictionary = dictionary;
        return _numbers.AsSpan(0, count);
    }

    protected void Set(int row, ReadOnlySpan<byte> utf8)
    {
        if (_dictionary is not null)
        {
            _numbers[row] = utf8.IsEmpty ? 0 : _dictionary.Intern(utf8);
            return;
        }

        if (_written + utf8.Length > _data.Length)
        {
            Array.Resize(ref _data, Math.Max(_written + utf8.Length, Math.Max(4096, _data.Length * 2)));
        }

        utf8.CopyTo(_data.AsSpan(_written));
        _numbers[row] = _written += utf8.Length;
    }
}

internal sealed class StringColumnKernel(int index, bool nullable) : StringKernel(ColumnType.String, nullable)
{
    private StringColumn? _column;

    public override StringRows Rows => new(_column!.Dictionary, _column.Ids, [], []);

    protected override void Compute(Frame frame, int count)
    {
        _column = (StringColumn)frame.Batch[index];
        Validity = _column.Validity;
    }
}

internal sealed class TextColumnKernel(int index, ColumnType type, bool nullable) : StringKernel(type, nullable)
{
    private TextColumn? _column;

    public override StringRows Rows => new(null, [], _column!.Data, _column.Ends);

    public override Column ToColumn(int count) => _column!;

    protected override void Compute(Frame frame, int count)
    {
        _column = (TextColumn)frame.Batch[index];
        Validity = _column.Validity;
    }
}

internal sealed class StringConstantKernel : StringKernel
{
    private readonly StringDictionary _own = new();
    private readonly int _id;

    public StringConstantKernel(string value)
        : base(ColumnType.String, nullable: false)
    {
        Value = value;
        Utf8 = Encoding.UTF8.GetBytes(value);
        _id = _own.Intern(Utf8);
    }

    public string Value { get; }

    public byte[] Utf8 { get; }

    protected override void Compute(Frame frame, int count) => Reserve(count, _own).Fill(_id);
}

internal sealed class NullStringKernel(ColumnType type) : StringKernel(type, nullable: true)
{
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        Reserve(count, Type == ColumnType.String ? frame.Strings : null).Clear();
        Validity = Bits.Own(ref _bits, null, count);
        Validity.AsSpan().Clear();
    }
}

/// <summary>The same bytes under another type: string, text, json.</summary>
internal sealed class StringCastKernel(StringKernel operand, ColumnType type) : StringKernel(type, operand.Nullable)
{
    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        Validity = operand.Validity;
        Reserve(count, Type == ColumnType.String ? frame.Strings : null);
        var rows = operand.Rows;
        for (var i = 0; i < count; i++)
        {
            Set(i, Bits.Get(operand.Validity, i) ? rows[i] : []);
        }
    }
}

/// <summary>A value computed from one string; false means null.</summary>
internal abstract class BytesFunction<T>
{
    public virtual bool CanFail => false;

    public abstract bool Apply(ReadOnlySpan<byte> utf8, out T result);
}

/// <summary>Computes once per distinct string of a dictionary, and per row for text.</summary>
internal sealed class StringMapKernel<T>(StringKernel operand, BytesFunction<T> function, ColumnType type)
    : Kernel<T>(type, operand.Nullable || function.CanFail)
    where T : struct
{
    private const byte Known = 1;
    private const byte KnownNull = 2;

    private ulong[] _bits = [];
    private StringDictionary? _dictionary;
    private byte[] _states = [];
    private T[] _cache = [];

    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        var rows = operand.Rows;
        var result = Reserve(count);
        var bits = function.CanFail ? Bits.Own(ref _bits, operand.Validity, count) : null;
        if (rows.Dictionary is { } dictionary)
        {
            Prepare(dictionary);
        }

        for (var i = 0; i < result.Length; i++)
        {
            if (!Bits.Get(operand.Validity, i))
            {
                continue;
            }

            bool found;
            if (rows.Dictionary is null)
            {
                found = function.Apply(rows[i], out result[i]);
            }
            else
            {
                var id = rows.Ids[i];
                if (_states[id] == 0)
                {
                    _states[id] = function.Apply(rows[i], out _cache[id]) ? Known : KnownNull;
                }

                result[i] = _cache[id];
                found = _states[id] == Known;
            }

            if (!found)
            {
                bits![i >> 6] &= ~(1UL << i);
            }
        }

        Validity = bits ?? operand.Validity;
    }

    private void Prepare(StringDictionary dictionary)
    {
        if (!ReferenceEquals(_dictionary, dictionary))
        {
            _dictionary = dictionary;
            Array.Clear(_states);
        }

        if (_states.Length < dictionary.Count)
        {
            var size = Math.Max(dictionary.Count * 2, 256);
            Array.Resize(ref _states, size);
            Array.Resize(ref _cache, size);
        }
    }
}

/// <summary>A string computed from one string; false means null.</summary>
internal abstract class BytesTransform
{
    public virtual bool CanFail => false;

    public abstract bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result);
}

/// <summary>Transforms once per distinct string of a dictionary, and per row for text.</summary>
internal sealed class StringTransformKernel(StringKernel operand, BytesTransform transform, ColumnType type)
    : StringKernel(type, operand.Nullable || transform.CanFail)
{
    private readonly ArrayBufferWriter<byte> _writer = new();
    private ulong[] _bits = [];
    private StringDictionary? _from;
    private StringDictionary? _to;
    private int[] _cache = [];

    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        var rows = operand.Rows;
        var isString = Type == ColumnType.String;
        var ids = Reserve(count, isString ? frame.Strings : null);
        var bits = Bits.Own(ref _bits, operand.Validity, count);
        var cached = isString && rows.Dictionary is not null;
        if (cached)
        {
            Prepare(rows.Dictionary!, frame.Strings);
        }

        for (var i = 0; i < count; i++)
        {
            if (!Bits.Get(operand.Validity, i))
            {
                Set(i, []);
                continue;
            }

            // The cache holds the id plus two; 1 is null, 0 unknown.
            ref var entry = ref cached ? ref _cache[rows.Ids[i]] : ref ids[i];
            if (cached && entry != 0)
            {
                ids[i] = Math.Max(0, entry - 2);
                if (entry == 1)
                {
                    bits[i >> 6] &= ~(1UL << i);
                }

                continue;
            }

            _writer.ResetWrittenCount();
            var found = transform.Apply(rows[i], _writer);
            Set(i, found ? _writer.WrittenSpan : []);
            if (!found)
            {
                bits[i >> 6] &= ~(1UL << i);
            }

            if (cached)
            {
                entry = found ? ids[i] + 2 : 1;
            }
        }

        Validity = operand.Validity is null && !transform.CanFail ? null : bits;
    }

    private void Prepare(StringDictionary from, StringDictionary to)
    {
        if (!ReferenceEquals(_from, from) || !ReferenceEquals(_to, to))
        {
            (_from, _to) = (from, to);
            Array.Clear(_cache);
        }

        if (_cache.Length < from.Count)
        {
            Array.Resize(ref _cache, Math.Max(from.Count * 2, 256));
        }
    }
}

internal enum Order
{
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
}

/// <summary>Compares two strings by bytes; by id when both are of one dictionary and only equality is asked.</summary>
internal sealed class StringCompareKernel(StringKernel left, StringKernel right, Order order)
    : Kernel<bool>(ColumnType.Bool, left.Nullable || right.Nullable)
{
    private ulong[] _both = [];

    protected override void Compute(Frame frame, int count)
    {
        left.Run(frame);
        right.Run(frame);
        Validity = Bits.And(ref _both, left.Validity, right.Validity, count);
        var a = left.Rows;
        var b = right.Rows;
        var result = Reserve(count);
        var byId = a.Dictionary is not null && ReferenceEquals(a.Dictionary, b.Dictionary) && order <= Order.NotEqual;
        for (var i = 0; i < result.Length; i++)
        {
            if (!Bits.Get(Validity, i))
            {
                continue;
            }

            result[i] = order switch
            {
                Order.Equal => byId ? a.Ids[i] == b.Ids[i] : a[i].SequenceEqual(b[i]),
                Order.NotEqual => byId ? a.Ids[i] != b.Ids[i] : !a[i].SequenceEqual(b[i]),
                Order.Less => a[i].SequenceCompareTo(b[i]) < 0,
                _ => a[i].SequenceCompareTo(b[i]) <= 0,
            };
        }
    }
}

/// <summary>Strings one after another; null when any is.</summary>
internal sealed class ConcatKernel(StringKernel[] parts, ColumnType type) : StringKernel(type, Array.Exists(parts, p => p.Nullable))
{
    private readonly ArrayBufferWriter<byte> _writer = new();
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        var bits = Bits.Own(ref _bits, null, count);
        foreach (var part in parts)
        {
            part.Run(frame);
            for (var w = 0; part.Validity is not null && w < (count + 63) >> 6; w++)
            {
                bits[w] &= part.Validity[w];
            }
        }

        Reserve(count, Type == ColumnType.String ? frame.Strings : null);
        for (var i = 0; i < count; i++)
        {
            _writer.ResetWrittenCount();
            for (var p = 0; p < parts.Length && Bits.Get(bits, i); p++)
            {
                _writer.Write(parts[p].Rows[i]);
            }

            Set(i, _writer.WrittenSpan);
        }

        Validity = Nullable ? bits : null;
    }
}

/// <summary>The value of the first condition that is true; null when none is.</summary>
internal sealed class StringCaseKernel(Kernel<bool>[] conditions, StringKernel[] values, ColumnType type) : StringKernel(type, nullable: true)
{
    private readonly BranchPicker _picker = new();
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        var branches = _picker.Pick(frame, conditions, count);
        foreach (var value in values)
        {
            value.Run(frame);
        }

        Reserve(count, Type == ColumnType.String ? frame.Strings : null);
        var bits = Bits.Own(ref _bits, null, count);
        for (var i = 0; i < count; i++)
        {
            if (branches[i] >= 0 && Bits.Get(values[branches[i]].Validity, i))
            {
                Set(i, values[branches[i]].Rows[i]);
                continue;
            }

            Set(i, []);
            bits[i >> 6] &= ~(1UL << i);
        }

        Validity = bits;
    }
}

/// <summary>The value under a key, '' when the map lacks it; looked up once per distinct map.</summary>
internal sealed class MapGetKernel(MapKernel map, byte[] key) : StringKernel(ColumnType.String, map.Nullable)
{
    private MapDictionary? _maps;
    private int[] _cache = [];

    protected override void Compute(Frame frame, int count)
    {
        map.Run(frame);
        Validity = map.Validity;
        var column = map.Column;
        var maps = column.Dictionary;
        if (!ReferenceEquals(_maps, maps))
        {
            _maps = maps;
            Array.Clear(_cache);
        }

        if (_cache.Length < maps.Count)
        {
            Array.Resize(ref _cache, Math.Max(maps.Count * 2, 256));
        }

        var ids = column.Ids;
        var result = Reserve(count, maps.Strings);
        for (var i = 0; i < ids.Length; i++)
        {
            ref var entry = ref _cache[ids[i]];
            if (entry == 0)
            {
                entry = Find(maps, ids[i]) + 1;
            }

            result[i] = entry - 1;
        }
    }

    private int Find(MapDictionary maps, int id)
    {
        foreach (var pair in maps[id])
        {
            if (maps.Strings[pair.Key].SequenceEqual(key))
            {
                return pair.Value;
            }
        }

        return 0;
    }
}

/// <summary>Values as text.</summary>
internal sealed class ToStringKernel<T>(Kernel<T> operand) : StringKernel(ColumnType.String, operand.Nullable)
    where T : struct
{
    private readonly byte[] _scratch = new byte[64];

    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        Validity = operand.Validity;
        var values = operand.Values;
        Reserve(count, frame.Strings);
        for (var i = 0; i < count; i++)
        {
            Set(i, Bits.Get(Validity, i) ? Format(values[i]) : []);
        }
    }

    private ReadOnlySpan<byte> Format(T value)
    {
        var invariant = System.Globalization.CultureInfo.InvariantCulture;
        var written = 0;
        if (value is bool b)
        {
            return b ? "true"u8 : "false"u8;
        }

        if (value is double d)
        {
            d.TryFormat(_scratch, out written, default, invariant);
        }
        else if (value is long ms && operand.Type == ColumnType.DateTime && Math.Abs((double)ms) < 6e13)
        {
            DateTimeOffset.FromUnixTimeMilliseconds(ms).TryFormat(_scratch, out written, "yyyy-MM-ddTHH:mm:ss.fffZ", invariant);
        }
        else if (value is long l)
        {
            l.TryFormat(_scratch, out written, default, invariant);
        }

        return _scratch.AsSpan(0, written);
    }
}
