using System.Buffers;
using System.Buffers.Text;
using System.Globalization;

namespace BkBase.Lab;

/// <summary>Collects one message as UTF-8 before it goes to the caller; grows to the largest message and stays.</summary>
internal sealed class LabPen
{
    private static readonly StandardFormat Millis = new('F', 3);
    private static readonly StandardFormat Whole = new('F', 0);

    private byte[] _bytes = new byte[4096];
    private int _length;

    internal int Length => _length;

    internal ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);

    internal void Clear() => _length = 0;

    internal void Raw(ReadOnlySpan<byte> text)
    {
        text.CopyTo(Room(text.Length));
        _length += text.Length;
    }

    internal void Raw(byte one)
    {
        Room(1)[0] = one;
        _length++;
    }

    internal void Int(long value)
    {
        Utf8Formatter.TryFormat(value, Room(20), out var n);
        _length += n;
    }

    /// <summary>Two digits, with a leading zero.</summary>
    internal void Two(int value)
    {
        var room = Room(2);
        room[0] = (byte)('0' + (value / 10));
        room[1] = (byte)('0' + (value % 10));
        _length += 2;
    }

    /// <summary>A finite number below 1e17 with up to three decimals.</summary>
    internal void Number(double value)
    {
        var scaled = Math.Round(value * 1000);
        if (Math.Abs(scaled) > 9e17)
        {
            Utf8Formatter.TryFormat(value, Room(340), out var f, Math.Abs(value) >= 1e17 ? Whole : Millis);
            _length += f;
            return;
        }

        var whole = (long)scaled;
        if (whole < 0)
        {
            Raw((byte)'-');
            whole = -whole;
        }

        var part = (int)(whole % 1000);
        Int(whole / 1000);
        if (part != 0)
        {
            var room = Room(4);
            room[0] = (byte)'.';
            room[1] = (byte)('0' + (part / 100));
            room[2] = (byte)('0' + (part / 10 % 10));
            room[3] = (byte)('0' + (part % 10));
            _length += 4;
        }
    }

    internal void Hex(ulong value)
    {
        value.TryFormat(Room(16), out var n, "x16", CultureInfo.InvariantCulture);
        _length += n;
    }

    /// <summary>Text into a JSON string: quotes, backslashes, newlines and tabs are escaped.</summary>
    internal void Escaped(ReadOnlySpan<byte> text)
    {
        var room = Room(text.Length * 2);
        var n = 0;
        foreach (var b in text)
        {
            var escape = b switch
            {
                (byte)'"' => (byte)'"',
                (byte)'\\' => (byte)'\\',
                (byte)'\n' => (byte)'n',
                (byte)'\t' => (byte)'t',
                _ => (byte)0,
            };
            if (escape != 0)
            {
                room[n++] = (byte)'\\';
                room[n++] = escape;
            }
            else
            {
                room[n++] = b;
            }
        }

        _length += n;
    }

    /// <summary>A UTC date and time: 2026-01-01 00:00:00, the separator being a space or T.</summary>
    internal void Time(long unixMs, byte separator = (byte)' ', bool millis = false)
    {
        var at = DateTime.UnixEpoch.AddMilliseconds(unixMs);
        Int(at.Year);
        Raw((byte)'-');
        Two(at.Month);
        Raw((byte)'-');
        Two(at.Day);
        Raw(separator);
        Two(at.Hour);
        Raw((byte)':');
        Two(at.Minute);
        Raw((byte)':');
        Two(at.Second);
        if (millis)
        {
            Raw((byte)'.');
            Raw((byte)('0' + (at.Millisecond / 100)));
            Two(at.Millisecond % 100);
        }
    }

    private Span<byte> Room(int size)
    {
        if (_bytes.Length - _length < size)
        {
            Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + size));
        }

        return _bytes.AsSpan(_length);
    }
}
