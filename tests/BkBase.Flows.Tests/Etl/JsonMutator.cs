using System.Globalization;
using System.Text;

namespace BkBase.Flows.Tests.Etl;

/// <summary>Messages of metrics, and what can go wrong with any JSON on its way.</summary>
internal sealed class JsonMutator(Random random)
{
    private static readonly string[] Numbers =
    [
        "0", "-0", "1", "-1", "0.1", "-0.0", "1e5", "1E+5", "1.5e-7", "-2.5E3", "1e308", "1e-400", "5e-324", "0.30000000000000004", "9007199254740993", "123456789012345678",
        "1234567890123456789", "12345678901234567890123", "0.1234567890123456789", "1.7976931348623157e308", "0e0", "1700000000000.0",
    ];

    private static readonly string[] BadNumbers = ["1e309", "-1e999", "00", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "-", "--1", "1.e5", "0x1", "1_0"];

    private static readonly string[] Oddities =
    [
        "null", "true", "false", "\"NaN\"", "\"+Inf\"", "\"-Infinity\"", "\"-NaN\"", "\"x\"", "\"\"", "{}", "[]", "[1,{\"a\":\"}\"}]", "{\"a\":{\"b\":null}}", "\"\\u0041\"", "\"\\ud83d\\ude00\"",
        "\"a\\\"}b\"", "\"\\/\\b\\f\\n\\r\\t\\\\\"", "\"é漢😀\"", "\"}\"", "1",
    ];

    private static readonly string[] BadOddities = ["\"\\ud800\"", "\"\\udc00x\"", "\"\\ud800\\u0041\"", "\"\\x\"", "\"\\u12g4\"", "\"\\u123\"", "NaN", "nul", "truee", "\"tab\tin\"", "[1,]", "{\"a\"}", "[", "\"open"];

    private static readonly string[] Names = ["cpu", "mem", "node_cpu_seconds_total", "a_rather_long_metric_name_of_more_than_thirty_two_bytes", "ä", "m\\u0065m", "", "x\\\"y", "old"];
    private static readonly string[] Labels = ["pod", "namespace", "mode", "target", "old", "ip", "p\\u006fd", "é", "a}b"];
    private static readonly string[] Texts = ["web-0", "web-1", "10.0.0.1", "", "é漢", "a\\u0026b", "C:\\\\x", "}", "a,b\\\"", "a rather long value of a label that goes beyond one vector of thirty-two bytes"];

    /// <summary>A message that is good more often than not.</summary>
    public string Message()
    {
        var fields = new List<string> { $"\"dataid\":{random.Next(3)}", "\"version\":\"1.0.0\"", $"\"data\":{(Rarely(40) ? Odd() : List(random.Next(4), "[", "]", Item))}" };
        if (Rarely(6))
        {
            fields.Add($"\"timestamp\":{Stamp()}");
        }

        if (Rarely(10))
        {
            fields.Add($"\"target\":{Text()}");
        }

        if (Rarely(5))
        {
            fields.Add($"\"extra\":{(Rarely(2) ? Odd() : Number())}");
        }

        return Object(fields);
    }

    /// <summary>The message with a few things wrong; often only a little, so that much of it is still as it was.</summary>
    public byte[] Mutate(string message)
    {
        for (var n = random.Next(3); n > 0; n--)
        {
            message = random.Next(5) switch
            {
                0 => Replace(message, ':', ',', Number()),
                1 => Replace(message, ':', ',', Odd()),
                2 => Duplicate(message),
                3 => message.Insert(random.Next(message.Length + 1), Pick([" ", "\n", "\t", "\r\n", "\\", "\"", "}", "{", "]", ",", ":", "\uFEFF", "\0", "\u0001", "\\u0061", "\\ud800", "é", "/*c*/"])),
                _ => message.Replace($"\"{Pick(Names)}\"", $"\"{Pick(Names)}\"", StringComparison.Ordinal),
            };
        }

        var bytes = Encoding.UTF8.GetBytes(message);
        for (var n = random.Next(3) - 1; n > 0 && bytes.Length > 0; n--)
        {
            bytes[random.Next(bytes.Length)] = (byte)(Rarely(2) ? random.Next(256) : "{}[]\",:\\0123456789eE.-+ntf \0"[random.Next(28)]);
        }

        return random.Next(12) switch
        {
            0 => bytes[..random.Next(bytes.Length + 1)],
            1 => [.. bytes, .. Encoding.UTF8.GetBytes(Pick(["\0\n", " ", "\n\n", "x", "{}", "\uFEFF", "\v"]))],
            2 => Rarely(4) ? [0xEF, 0xBB, 0xBF, .. bytes] : [(byte)' ', .. bytes],
            _ => bytes,
        };
    }

    private string Item()
    {
        var fields = new List<string>
        {
            $"\"metrics\":{(Rarely(40) ? Odd() : List(random.Next(4), "{", "}", () => $"\"{Pick(Names)}\":{(Rarely(12) ? Odd() : Number())}"))}",
            $"\"dimension\":{(Rarely(40) ? Odd() : List(random.Next(4), "{", "}", () => $"\"{Pick(Labels)}\":{Text()}"))}",
            $"\"target\":{Text()}",
            $"\"timestamp\":{Stamp()}",
            $"\"exemplar\":{(Rarely(3) ? Odd() : Number())}",
        };
        fields.RemoveAt(Rarely(6) ? random.Next(fields.Count) : Rarely(3) ? 1 : 4);
        return Rarely(60) ? Odd() : Object(fields);
    }

    private string Object(List<string> fields)
    {
        if (Rarely(2))
        {
            random.Shuffle(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(fields));
        }

        var between = Rarely(6) ? ", " : ",";
        var text = $"{{{string.Join(between, fields)}}}";
        return Rarely(8) ? text.Replace("\":", "\" : ", StringComparison.Ordinal) : text;
    }

    private string Stamp() => random.Next(12) switch
    {
        0 => Rarely(3) ? Number() : "0",
        1 or 2 or 6 or 7 => (1_700_000_000 + random.Next(100)).ToString(CultureInfo.InvariantCulture),
        3 => "1700000000000000",
        4 => "1.7e12",
        5 => "253402300799999999",
        _ => (1_700_000_000_000 + random.Next(100)).ToString(CultureInfo.InvariantCulture),
    };

    private string Number() => Rarely(150) ? Pick(BadNumbers) : Rarely(3) ? Pick(Numbers) : (random.Next(100_000) / Math.Pow(10, random.Next(4))).ToString(CultureInfo.InvariantCulture);

    private string Odd() => Pick(Rarely(8) ? BadOddities : Oddities);

    private string Text() => Rarely(15) ? Odd() : Rarely(15) ? Number() : $"\"{Pick(Texts)}\"";

    private string List(int count, string open, string close, Func<string> one) => open + string.Join(',', Enumerable.Range(0, count).Select(_ => one())) + close;

    private string Replace(string message, char after, char before, string by)
    {
        var start = message.IndexOf(after, random.Next(message.Length));
        var end = start < 0 ? -1 : message.IndexOf(before, start);
        return end < 0 ? message : message[..(start + 1)] + by + message[end..];
    }

    // A property once more, somewhere behind another comma.
    private string Duplicate(string message)
    {
        var parts = message.Split(',');
        var part = parts[random.Next(parts.Length)].Trim('{', '}', '[', ']');
        var at = random.Next(parts.Length);
        return string.Join(',', parts.Take(at).Append(part).Concat(parts.Skip(at)));
    }

    private bool Rarely(int of) => random.Next(of) == 0;

    private string Pick(string[] from) => from[random.Next(from.Length)];
}
