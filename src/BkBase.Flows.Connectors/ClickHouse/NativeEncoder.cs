using System.Runtime.InteropServices;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>
/// Encodes rows of several batches as one ClickHouse Native block, column at a time, into a buffer that is kept.
/// One block at a time, one thread at a time. Batches may use different dictionary generations.
/// </summary>
public sealed class NativeEncoder
{
    private readonly NativeBuffer _out = new();
    private readonly LowCardinalityWriter _keys = new();

    /// <summary>The block; valid until the next call.</summary>
    /// <param name="schema">Schema of every part's batch.</param>
    /// <param name="parts">The rows, in order.</param>
    /// <param name="block">Value of the <c>_block</c> column.</param>
    public ReadOnlyMemory<byte> Encode(Schema schema, IReadOnlyList<BlockPart> parts, ulong block)
    {
        var rows = 0;
        foreach (var part in parts)
        {
            rows += part.Count;
        }

        _out.Truncate(0);
        _out.VarInt((ulong)schema.Count + 1);
        _out.VarInt((ulong)rows);
        for (var c = 0; c < schema.Count; c++)
        {
            WriteColumn(schema[c], c, parts, rows);
        }

        Head(TableSchema.BlockColumn, "UInt64");
        MemoryMarshal.Cast<byte, ulong>(_out.Span(rows * sizeof(ulong))).Fill(block);
        return _out.Written;
    }

    private void Head(string name, string type)
    {
        _out.String(name);
        _out.String(type);
    }

    private void WriteColumn(Field field, int c, IReadOnlyList<BlockPart> parts, int rows)
    {
        var start = _out.Length;
        Head(field.Name, TableSchema.TypeOf(field));
        if (TableSchema.IsNullable(field))
        {
            WriteNullMap(c, parts);
        }

        switch (field.Type)
        {
            case ColumnType.Bool:
                WriteFixed<bool>(c, parts);
                break;
            case ColumnType.Int32:
                WriteFixed<int>(c, parts);
                break;
            case ColumnType.Int64 or ColumnType.DateTime:
                WriteFixed<long>(c, parts);
                break;
            case ColumnType.Float64:
                WriteFixed<double>(c, parts);
                break;
            case ColumnType.Map:
                WriteMaps(c, parts, rows);
                break;
            case ColumnType.String when !field.Nullable && WriteKeys(c, parts, rows):
                break;
            case ColumnType.String when !field.Nullable:
                // Nearly every row has its own value: plain strings are smaller, and the engine converts them.
                _out.Truncate(start);
                Head(field.Name, "String");
                WriteStrings(c, parts);
                break;
            default:
                WriteStrings(c, parts);
                break;
        }
    }

    private void WriteNullMap(int c, IReadOnlyList<BlockPart> parts)
    {
        foreach (var part in parts)
        {
            var column = part.Batch[c];
            var map = _out.Span(part.Count);
            if (column.Validity is null)
            {
                map.Clear();
                continue;
            }

            for (var i = 0; i < map.Length; i++)
            {
                map[i] = column.IsNull(part.Row(i)) ? (byte)1 : (byte)0;
            }
        }
    }

    private void WriteFixed<T>(int c, IReadOnlyList<BlockPart> parts)
        where T : unmanaged
    {
        foreach (var part in parts)
        {
            var values = ((FixedColumn<T>)part.Batch[c]).Values;
            if (part.Rows is null)
            {
                _out.Values(values.Slice(part.Start, part.Count));
                continue;
            }

            var target = MemoryMarshal.Cast<byte, T>(_out.Span(part.Count * System.Runtime.CompilerServices.Unsafe.SizeOf<T>()));
            var chosen = part.Rows.AsSpan(part.Start, part.Count);
            for (var i = 0; i < chosen.Length; i++)
            {
                target[i] = values[chosen[i]];
            }
        }
    }

    private void WriteStrings(int c, IReadOnlyList<BlockPart> parts)
    {
        foreach (var part in parts)
        {
            var column = part.Batch[c];
            for (var i = 0; i < part.Count; i++)
            {
                var row = part.Row(i);
                _out.String(column.IsNull(row) ? default : column is StringColumn s ? s[row] : ((TextColumn)column)[row]);
            }
        }
    }

    /// <summary>False when the column has too many distinct values for a dictionary to pay.</summary>
    private bool WriteKeys(int c, IReadOnlyList<BlockPart> parts, int rows)
    {
        _out.Int64(1);
        _keys.Begin(_out, rows);
        foreach (var part in parts)
        {
            var column = (StringColumn)part.Batch[c];
            _keys.Use(column.Dictionary);
            var ids = column.Ids;
            for (var i = 0; i < part.Count; i++)
            {
                _keys.Add(ids[part.Row(i)]);
            }
        }

        if (rows > 1000 && _keys.Count > rows / 4 * 3)
        {
            return false;
        }

        _keys.End();
        return true;
    }

    private void WriteMaps(int c, IReadOnlyList<BlockPart> parts, int rows)
    {
        _out.Int64(1);
        long pairs = 0;
        var offsets = _out.Length;
        _out.Span(rows * sizeof(long));
        foreach (var part in parts)
        {
            for (var i = 0; i < part.Count; i++, offsets += sizeof(long))
            {
                pairs += Pairs(part, c, i).Length;
                _out.PatchInt64(offsets, pairs);
            }
        }

        if (pairs == 0)
        {
            return;
        }

        _keys.Begin(_out, checked((int)pairs));
        foreach (var part in parts)
        {
            _keys.Use(((MapColumn)part.Batch[c]).Dictionary.Strings);
            for (var i = 0; i < part.Count; i++)
            {
                foreach (var pair in Pairs(part, c, i))
                {
                    _keys.Add(pair.Key);
                }
            }
        }

        _keys.End();
        foreach (var part in parts)
        {
            var strings = ((MapColumn)part.Batch[c]).Dictionary.Strings;
            for (var i = 0; i < part.Count; i++)
            {
                foreach (var pair in Pairs(part, c, i))
                {
                    _out.String(strings[pair.Value]);
                }
            }
        }
    }

    private static ReadOnlySpan<MapPair> Pairs(BlockPart part, int c, int position)
    {
        var column = (MapColumn)part.Batch[c];
        var row = part.Row(position);
        return column.IsNull(row) ? default : column.Dictionary[column.Ids[row]];
    }
}
