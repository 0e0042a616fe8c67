using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>What a value of the clean format is.</summary>
internal enum CleanKind : byte
{
    Null,
    Bool,
    Number,
    Text,
    List,
    Map,
}

/// <summary>
/// The values that one record of the clean format passes through: JSON read, texts cut, lists zipped. All lie in arrays
/// that are reused from record to record; a value is an index into them.
/// </summary>
internal sealed class CleanValues
{
    /// <summary>No value.</summary>
    public const int None = -1;

    // A record of many megabytes must not keep its arrays for ever.
    private const int BytesKept = 1 << 22;

    private readonly int[] _open = new int[JsonTape.DepthMax];
    private readonly ArrayBufferWriter<byte> _json = new();
    private Value[] _values = new Value[256];
    private int[] _children = new int[256];
    private int[] _pending = new int[64];
    private byte[] _bytes = new byte[4096];
    private int _count;
    private int _childCount;
    private int _used;

    /// <summary>Forgets all values.</summary>
    public void Clear()
    {
        (_count, _childCount, _used) = (0, 0, 0);
        if (_bytes.Length > BytesKept)
        {
            (_values, _children, _pending, _bytes) = (new Value[256], new int[256], new int[64], new byte[4096]);
        }
    }

    public CleanKind Kind(int value) => value < 0 ? CleanKind.Null : _values[value].Kind;

    /// <summary>Bytes of a text (unescaped), a number or a boolean (as written); nothing of anything else.</summary>
    public ReadOnlySpan<byte> Text(int value) =>
        Kind(value) is CleanKind.Text or CleanKind.Number or CleanKind.Bool ? _bytes.AsSpan(_values[value].Start, _values[value].Length) : default;

    /// <summary>Elements of a list, entries of a map.</summary>
    public int Count(int value) => Kind(value) switch
    {
        CleanKind.List => _values[value].Length,
        CleanKind.Map => _values[value].Length / 2,
        _ => 0,
    };

    /// <summary>An element of a list; <see cref="None"/> outside of it.</summary>
    public int Item(int list, int index) =>
        Kind(list) == CleanKind.List && (uint)index < (uint)_values[list].Length ? _children[_values[list].Start + index] : None;

    public int Key(int map, int index) => _children[_values[map].Start + (index * 2)];

    public int ValueAt(int map, int index) => _children[_values[map].Start + (index * 2) + 1];

    /// <summary>What stands under a key; the last one when it stands several times, <see cref="None"/> when it is absent or null.</summary>
    public int Find(int map, ReadOnlySpan<byte> key)
    {
        if (Kind(map) == CleanKind.Map)
        {
            for (var i = Count(map) - 1; i >= 0; i--)
            {
                if (Text(Key(map, i)).SequenceEqual(key))
                {
                    return Kind(ValueAt(map, i)) == CleanKind.Null ? None : ValueAt(map, i);
                }
            }
        }

        return None;
    }

    public int Add(CleanKind kind, ReadOnlySpan<byte> utf8)
    {
        Reserve(utf8.Length);
        utf8.CopyTo(_bytes.AsSpan(_used));
        _used += utf8.Length;
        return Add(kind, _used - utf8.Length, utf8.Length);
    }

    /// <summary>A part of a text, without copying.</summary>
    public int Slice(int text, int start, int length) => Add(CleanKind.Text, _values[text].Start + start, length);

    public int AddList(ReadOnlySpan<int> items) => AddChildren(CleanKind.List, items);

    /// <summary>A map of keys and values in turn.</summary>
    public int AddMap(ReadOnlySpan<int> entries) => AddChildren(CleanKind.Map, entries);

    /// <summary>A list without its first element, without copying.</summary>
    public int Tail(int list) => Add(CleanKind.List, _values[list].Start + 1, _values[list].Length - 1);

    /// <summary>Reads a text as one JSON value. Null when it is good, else a code of <see cref="RejectReason"/>.</summary>
    public string? ReadJson(int text, out int value)
    {
        value = None;
        try
        {
            return Read(_values[text].Start, Text(text), out value);
        }
        catch (JsonException)
        {
            return RejectReason.NotJson;
        }
        catch (InvalidOperationException)
        {
            // Half a surrogate pair, written as an escape.
            return RejectReason.BadEncoding;
        }
    }

    /// <summary>Any value as text: of a list or map its JSON, without white space. Good until the next call.</summary>
    public ReadOnlySpan<byte> AsText(int value)
    {
        if (Kind(value) is not (CleanKind.List or CleanKind.Map))
        {
            return Text(value);
        }

        _json.ResetWrittenCount();
        using var writer = new Utf8JsonWriter(_json, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        Write(writer, value);
        writer.Flush();
        return _json.WrittenSpan;
    }

    private void Write(Utf8JsonWriter writer, int value)
    {
        switch (Kind(value))
        {
            case CleanKind.Null:
                writer.WriteNullValue();
                break;
            case CleanKind.Text:
                writer.WriteStringValue(Text(value));
                break;
            case CleanKind.List:
                writer.WriteStartArray();
                for (var i = 0; i < Count(value); i++)
                {
                    Write(writer, Item(value, i));
                }

                writer.WriteEndArray();
                break;
            case CleanKind.Map:
                writer.WriteStartObject();
                for (var i = 0; i < Count(value); i++)
                {
                    writer.WritePropertyName(Text(Key(value, i)));
                    Write(writer, ValueAt(value, i));
                }

                writer.WriteEndObject();
                break;
            default:
                writer.WriteRawValue(Text(value), skipInputValidation: true);
                break;
        }
    }

    private string? Read(int offset, ReadOnlySpan<byte> json, out int value)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 1000 });
        var (depth, pending) = (0, 0);
        value = None;
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject or JsonTokenType.StartArray:
                    if (depth == JsonTape.DepthMax)
                    {
                        return RejectReason.TooDeep;
                    }

                    _open[depth++] = pending;
                    continue;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    var start = _open[--depth];
                    value = AddChildren(reader.TokenType == JsonTokenType.EndObject ? CleanKind.Map : CleanKind.List, _pending.AsSpan(start, pending - start));
                    pending = start;
                    break;
                default:
                    value = AddScalar(ref reader, offset);
                    break;
            }

            if (pending == _pending.Length)
            {
                Array.Resize(ref _pending, pending * 2);
            }

            _pending[pending++] = value;
        }

        return null;
    }

    private int AddScalar(ref Utf8JsonReader reader, int offset)
    {
        var kind = reader.TokenType switch
        {
            JsonTokenType.String or JsonTokenType.PropertyName => CleanKind.Text,
            JsonTokenType.Number => CleanKind.Number,
            JsonTokenType.True or JsonTokenType.False => CleanKind.Bool,
            _ => CleanKind.Null,
        };
        if (!reader.ValueIsEscaped)
        {
            return Add(kind, offset + (int)reader.TokenStartIndex + (kind == CleanKind.Text ? 1 : 0), reader.ValueSpan.Length);
        }

        Reserve(reader.ValueSpan.Length);
        var length = reader.CopyString(_bytes.AsSpan(_used));
        _used += length;
        return Add(CleanKind.Text, _used - length, length);
    }

    private int AddChildren(CleanKind kind, ReadOnlySpan<int> children)
    {
        if (_childCount + children.Length > _children.Length)
        {
            Array.Resize(ref _children, Math.Max(_children.Length * 2, _childCount + children.Length));
        }

        children.CopyTo(_children.AsSpan(_childCount));
        _childCount += children.Length;
        return Add(kind, _childCount - children.Length, children.Length);
    }

    private int Add(CleanKind kind, int start, int length)
    {
        if (_count == _values.Length)
        {
            Array.Resize(ref _values, _count * 2);
        }

        _values[_count] = new Value { Kind = kind, Start = start, Length = length };
        return _count++;
    }

    private void Reserve(int bytes)
    {
        if (_used + bytes > _bytes.Length)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _used + bytes));
        }
    }

    private struct Value
    {
        public CleanKind Kind;
        public int Start;
        public int Length;
    }
}
