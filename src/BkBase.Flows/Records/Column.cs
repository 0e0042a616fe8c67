using System.Text;

namespace BkBase.Flows.Records;

/// <summary>
/// The values of one field for all rows of a batch. Immutable once in a batch: arrays may be longer than
/// <see cref="Length"/> and are never written again.
/// </summary>
public abstract class Column(int length, ulong[]? validity)
{
    public int Length { get; } = length;

    /// <summary>One bit per row, set where a value is present; null when every row has one.</summary>
    public ulong[]? Validity { get; } = validity;

    public bool IsNull(int row) => Validity is { } bits && (bits[row >> 6] & (1UL << (row & 63))) == 0;

    /// <summary>A column of the chosen rows, in the order given.</summary>
    public abstract Column Take(ReadOnlySpan<int> rows);

    /// <summary>The value as object (null, bool, int, long, double, string, or string map). For tests and edges only.</summary>
    public object? GetValue(int row) => IsNull(row) ? null : ValueAt(row);

    private protected abstract object ValueAt(int row);

    private protected ulong[]? TakeValidity(ReadOnlySpan<int> rows)
    {
        if (Validity is null)
        {
            return null;
        }

        var bits = new ulong[(rows.Length + 63) >> 6];
        for (var i = 0; i < rows.Length; i++)
        {
            if (!IsNull(rows[i]))
            {
                bits[i >> 6] |= 1UL << (i & 63);
            }
        }

        return bits;
    }

    private protected static T[] TakeValues<T>(T[] values, ReadOnlySpan<int> rows)
    {
        var taken = new T[rows.Length];
        for (var i = 0; i < rows.Length; i++)
        {
            taken[i] = values[rows[i]];
        }

        return taken;
    }
}

/// <summary>A column whose values are one array of fixed-size values.</summary>
public abstract class FixedColumn<T>(T[] values, int length, ulong[]? validity) : Column(length, validity)
    where T : struct
{
    public ReadOnlySpan<T> Values => values.AsSpan(0, Length);

    public T this[int row] => values[row];

    private protected T[] Array => values;

    private protected override object ValueAt(int row) => values[row];
}

/// <summary>bool values.</summary>
public sealed class BoolColumn(bool[] values, int length, ulong[]? validity = null) : FixedColumn<bool>(values, length, validity)
{
    public override Column Take(ReadOnlySpan<int> rows) => new BoolColumn(TakeValues(Array, rows), rows.Length, TakeValidity(rows));
}

/// <summary>int32 values.</summary>
public sealed class Int32Column(int[] values, int length, ulong[]? validity = null) : FixedColumn<int>(values, length, validity)
{
    public override Column Take(ReadOnlySpan<int> rows) => new Int32Column(TakeValues(Array, rows), rows.Length, TakeValidity(rows));
}

/// <summary>int64 values; also datetime (Unix milliseconds).</summary>
public sealed class Int64Column(long[] values, int length, ulong[]? validity = null) : FixedColumn<long>(values, length, validity)
{
    public override Column Take(ReadOnlySpan<int> rows) => new Int64Column(TakeValues(Array, rows), rows.Length, TakeValidity(rows));
}

/// <summary>float64 values. NaN and infinities do not get here: they are rejected on ingest and null in expressions.</summary>
public sealed class Float64Column(double[] values, int length, ulong[]? validity = null) : FixedColumn<double>(values, length, validity)
{
    public override Column Take(ReadOnlySpan<int> rows) => new Float64Column(TakeValues(Array, rows), rows.Length, TakeValidity(rows));
}

/// <summary>string values as ids of a <see cref="StringDictionary"/>.</summary>
public sealed class StringColumn(int[] ids, int length, StringDictionary dictionary, ulong[]? validity = null) : Column(length, validity)
{
    public StringDictionary Dictionary { get; } = dictionary;

    public ReadOnlySpan<int> Ids => ids.AsSpan(0, Length);

    /// <summary>UTF-8 bytes of a row.</summary>
    public ReadOnlySpan<byte> this[int row] => Dictionary[ids[row]];

    public override Column Take(ReadOnlySpan<int> rows) => new StringColumn(TakeValues(ids, rows), rows.Length, Dictionary, TakeValidity(rows));

    private protected override object ValueAt(int row) => Dictionary.Text(ids[row]);
}

/// <summary>map&lt;string,string&gt; values as ids of a <see cref="MapDictionary"/>.</summary>
public sealed class MapColumn(int[] ids, int length, MapDictionary dictionary, ulong[]? validity = null) : Column(length, validity)
{
    public MapDictionary Dictionary { get; } = dictionary;

    public ReadOnlySpan<int> Ids => ids.AsSpan(0, Length);

    public override Column Take(ReadOnlySpan<int> rows) => new MapColumn(TakeValues(ids, rows), rows.Length, Dictionary, TakeValidity(rows));

    private protected override object ValueAt(int row)
    {
        var map = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var pair in Dictionary[ids[row]])
        {
            map[Dictionary.Strings.Text(pair.Key)] = Dictionary.Strings.Text(pair.Value);
        }

        return map;
    }
}

/// <summary>text and json values: UTF-8 bytes one after another.</summary>
/// <param name="data">Bytes of all rows.</param>
/// <param name="ends">End of each row in <paramref name="data"/>; a row starts where the one before ends.</param>
public sealed class TextColumn(byte[] data, int[] ends, int length, ulong[]? validity = null) : Column(length, validity)
{
    public ReadOnlySpan<byte> Data => data.AsSpan(0, Length == 0 ? 0 : ends[Length - 1]);

    public ReadOnlySpan<int> Ends => ends.AsSpan(0, Length);

    /// <summary>UTF-8 bytes of a row.</summary>
    public ReadOnlySpan<byte> this[int row] => data.AsSpan((row == 0 ? 0 : ends[row - 1])..ends[row]);

    public override Column Take(ReadOnlySpan<int> rows)
    {
        var total = 0;
        foreach (var row in rows)
        {
            total += this[row].Length;
        }

        var bytes = new byte[total];
        var taken = new int[rows.Length];
        var at = 0;
        for (var i = 0; i < rows.Length; i++)
        {
            var value = this[rows[i]];
            value.CopyTo(bytes.AsSpan(at));
            taken[i] = at += value.Length;
        }

        return new TextColumn(bytes, taken, rows.Length, TakeValidity(rows));
    }

    private protected override object ValueAt(int row) => Encoding.UTF8.GetString(this[row]);
}
