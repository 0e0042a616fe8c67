using System.Globalization;
using System.Text;

namespace BkBase.Flows.Etl;

/// <summary>Units in which senders write event times.</summary>
public enum TimeUnit
{
    /// <summary>Told by magnitude: below 1e9 minutes, 1e12 seconds, 1e15 milliseconds, 1e18 microseconds, else nanoseconds.</summary>
    Auto,
    S,
    Ms,
    Us,
    Ns,
}

/// <summary>Event times as senders write them, to Unix milliseconds.</summary>
internal static class EventTime
{
    // The end of year 9999: later times cannot be written as a date.
    internal const long MillisecondsMax = 253_402_300_799_999;

    public static readonly IReadOnlyList<string> Units = ["auto", "s", "ms", "us", "ns"];

    public static TimeUnit Unit(string? word) => word switch
    {
        "s" => TimeUnit.S,
        "ms" => TimeUnit.Ms,
        "us" => TimeUnit.Us,
        "ns" => TimeUnit.Ns,
        _ => TimeUnit.Auto,
    };

    /// <summary>Word of a unit.</summary>
    public static string Word(TimeUnit unit) => Units[(int)unit];

    /// <summary>The unit that a time of our days has, told by magnitude; auto below seconds.</summary>
    public static TimeUnit UnitOf(long value) => value switch
    {
        < 1_000_000_000 => TimeUnit.Auto,
        < 1_000_000_000_000 => TimeUnit.S,
        < 1_000_000_000_000_000 => TimeUnit.Ms,
        < 1_000_000_000_000_000_000 => TimeUnit.Us,
        _ => TimeUnit.Ns,
    };

    /// <summary>False for zero, times before 1970 and times that no date can hold.</summary>
    public static bool TryMilliseconds(long value, TimeUnit unit, out long time)
    {
        var (factor, divisor) = unit switch
        {
            TimeUnit.S => (1000L, 1L),
            TimeUnit.Ms => (1L, 1L),
            TimeUnit.Us => (1L, 1000L),
            TimeUnit.Ns => (1L, 1_000_000L),
            _ => value switch
            {
                < 1_000_000_000 => (60_000L, 1L),
                < 1_000_000_000_000 => (1000L, 1L),
                < 1_000_000_000_000_000 => (1L, 1L),
                < 1_000_000_000_000_000_000 => (1L, 1000L),
                _ => (1L, 1_000_000L),
            },
        };
        time = 0;
        if (value <= 0 || value > MillisecondsMax / factor * divisor && divisor == 1)
        {
            return false;
        }

        time = value * factor / divisor;
        return time is > 0 and <= MillisecondsMax;
    }

    /// <summary>A date as text: ISO 8601 or <paramref name="format"/>; read in <paramref name="offset"/> unless it carries its own.</summary>
    public static bool TryText(ReadOnlySpan<byte> utf8, string? format, TimeSpan offset, out long time)
    {
        time = 0;
        if (utf8.Length > 64)
        {
            return false;
        }

        Span<char> chars = stackalloc char[64];
        var text = chars[..Encoding.UTF8.GetChars(utf8, chars)].Trim();
        DateTimeOffset parsed;
        var ok = format is null
            ? DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out parsed)
            : DateTimeOffset.TryParseExact(text, format, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out parsed);
        if (!ok)
        {
            return false;
        }

        var hasZone = text.IndexOf('Z') >= 0 || (format is null && text.Length > 10 && text[10..].IndexOfAny('+', '-') >= 0);
        time = parsed.ToUnixTimeMilliseconds() - (hasZone ? 0 : (long)offset.TotalMilliseconds);
        return time > 0;
    }
}
