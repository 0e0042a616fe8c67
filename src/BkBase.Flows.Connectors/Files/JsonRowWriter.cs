using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Files;

/// <summary>
/// Writes rows of a schema as JSON objects into a buffer that is kept: one key per column in the schema's order,
/// datetimes as Unix milliseconds, maps as objects, json columns as they are, nulls as <c>null</c>. No object per row. A
/// row never holds a line feed. Bytes that are not UTF-8 become U+FFFD. One thread at a time.
/// </summary>
public sealed class JsonRowWriter
{
    private static readonly SearchValues<byte> Escaped = SearchValues.Create([.. Enumerable.Range(0, 32).Select(b => (byte)b), (byte)'"', (byte)'\\']);
    private readonly byte[][] _names;
    private readonly ColumnType[] _types;
    private byte[] _buffer = new byte[1 << 16];
    private int _length;

    public JsonRowWriter(Schema schema)
    {
        _types = [.. schema.Fields.Select(f => f.Type)];
        _names = [.. schema.Fields.Select((f, i) => Encoding.UTF8.GetBytes($"{(i == 0 ? '{' : ',')}\"{JsonEncodedText.Encode(f.Name)}\":"))];
    }

    /// <summary>What was written since the last <see cref="Clear"/>.</summary>
    public ReadOnlySpan<byte> Written => _buffer.AsSpan(0, _length);

    /// <summary>Bytes written since the last <see cref="Clear"/>.</summary>
    public int Length => _length;

    /// <summary>Empties the buffer. A buffer that one large row has grown is given up.</summary>
    public void Clear()
    {
        _length = 0;
        if (_buffer.Length > 16 << 20)
        {
            _buffer = new byte[1 << 16];
        }
    }

    /// <summary>Adds one row as a JSON object.</summary>
    public void Write(RecordBatch batch, int row)
    {
        for (var c = 0; c < _types.Length; c++)
        {
            Raw(_names[c]);
            var column = batch[c];
            if (column.IsNull(row))
            {
                Raw("null"u8);
                continue;
            }

            switch (_types[c])
            {
                case ColumnType.String:
                    Text(((StringColumn)column)[row]);
                    break;
                case ColumnType.Text:
                    Text(((TextColumn)column)[row]);
                    break;
                case ColumnType.Map:
                    Map((MapColumn)column, row);
                    break;
                case ColumnType.Json:
                    Json(((TextColumn)column)[row]);
                    break;
                default:
                    Number(column, row);
                    break;
            }
        }

        Raw("}"u8);
    }

    /// <summary>Adds a line feed.</summary>
    public void WriteLine() => Raw("\n"u8);

    /// <summary>Adds the bare value of one column that is not null: texts without quotes, numbers as in JSON. For keys.</summary>
    public void WriteValue(RecordBatch batch, int column, int row)
    {
        switch (_types[column])
        {
            case ColumnType.String:
                Raw(((StringColumn)batch[column])[row]);
                break;
            case ColumnType.Text or ColumnType.Json:
                Raw(((TextColumn)batch[column])[row]);
                break;
            case ColumnType.Map:
                Map((MapColumn)batch[column], row);
                break;
            default:
                Number(batch[column], row);
                break;
        }
    }

    private void Number(Column column, int row)
    {
        var room = Room(32);
        int written;
        switch (column)
        {
            case Int64Column longs:
                Utf8Formatter.TryFormat(longs[row], room, out written);
                break;
            case Int32Column ints:
                Utf8Formatter.TryFormat(ints[row], room, out written);
                break;
            case Float64Column doubles when double.IsFinite(doubles[row]):
                doubles[row].TryFormat(room, out written, default, CultureInfo.InvariantCulture);
                break;
            case BoolColumn bools:
                var word = bools[row] ? "true"u8 : "false"u8;
                word.CopyTo(room);
                written = word.Length;
                break;
            default:
                "null"u8.CopyTo(room);
                written = 4;
                break;
        }

        _length += written;
    }

    private void Map(MapColumn column, int row)
    {
        var strings = column.Dictionary.Strings;
        var separator = "{"u8;
        foreach (var pair in column.Dictionary[column.Ids[row]])
        {
            Raw(separator);
            separator = ","u8;
            Text(strings[pair.Key]);
            Raw(":"u8);
            Text(strings[pair.Value]);
        }

        Raw(separator[0] == '{' ? "{}"u8 : "}"u8);
    }

    private void Json(ReadOnlySpan<byte> json)
    {
        if (json.IsEmpty)
        {
            Raw("null"u8);
            return;
        }

        var room = Room(json.Length);
        json.CopyTo(room);
        _length += json.Length;

        // Line ends stand only between tokens: inside strings JSON escapes them.
        room = room[..json.Length];
        room.Replace((byte)'\n', (byte)' ');
        room.Replace((byte)'\r', (byte)' ');
    }

    private void Text(ReadOnlySpan<byte> utf8)
    {
        if (!Utf8.IsValid(utf8))
        {
            utf8 = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(utf8));
        }

        var room = Room(utf8.Length + 2);
        room[0] = (byte)'"';
        var plain = utf8.IndexOfAny(Escaped);
        if (plain < 0)
        {
            utf8.CopyTo(room[1..]);
            room[utf8.Length + 1] = (byte)'"';
            _length += utf8.Length + 2;
            return;
        }

        _length++;
        for (; plain >= 0; plain = utf8.IndexOfAny(Escaped))
        {
            Raw(utf8[..plain]);
            Escape(utf8[plain]);
            utf8 = utf8[(plain + 1)..];
        }

        Raw(utf8);
        Raw("\""u8);
    }

    private void Escape(byte b)
    {
        var room = Room(6);
        room[0] = (byte)'\\';
        switch (b)
        {
            case (byte)'"' or (byte)'\\':
                room[1] = b;
                _length += 2;
                return;
            case (byte)'\n':
                room[1] = (byte)'n';
                _length += 2;
                return;
            case (byte)'\r':
                room[1] = (byte)'r';
                _length += 2;
                return;
            case (byte)'\t':
                room[1] = (byte)'t';
                _length += 2;
                return;
            default:
                "u00"u8.CopyTo(room[1..]);
                room[4] = (byte)('0' + (b >> 4));
                room[5] = "0123456789abcdef"u8[b & 15];
                _length += 6;
                return;
        }
    }

    private void Raw(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(Room(bytes.Length));
        _length += bytes.Length;
    }

    private Span<byte> Room(int bytes)
    {
        if (_buffer.Length - _length < bytes)
        {
            Array.Resize(ref _buffer, Math.Max(checked(_length + bytes), (int)Math.Min(Array.MaxLength, _buffer.Length * 2L)));
        }

        return _buffer.AsSpan(_length);
    }
}
