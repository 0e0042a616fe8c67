using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace BkBase.Flows.Expressions;

// What functions do to one string.
internal sealed class OneOf(byte[][] items) : BytesFunction<bool>
{
    public override bool Apply(ReadOnlySpan<byte> utf8, out bool result)
    {
        result = false;
        foreach (var item in items)
        {
            if (utf8.SequenceEqual(item))
            {
                result = true;
            }
        }

        return true;
    }
}

internal enum Where
{
    Start,
    End,
    Anywhere,
}

internal sealed class Holds(byte[] part, Where where) : BytesFunction<bool>
{
    public override bool Apply(ReadOnlySpan<byte> utf8, out bool result)
    {
        result = where switch
        {
            Where.Start => utf8.StartsWith(part),
            Where.End => utf8.EndsWith(part),
            _ => utf8.IndexOf(part) >= 0,
        };
        return true;
    }
}

/// <summary>LIKE: % is any run, _ one character, \ takes the next as it is.</summary>
internal sealed class Like(byte[] pattern) : BytesFunction<bool>
{
    public override bool Apply(ReadOnlySpan<byte> utf8, out bool result)
    {
        // Greedy with one point of return, the last %: no worse than text times pattern.
        int t = 0, p = 0, backP = -1, backT = 0;
        while (t < utf8.Length || p < pattern.Length)
        {
            if (p < pattern.Length && pattern[p] == '%')
            {
                (backP, backT) = (++p, t);
                continue;
            }

            if (p < pattern.Length && t < utf8.Length)
            {
                if (pattern[p] == '_')
                {
                    p++;
                    t = Next(utf8, t);
                    continue;
                }

                var escaped = pattern[p] == '\\' && p + 1 < pattern.Length ? 1 : 0;
                if (pattern[p + escaped] == utf8[t])
                {
                    p += 1 + escaped;
                    t++;
                    continue;
                }
            }

            if (backP < 0 || backT >= utf8.Length)
            {
                result = false;
                return true;
            }

            backT = Next(utf8, backT);
            (p, t) = (backP, backT);
        }

        result = true;
        return true;
    }

    private static int Next(ReadOnlySpan<byte> utf8, int at)
    {
        do
        {
            at++;
        }
        while (at < utf8.Length && (utf8[at] & 0xC0) == 0x80);
        return at;
    }
}

/// <summary>
/// A regular expression over UTF-8, through a buffer of characters that is kept. Its time grows with the length of the
/// text alone (no backtracking); a text that still takes longer than the pattern's time-out does not match.
/// </summary>
internal sealed class RegexTest(Regex regex) : BytesFunction<bool>
{
    private char[] _chars = new char[256];

    public override bool Apply(ReadOnlySpan<byte> utf8, out bool result)
    {
        if (_chars.Length < utf8.Length)
        {
            _chars = new char[utf8.Length * 2];
        }

        try
        {
            result = regex.IsMatch(_chars.AsSpan(0, Encoding.UTF8.GetChars(utf8, _chars)));
        }
        catch (RegexMatchTimeoutException)
        {
            result = false;
        }

        return true;
    }
}

internal sealed class RegexExtract(Regex regex, int group) : BytesTransform
{
    public override bool CanFail => true;

    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        try
        {
            var match = regex.Match(Encoding.UTF8.GetString(utf8));
            if (!match.Success || !match.Groups[group].Success)
            {
                return false;
            }

            Encoding.UTF8.GetBytes(match.Groups[group].ValueSpan, result);
            return true;
        }
        catch (RegexMatchTimeoutException)
        {
            return false;
        }
    }
}

internal sealed class CharacterCount : BytesFunction<long>
{
    public override bool Apply(ReadOnlySpan<byte> utf8, out long result)
    {
        result = 0;
        foreach (var b in utf8)
        {
            result += (b & 0xC0) == 0x80 ? 0 : 1;
        }

        return true;
    }
}

internal sealed class ParseLong : BytesFunction<long>
{
    public override bool CanFail => true;

    public override bool Apply(ReadOnlySpan<byte> utf8, out long result) => Utf8Parser.TryParse(utf8, out result, out var used) && used == utf8.Length;
}

internal sealed class ParseDouble : BytesFunction<double>
{
    public override bool CanFail => true;

    public override bool Apply(ReadOnlySpan<byte> utf8, out double result) =>
        Utf8Parser.TryParse(utf8, out result, out var used) && used == utf8.Length && double.IsFinite(result);
}

internal sealed class ParseBool : BytesFunction<bool>
{
    public override bool CanFail => true;

    public override bool Apply(ReadOnlySpan<byte> utf8, out bool result)
    {
        result = utf8.SequenceEqual("true"u8) || utf8.SequenceEqual("1"u8);
        return result || utf8.SequenceEqual("false"u8) || utf8.SequenceEqual("0"u8);
    }
}

internal sealed class ParseTime : BytesFunction<long>
{
    public override bool CanFail => true;

    public override bool Apply(ReadOnlySpan<byte> utf8, out long result)
    {
        result = 0;
        Span<char> chars = stackalloc char[64];
        if (utf8.Length > chars.Length || !DateTimeOffset.TryParse(
            chars[..Encoding.UTF8.GetChars(utf8, chars)], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
        {
            return false;
        }

        result = time.ToUnixTimeMilliseconds();
        return true;
    }
}

internal sealed class ChangeCase(bool upper) : BytesTransform
{
    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        if (Ascii.IsValid(utf8))
        {
            var target = result.GetSpan(Math.Max(1, utf8.Length));
            _ = upper ? Ascii.ToUpper(utf8, target, out var written) : Ascii.ToLower(utf8, target, out written);
            result.Advance(written);
            return true;
        }

        var text = Encoding.UTF8.GetString(utf8);
        Encoding.UTF8.GetBytes(upper ? text.ToUpperInvariant() : text.ToLowerInvariant(), result);
        return true;
    }
}

internal sealed class TrimSpace : BytesTransform
{
    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        result.Write(utf8.Trim(" \t\r\n"u8));
        return true;
    }
}

/// <summary>Characters from a 1-based start.</summary>
internal sealed class Substring(long start, long length) : BytesTransform
{
    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        var (from, to, seen) = (utf8.Length, utf8.Length, 0L);
        for (var i = 0; i < utf8.Length; i++)
        {
            if ((utf8[i] & 0xC0) == 0x80)
            {
                continue;
            }

            seen++;
            if (seen == start)
            {
                from = i;
            }

            if (seen > start && seen - start == length)
            {
                to = i;
                break;
            }
        }

        result.Write(length <= 0 ? [] : utf8[from..to]);
        return true;
    }
}

internal sealed class Replace(byte[] old, byte[] by) : BytesTransform
{
    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        while (old.Length > 0 && utf8.IndexOf(old) is >= 0 and var at)
        {
            result.Write(utf8[..at]);
            result.Write(by);
            utf8 = utf8[(at + old.Length)..];
        }

        result.Write(utf8);
        return true;
    }
}

/// <summary>The value under a path of keys and indexes; null when there is none or the text is not JSON.</summary>
internal sealed class JsonPath(string[] path) : BytesTransform
{
    private readonly byte[][] _path = Array.ConvertAll(path, Encoding.UTF8.GetBytes);

    public override bool CanFail => true;

    /// <summary>Keys and indexes of '$.a.b[0]'; null when it is no such path.</summary>
    public static string[]? Split(string path) =>
        path.StartsWith('$') && (path.Length == 1 || path[1] is '.' or '[')
            ? path[1..].Replace("[", ".", StringComparison.Ordinal).Replace("]", "", StringComparison.Ordinal)
                .Split('.', StringSplitOptions.RemoveEmptyEntries)
            : null;

    public override bool Apply(ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        try
        {
            var reader = new Utf8JsonReader(utf8);
            if (!reader.Read())
            {
                return false;
            }

            foreach (var step in _path)
            {
                if (!Enter(ref reader, step))
                {
                    return false;
                }
            }

            return Write(ref reader, utf8, result);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static bool Enter(ref Utf8JsonReader reader, byte[] step)
    {
        if (reader.TokenType == JsonTokenType.StartObject)
        {
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                var here = reader.ValueTextEquals(step);
                reader.Read();
                if (here)
                {
                    return true;
                }

                reader.Skip();
            }

            return false;
        }

        if (reader.TokenType != JsonTokenType.StartArray || !Utf8Parser.TryParse(step, out int index, out var used) || used != step.Length)
        {
            return false;
        }

        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (index-- == 0)
            {
                return true;
            }

            reader.Skip();
        }

        return false;
    }

    private static bool Write(ref Utf8JsonReader reader, ReadOnlySpan<byte> utf8, ArrayBufferWriter<byte> result)
    {
        switch (reader.TokenType)
        {
            case JsonTokenType.Null:
                return false;
            case JsonTokenType.String:
                result.Advance(reader.CopyString(result.GetSpan(Math.Max(1, reader.ValueSpan.Length))));
                return true;
            case JsonTokenType.StartObject or JsonTokenType.StartArray:
                var start = (int)reader.TokenStartIndex;
                reader.Skip();
                result.Write(utf8[start..(int)reader.BytesConsumed]);
                return true;
            default:
                result.Write(reader.ValueSpan);
                return true;
        }
    }
}
