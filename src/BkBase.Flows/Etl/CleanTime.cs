using System.Buffers.Text;
using System.Text;

namespace BkBase.Flows.Etl;

/// <summary>
/// Event times of the clean format: numbers by their length, texts by a Java date pattern. A text that carries its own
/// zone keeps it; else the configured hours are subtracted.
/// </summary>
/// <param name="Length">Digits of a number: 13 ms, 10 s, 8 minutes, 16 us, below 10 by BK-Base's formula; 0 for texts.</param>
/// <param name="Pattern">Pattern of texts.</param>
/// <param name="Zone">Hours east of UTC of a text without zone.</param>
/// <param name="Round">Milliseconds to round down to.</param>
internal sealed record CleanTime(int Length, JavaDatePattern? Pattern, double Zone, long Round)
{
    /// <summary>Unix milliseconds; false when the text is no time after 1970.</summary>
    public bool TryRead(ReadOnlySpan<byte> text, out long time)
    {
        time = 0;
        if (Length > 0)
        {
            text = text.Trim(" \t\r\n"u8);
            return Utf8Parser.TryParse(text, out long number, out var used) && used == text.Length && TryRead(number, out time);
        }

        if (Pattern is null || !Pattern.TryParse(text, out time, out var hasZone))
        {
            return false;
        }

        time = Rounded(hasZone ? time : time - (long)(Zone * 3_600_000));
        return time > 0;
    }

    /// <summary>The time that a number means; false when times are texts.</summary>
    public bool TryRead(long number, out long time)
    {
        time = 0;
        var (factor, divisor) = Length switch
        {
            13 => (1L, 1L),
            10 => (1000L, 1L),
            8 => (60_000L, 1L),
            16 => (1L, 1000L),
            _ => (1000L, 10L * (10 - Length)),
        };
        if (Length == 0 || number <= 0 || number / divisor > EventTime.MillisecondsMax / factor)
        {
            return false;
        }

        time = Rounded(number / divisor * factor);
        return time > 0;
    }

    private long Rounded(long time) => time / Round * Round;
}

/// <summary>
/// A pattern of Java's SimpleDateFormat, read once: y M d H h k K m s S a E z Z X and literals, with the same freedom
/// (numbers of any width unless another number follows at once, whatever follows the date is not looked at).
/// </summary>
internal sealed class JavaDatePattern
{
    private static readonly string[] Months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    private readonly (char Letter, int Width, byte[] Literal, bool IsAbutting)[] _parts;

    private JavaDatePattern((char, int, byte[], bool)[] parts) => _parts = parts;

    /// <summary>Null, and the letter, when the pattern holds a letter that is not known.</summary>
    public static JavaDatePattern? Parse(string pattern, out char unknown)
    {
        unknown = '\0';
        var parts = new List<(char Letter, int Width, byte[] Literal, bool)>();
        for (var i = 0; i < pattern.Length;)
        {
            var letter = pattern[i];
            if (letter == '\'')
            {
                var end = pattern.IndexOf('\'', i + 1);
                end = end < 0 ? pattern.Length : end;
                parts.Add(('\0', 0, Encoding.UTF8.GetBytes(end == i + 1 ? "'" : pattern[(i + 1)..end]), false));
                i = end + 1;
                continue;
            }

            var width = 1;
            if (!char.IsAsciiLetter(letter))
            {
                parts.Add(('\0', 0, Encoding.UTF8.GetBytes(pattern, i, char.IsHighSurrogate(letter) && i + 1 < pattern.Length ? width = 2 : 1), false));
                i += width;
                continue;
            }

            while (i + width < pattern.Length && pattern[i + width] == letter)
            {
                width++;
            }

            if (!"yMdHhkKmsSaEuzZX".Contains(letter, StringComparison.Ordinal))
            {
                unknown = letter;
                return null;
            }

            parts.Add((letter, width, [], false));
            i += width;
        }

        for (var i = 0; i + 1 < parts.Count; i++)
        {
            parts[i] = parts[i] with { Item4 = IsNumber(parts[i]) && IsNumber(parts[i + 1]) };
        }

        return new JavaDatePattern([.. parts]);
    }

    /// <summary>Unix milliseconds of the text, read as UTC unless it carries a zone.</summary>
    public bool TryParse(ReadOnlySpan<byte> text, out long time, out bool hasZone)
    {
        var date = new Fields();
        (time, hasZone) = (0, false);
        foreach (var (letter, width, literal, isAbutting) in _parts)
        {
            var isRead = letter switch
            {
                '\0' => Skip(ref text, literal),
                'a' => TryHalf(ref text, ref date),
                'E' => TryWord(ref text, out _),
                'z' or 'Z' or 'X' => hasZone = TryZone(ref text, out date.Offset),
                'M' when width >= 3 => TryMonth(ref text, out date.Month),
                _ => TryNumber(ref text, isAbutting ? width : 18, out var number, out var digits) && date.Set(letter, width, number, digits),
            };
            if (!isRead)
            {
                return false;
            }
        }

        return date.TryMilliseconds(out time);
    }

    private static bool IsNumber((char Letter, int Width, byte[] Literal, bool) part) =>
        part.Letter is not ('\0' or 'a' or 'E' or 'z' or 'Z' or 'X') && !(part.Letter == 'M' && part.Width >= 3);

    private static bool Skip(ref ReadOnlySpan<byte> text, ReadOnlySpan<byte> literal)
    {
        if (!text.StartsWith(literal))
        {
            return false;
        }

        text = text[literal.Length..];
        return true;
    }

    private static bool TryNumber(ref ReadOnlySpan<byte> text, int widthMax, out long number, out int digits)
    {
        (number, digits) = (0, 0);
        text = text.TrimStart((byte)' ');
        while (digits < text.Length && digits < widthMax && text[digits] is >= (byte)'0' and <= (byte)'9')
        {
            number = (number * 10) + (text[digits++] - '0');
        }

        text = text[digits..];
        return digits > 0;
    }

    private static bool TryWord(ref ReadOnlySpan<byte> text, out ReadOnlySpan<byte> word)
    {
        var end = text.IndexOfAnyExceptInRange((byte)'A', (byte)'z');
        word = end < 0 ? text : text[..end];
        text = text[word.Length..];
        return word.Length > 0;
    }

    private static bool TryMonth(ref ReadOnlySpan<byte> text, out int month)
    {
        month = 0;
        if (!TryWord(ref text, out var word) || word.Length < 3)
        {
            return false;
        }

        Span<char> start = stackalloc char[3];
        Encoding.ASCII.GetChars(word[..3], start);
        for (var i = 0; i < Months.Length; i++)
        {
            if (start.Equals(Months[i], StringComparison.OrdinalIgnoreCase))
            {
                month = i + 1;
            }
        }

        return month > 0;
    }

    private static bool TryHalf(ref ReadOnlySpan<byte> text, ref Fields date)
    {
        date.Half = text.StartsWith("AM"u8) || text.StartsWith("am"u8) ? 0 : text.StartsWith("PM"u8) || text.StartsWith("pm"u8) ? 12 : -1;
        text = date.Half < 0 ? text : text[2..];
        return date.Half >= 0;
    }

    private static bool TryZone(ref ReadOnlySpan<byte> text, out int minutes)
    {
        minutes = 0;
        if (text.StartsWith("Z"u8))
        {
            text = text[1..];
            return true;
        }

        var isNamed = text.StartsWith("GMT"u8) || text.StartsWith("UTC"u8);
        text = isNamed ? text[3..] : text;
        if (text.IsEmpty || text[0] is not ((byte)'+' or (byte)'-'))
        {
            return isNamed;
        }

        var sign = text[0] == '-' ? -1 : 1;
        text = text[1..];
        if (!TryNumber(ref text, 2, out var hours, out _))
        {
            return false;
        }

        text = text.StartsWith(":"u8) ? text[1..] : text;
        TryNumber(ref text, 2, out var rest, out _);
        minutes = sign * (int)((hours * 60) + rest);
        return hours <= 18 && rest < 60;
    }

    private struct Fields
    {
        public int Offset;
        public int Month = 1;
        public int Half = -1;
        private int _year = 1970;
        private int _day = 1;
        private int _hour;
        private int _minute;
        private int _second;
        private int _millisecond;

        public Fields()
        {
        }

        public bool Set(char letter, int width, long number, int digits)
        {
            if (letter != 'S' && number > 9999)
            {
                return false;
            }

            switch (letter)
            {
                // Two digits for 'yy' mean the years from 1970 to 2069.
                case 'y': _year = (int)number + (width <= 2 && digits == 2 ? number < 70 ? 2000 : 1900 : 0); break;
                case 'M': Month = (int)number; break;
                case 'd': _day = (int)number; break;
                case 'H' or 'K': _hour = (int)number; break;
                case 'h' or 'k': _hour = (int)number % (letter == 'h' ? 12 : 24); break;
                case 'm': _minute = (int)number; break;
                case 's': _second = (int)number; break;

                // Up to three digits are milliseconds; more are a fraction of the second.
                case 'S': _millisecond = digits <= 3 ? (int)number : (int)(number / Math.Pow(10, digits - 3)); break;
            }

            return true;
        }

        public readonly bool TryMilliseconds(out long time)
        {
            var hour = Half < 0 ? _hour : (_hour % 12) + Half;
            time = 0;
            if (_year is < 1 or > 9999 || Month is < 1 or > 12 || _day < 1 || _day > DateTime.DaysInMonth(_year, Month) || hour > 23 || _minute > 59 || _second > 59)
            {
                return false;
            }

            var ticks = new DateTime(_year, Month, _day, hour, _minute, _second, _millisecond, DateTimeKind.Utc).Ticks - DateTime.UnixEpoch.Ticks;
            time = (ticks / TimeSpan.TicksPerMillisecond) - (Offset * 60_000L);
            return true;
        }
    }
}
