using System.Buffers;
using System.Buffers.Binary;
using System.Buffers.Text;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text.Unicode;

namespace BkBase.Flows.Etl;

/// <summary>
/// Steps over JSON without writing anything down. Takes a subset of what is allowed (names and texts without escapes,
/// where they are asked for) and takes nothing that is not: every call that answers false leaves it to a
/// <see cref="JsonTape"/> to say what is there.
/// </summary>
internal ref struct JsonScan(ReadOnlySpan<byte> json)
{
    private const int SkipDepthMax = 32;
    private static readonly double[] Powers = [.. Enumerable.Range(0, 23).Select(i => double.Parse($"1e{i}", CultureInfo.InvariantCulture))];

    private static readonly SearchValues<byte> HexDigits = SearchValues.Create("0123456789abcdefABCDEF"u8);

    private readonly ReadOnlySpan<byte> _json = json;

    /// <summary>The next byte.</summary>
    public int At { get; set; }

    public readonly bool IsAtEnd => At == _json.Length;

    public readonly ReadOnlySpan<byte> From(int start) => _json[start..At];

    public readonly ReadOnlySpan<byte> Rest => _json[At..];

    /// <summary>The next byte that is not white space, not taken; 0 at the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte Peek()
    {
        var at = At;
        return (uint)at < (uint)_json.Length && _json[at] > ' ' ? _json[at] : PeekBehindSpace();
    }

    /// <summary>Takes this byte, and white space before it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Take(byte expected)
    {
        if (Peek() != expected)
        {
            return false;
        }

        At++;
        return true;
    }

    /// <summary>Takes a name without escapes and the colon after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryName(out ReadOnlySpan<byte> name) => TryText(out name) && Take((byte)':');

    /// <summary>Takes a text without escapes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryText(out ReadOnlySpan<byte> text)
    {
        if (Take((byte)'"'))
        {
            var start = At;
            if (start + Vector256<byte>.Count <= _json.Length)
            {
                var bits = Special(Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(_json), (nuint)start));
                if (bits != 0)
                {
                    var end = start + System.Numerics.BitOperations.TrailingZeroCount(bits);
                    if (_json[end] == '"')
                    {
                        text = _json[start..end];
                        At = end + 1;
                        return true;
                    }
                }
            }

            return TryLongText(out text, out var isEscaped) && !isEscaped;
        }

        text = default;
        return false;
    }

    /// <summary>Takes a time: a whole number above zero, below 1e18.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTime(out long value)
    {
        value = 0;
        if (Peek() is < (byte)'1' or > (byte)'9')
        {
            return false;
        }

        var (start, at) = (At, At);
        if (at + 2 * sizeof(ulong) <= _json.Length && TryEight(BinaryPrimitives.ReadUInt64LittleEndian(_json[at..]), out var eight))
        {
            value = eight;
            at += sizeof(ulong);
        }

        for (; (uint)at < (uint)_json.Length; at++)
        {
            var digit = (uint)_json[at] - '0';
            if (digit > 9)
            {
                break;
            }

            value = (value * 10) + digit;
        }

        At = at;
        return at - start <= 18;
    }

    /// <summary>Takes a finite number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryNumber(out double value)
    {
        var isNegative = Peek() == '-';
        var start = At;
        var at = isNegative ? start + 1 : start;
        var first = at;
        var mantissa = 0UL;
        uint digit;
        while ((uint)at < (uint)_json.Length && (digit = (uint)_json[at] - '0') <= 9)
        {
            mantissa = (mantissa * 10) + digit;
            at++;
        }

        var digits = at - first;
        var isGood = digits > 0 && (digits == 1 || _json[first] != '0');
        var fraction = 0;
        if ((uint)at < (uint)_json.Length && _json[at] == '.')
        {
            var point = ++at;
            while ((uint)at < (uint)_json.Length && (digit = (uint)_json[at] - '0') <= 9)
            {
                mantissa = (mantissa * 10) + digit;
                at++;
            }

            fraction = at - point;
            isGood &= fraction > 0;
        }

        At = at;
        if (!isGood || digits + fraction > 18 || mantissa >= 1UL << 53 || ((uint)at < (uint)_json.Length && (_json[at] | 0x20) == 'e'))
        {
            return TryLongNumber(start, isGood, out value);
        }

        // Both sides are exact, so the quotient is rounded once, as it must be.
        value = fraction == 0 ? mantissa : mantissa / Powers[fraction];
        value = isNegative ? -value : value;
        return true;
    }

    /// <summary>Takes null, true, false or a number, as written.</summary>
    public bool TryBare(out ReadOnlySpan<byte> raw)
    {
        var first = Peek();
        var start = At;
        var isTaken = first switch
        {
            (byte)'n' => TakeWord("null"u8),
            (byte)'t' => TakeWord("true"u8),
            (byte)'f' => TakeWord("false"u8),
            _ => SkipNumber(),
        };
        raw = From(start);
        return isTaken;
    }

    /// <summary>Takes any value.</summary>
    public bool TrySkip()
    {
        // One bit per level: set in an object.
        var (levels, depth) = (0UL, 0);
        while (true)
        {
            var next = Peek();
            if (next is (byte)'{' or (byte)'[')
            {
                At++;
                if (depth == SkipDepthMax)
                {
                    return false;
                }

                levels = (levels << 1) | (next == '{' ? 1UL : 0);
                depth++;
                if (Peek() != (next == '{' ? '}' : ']'))
                {
                    if (next == '{' && !SkipName())
                    {
                        return false;
                    }

                    continue;
                }
            }
            else if (next == '"' ? !SkipText() : !TryBare(out _))
            {
                return false;
            }

            while (depth > 0 && Take((levels & 1) != 0 ? (byte)'}' : (byte)']'))
            {
                (levels, depth) = (levels >> 1, depth - 1);
            }

            if (depth == 0)
            {
                return true;
            }

            if (!Take((byte)',') || ((levels & 1) != 0 && !SkipName()))
            {
                return false;
            }
        }
    }

    // Eight digits in three multiplications.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryEight(ulong text, out uint value)
    {
        var digits = text - 0x3030303030303030;
        var isGood = ((digits | (digits + 0x7676767676767676)) & 0x8080808080808080) == 0;
        digits = (digits * 10) + (digits >> 8);
        value = (uint)((((digits & 0x000000FF000000FF) * 0x000F424000000064) + (((digits >> 16) & 0x000000FF000000FF) * 0x0000271000000001)) >> 32);
        return isGood;
    }

    // Bit set for a quote, a backslash, a control character, or a byte beyond ASCII.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Special(Vector256<byte> bytes)
    {
        var control = Vector256.Equals(Vector256.Min(bytes, Vector256.Create((byte)0x1F)), bytes);
        var sign = Vector256.Equals(bytes, Vector256.Create((byte)'"')) | Vector256.Equals(bytes, Vector256.Create((byte)'\\'));
        return (control | sign | bytes).ExtractMostSignificantBits();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private byte PeekBehindSpace()
    {
        while (At < _json.Length && _json[At] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t')
        {
            At++;
        }

        return At < _json.Length ? _json[At] : (byte)0;
    }

    private bool SkipName() => SkipText() && Take((byte)':');

    private bool SkipText() => Take((byte)'"') && TryLongText(out _, out _);

    // After the quote. Escapes are checked, and so are pairs of surrogates.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryLongText(out ReadOnlySpan<byte> text, out bool isEscaped)
    {
        var (start, at, isAscii) = (At, At, true);
        isEscaped = false;
        text = default;
        while (at < _json.Length)
        {
            if (at + Vector256<byte>.Count <= _json.Length)
            {
                var bits = Special(Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(_json), (nuint)at));
                at += bits == 0 ? Vector256<byte>.Count : System.Numerics.BitOperations.TrailingZeroCount(bits);
                if (bits == 0)
                {
                    continue;
                }
            }

            var b = _json[at];
            if (b == '"')
            {
                text = _json[start..at];
                At = at + 1;
                return isAscii || Utf8.IsValid(text);
            }

            if (b < 0x20)
            {
                return false;
            }

            isAscii &= b < 0x80;
            at++;
            if (b == '\\')
            {
                isEscaped = true;
                at = Escape(at);
                if (at < 0)
                {
                    return false;
                }
            }
        }

        return false;
    }

    // After the backslash; where it ends, or -1.
    private readonly int Escape(int at)
    {
        if (at >= _json.Length)
        {
            return -1;
        }

        if (_json[at] != 'u')
        {
            return "\"\\/bfnrt"u8.Contains(_json[at]) ? at + 1 : -1;
        }

        var unit = Unit(at + 1);
        if (unit is < 0xD800 or > 0xDFFF)
        {
            return unit < 0 ? -1 : at + 5;
        }

        var isPair = unit < 0xDC00 && at + 7 < _json.Length && _json[at + 5] == '\\' && _json[at + 6] == 'u' && Unit(at + 7) is >= 0xDC00 and <= 0xDFFF;
        return isPair ? at + 11 : -1;
    }

    private readonly int Unit(int at) =>
        at + 4 <= _json.Length && _json.Slice(at, 4).IndexOfAnyExcept(HexDigits) < 0
        && Utf8Parser.TryParse(_json.Slice(at, 4), out ushort unit, out _, 'x') ? unit : -1;

    private bool TakeWord(ReadOnlySpan<byte> word)
    {
        var isThere = Rest.StartsWith(word);
        At += isThere ? word.Length : 0;
        return isThere;
    }

    private bool SkipNumber() => TryNumber(out _) || _isWhole;

    // A number of the grammar that no double holds is one all the same, for those who do not ask.
    private bool _isWhole;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryLongNumber(int start, bool isGood, out double value)
    {
        value = 0;
        _isWhole = false;
        if (!isGood)
        {
            return false;
        }

        var at = At;
        if (at < _json.Length && (_json[at] | 0x20) == 'e')
        {
            at++;
            at += at < _json.Length && _json[at] is (byte)'+' or (byte)'-' ? 1 : 0;
            var digits = at;
            while (at < _json.Length && (uint)_json[at] - '0' <= 9)
            {
                at++;
            }

            if (at == digits)
            {
                return false;
            }
        }

        At = at;
        _isWhole = true;
        return Utf8Parser.TryParse(From(start), out value, out var used) && used == at - start && double.IsFinite(value);
    }
}
