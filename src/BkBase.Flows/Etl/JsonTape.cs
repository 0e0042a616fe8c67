using System.Buffers.Text;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// One JSON text read into a reused list of nodes: any value is reached without reading twice, nothing is allocated per
/// record. Strings with escapes are unescaped while reading, so that all that can be wrong with a text shows here.
/// </summary>
internal sealed class JsonTape
{
    /// <summary>Levels of nesting a record may have.</summary>
    public const int DepthMax = 64;

    private readonly int[] _parents = new int[DepthMax];
    private Node[] _nodes = new Node[256];
    private byte[] _unescaped = new byte[1024];
    private int _count;
    private int _unescapedUsed;

    /// <summary>Reads one value. Null when it is good, else a code of <see cref="RejectReason"/>.</summary>
    /// <param name="json">The text; white space, NUL bytes and newlines may follow the value.</param>
    /// <param name="consumed">Where the value ends.</param>
    /// <param name="depthMax">Levels of nesting allowed.</param>
    /// <param name="isPrefix">True to stop after the first value, whatever follows.</param>
    public string? Read(ReadOnlySpan<byte> json, out int consumed, int depthMax = DepthMax, bool isPrefix = false)
    {
        (_count, _unescapedUsed, consumed) = (0, 0, 0);
        if (!isPrefix)
        {
            json = json.TrimEnd("\0\n\r\t "u8);
            if (!Utf8.IsValid(json))
            {
                return RejectReason.BadEncoding;
            }
        }

        try
        {
            return ReadNodes(json, depthMax, isPrefix, out consumed);
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

    /// <summary>The value read, over the same bytes.</summary>
    public JsonItem Root(ReadOnlySpan<byte> json) => new(this, json, 0);

    /// <summary>A value that is not there.</summary>
    public JsonItem None => new(this, default, -1);

    internal ref readonly Node At(int index) => ref _nodes[index];

    internal ReadOnlySpan<byte> Unescaped(in Node node) => _unescaped.AsSpan(node.TextStart, node.TextLength);

    private string? ReadNodes(ReadOnlySpan<byte> json, int depthMax, bool isPrefix, out int consumed)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 1000 });
        var depth = 0;
        consumed = 0;
        while (reader.Read())
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject or JsonTokenType.StartArray:
                    if (depth >= depthMax)
                    {
                        return RejectReason.TooDeep;
                    }

                    _parents[depth++] = Add(ref reader, json.Length);
                    break;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    ref var parent = ref _nodes[_parents[--depth]];
                    parent.End = _count;
                    parent.Length = (int)reader.BytesConsumed - parent.Start;
                    break;
                default:
                    Add(ref reader, json.Length);
                    break;
            }

            consumed = (int)reader.BytesConsumed;
            if (isPrefix && depth == 0)
            {
                return null;
            }
        }

        return null;
    }

    private int Add(ref Utf8JsonReader reader, int bytes)
    {
        if (_count == _nodes.Length)
        {
            Array.Resize(ref _nodes, _count * 2);
        }

        ref var node = ref _nodes[_count];
        var start = (int)reader.TokenStartIndex;
        var isText = reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName;
        node = new Node
        {
            Type = reader.TokenType,
            Start = start,
            Length = reader.ValueSpan.Length + (isText ? 2 : 0),
            TextStart = start + 1,
            TextLength = reader.ValueSpan.Length,
            End = _count + 1,
            IsEscaped = reader.ValueIsEscaped,
        };
        if (node.IsEscaped)
        {
            if (_unescapedUsed + reader.ValueSpan.Length > _unescaped.Length)
            {
                Array.Resize(ref _unescaped, Math.Max(_unescaped.Length * 2, _unescapedUsed + bytes));
            }

            node.TextStart = _unescapedUsed;
            node.TextLength = reader.CopyString(_unescaped.AsSpan(_unescapedUsed));
            _unescapedUsed += node.TextLength;
        }

        return _count++;
    }

    internal struct Node
    {
        public JsonTokenType Type;
        public bool IsEscaped;
        public int Start;
        public int Length;
        public int TextStart;
        public int TextLength;
        public int End;
    }
}

/// <summary>One value on a <see cref="JsonTape"/>; a missing one answers all questions with nothing.</summary>
internal readonly ref struct JsonItem(JsonTape tape, ReadOnlySpan<byte> json, int at)
{
    private readonly ReadOnlySpan<byte> _json = json;

    public bool Exists => at >= 0;

    public JsonTokenType Type => at < 0 ? JsonTokenType.None : tape.At(at).Type;

    public bool IsObject => Type == JsonTokenType.StartObject;

    public bool IsArray => Type == JsonTokenType.StartArray;

    public bool IsText => Type == JsonTokenType.String;

    public bool IsNumber => Type == JsonTokenType.Number;

    /// <summary>Missing or null.</summary>
    public bool IsNothing => Type is JsonTokenType.None or JsonTokenType.Null;

    public bool IsEmpty => tape.At(at).End == at + 1;

    /// <summary>Where the value starts in the text, quote included.</summary>
    public int Start => tape.At(at).Start;

    /// <summary>The bytes as written, quotes included.</summary>
    public ReadOnlySpan<byte> Raw => at < 0 ? default : _json.Slice(tape.At(at).Start, tape.At(at).Length);

    /// <summary>The text of a string, unescaped; the bytes as written of anything else.</summary>
    public ReadOnlySpan<byte> Text
    {
        get
        {
            if (at < 0)
            {
                return default;
            }

            ref readonly var node = ref tape.At(at);
            return node.Type is not (JsonTokenType.String or JsonTokenType.PropertyName) ? Raw
                : node.IsEscaped ? tape.Unescaped(node) : _json.Slice(node.TextStart, node.TextLength);
        }
    }

    public string String => Encoding.UTF8.GetString(Text);

    /// <summary>Value of a property; the last one when it stands several times.</summary>
    public JsonItem this[ReadOnlySpan<byte> name]
    {
        get
        {
            var found = -1;
            if (IsObject)
            {
                var end = tape.At(at).End;
                for (var i = at + 1; i < end; i = tape.At(i + 1).End)
                {
                    if (new JsonItem(tape, _json, i).Text.SequenceEqual(name))
                    {
                        found = i + 1;
                    }
                }
            }

            return new JsonItem(tape, _json, found);
        }
    }

    /// <summary>Element of an array.</summary>
    public JsonItem this[int index]
    {
        get
        {
            if (IsArray)
            {
                foreach (var element in Elements)
                {
                    if (index-- == 0)
                    {
                        return element;
                    }
                }
            }

            return new JsonItem(tape, _json, -1);
        }
    }

    /// <summary>Elements of an array; none of anything else.</summary>
    public Walk Elements => new(tape, _json, at, IsArray ? tape.At(at).End : at, 0);

    /// <summary>Properties of an object, names and values; none of anything else. Of a repeated name all are given, in order.</summary>
    public Walk Properties => new(tape, _json, at, IsObject ? tape.At(at).End : at, 1);

    /// <summary>Name of a property met in <see cref="Properties"/>.</summary>
    public ReadOnlySpan<byte> Name => new JsonItem(tape, _json, at - 1).Text;

    /// <summary>Name of a property as written, quotes included.</summary>
    public ReadOnlySpan<byte> RawName => new JsonItem(tape, _json, at - 1).Raw;

    public bool TryInt64(out long value)
    {
        value = 0;
        if (!IsNumber)
        {
            return false;
        }

        if (Utf8Parser.TryParse(Raw, out value, out var used) && used == Raw.Length)
        {
            return true;
        }

        if (TryDouble(out var number) && Math.Abs(number) < 9e18 && number == Math.Truncate(number))
        {
            value = (long)number;
            return true;
        }

        return false;
    }

    public bool TryDouble(out double value)
    {
        value = 0;
        return IsNumber && Utf8Parser.TryParse(Raw, out value, out var used) && used == Raw.Length && double.IsFinite(value);
    }

    /// <summary>Steps over elements or properties.</summary>
    public ref struct Walk(JsonTape tape, ReadOnlySpan<byte> json, int at, int end, int skip)
    {
        private readonly ReadOnlySpan<byte> _json = json;
        private int _next = at + 1;

        public JsonItem Current { get; private set; }

        public readonly Walk GetEnumerator() => this;

        public bool MoveNext()
        {
            if (_next >= end)
            {
                return false;
            }

            Current = new JsonItem(tape, _json, _next + skip);
            _next = tape.At(_next + skip).End;
            return true;
        }
    }
}
