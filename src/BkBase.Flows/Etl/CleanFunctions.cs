using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using System.Text.Unicode;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>A 'fun' node that makes one value of another.</summary>
internal abstract class CleanFunction(string path, CleanNode next) : CleanNode
{
    protected string Path { get; } = path;

    public override bool Run(CleanRun run, int value) => TryApply(run, value, out var result) && next.Run(run, result);

    protected abstract bool TryApply(CleanRun run, int value, out int result);

    protected bool TryText(CleanRun run, int value, string method) =>
        run.Values.Kind(value) == CleanKind.Text || run.Refuse(RejectReason.WrongType, Path, $"{method} needs a text", value);
}

/// <summary>from_json and from_json_list.</summary>
internal sealed class CleanFromJson(bool isList, string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, isList ? "from_json_list" : "from_json"))
        {
            return false;
        }

        if (run.Values.ReadJson(value, out result) is { } reason)
        {
            return run.Refuse(reason, Path, reason switch
            {
                RejectReason.TooDeep => $"JSON is nested at most {JsonTape.DepthMax} levels deep",
                RejectReason.BadEncoding => "a text of JSON is UTF-8",
                _ => $"the text is not JSON; it is one JSON {(isList ? "list" : "object")}",
            }, value);
        }

        return run.Values.Kind(result) == (isList ? CleanKind.List : CleanKind.Map)
            || run.Refuse(RejectReason.WrongType, Path, $"the text is one JSON {(isList ? "list" : "object")}", value);
    }
}

/// <summary>from_url: decodes, then reads k=v pairs between '&amp;'; all behind the first '=' is the value.</summary>
internal sealed class CleanFromUrl(string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "from_url"))
        {
            return false;
        }

        if (!TryDecode(run.Values.Text(value), run.Bytes) || !Utf8.IsValid(CollectionsMarshal.AsSpan(run.Bytes)))
        {
            return run.Refuse(RejectReason.BadEncoding, Path, "an escape in a URL is '%' and two hexadecimal digits, and what comes out is UTF-8", value);
        }

        var text = run.Values.Add(CleanKind.Text, CollectionsMarshal.AsSpan(run.Bytes));
        var parts = run.Parts;
        parts.Clear();
        for (var (start, length) = (0, run.Bytes.Count); start < length;)
        {
            var pair = run.Values.Text(text)[start..];
            var end = pair.IndexOf((byte)'&') is >= 0 and var found ? found : pair.Length;
            var split = pair[..end].IndexOf((byte)'=') is >= 0 and var at ? at : end;
            if (end > 0)
            {
                parts.Add(run.Values.Slice(text, start, split));
                parts.Add(run.Values.Slice(text, start + Math.Min(split + 1, end), Math.Max(0, end - split - 1)));
            }

            start += end + 1;
        }

        result = run.Values.AddMap(CollectionsMarshal.AsSpan(parts));
        return true;
    }

    private static int Digit(byte hex) => hex <= '9' ? hex - '0' : (hex | 0x20) - 'a' + 10;

    private static bool TryDecode(ReadOnlySpan<byte> text, List<byte> bytes)
    {
        bytes.Clear();
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] != '%')
            {
                bytes.Add(text[i] == '+' ? (byte)' ' : text[i]);
                continue;
            }

            if (i + 2 >= text.Length || !char.IsAsciiHexDigit((char)text[i + 1]) || !char.IsAsciiHexDigit((char)text[i + 2]))
            {
                return false;
            }

            bytes.Add((byte)((Digit(text[i + 1]) << 4) | Digit(text[i + 2])));
            i += 2;
        }

        return true;
    }
}

/// <summary>csvline: the fields of the first record of RFC 4180.</summary>
internal sealed class CleanCsvLine(string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "csvline"))
        {
            return false;
        }

        var parts = run.Parts;
        parts.Clear();
        for (var at = 0; at >= 0 && run.Values.Text(value).Length > 0;)
        {
            if (!TryField(run, value, ref at))
            {
                return run.Refuse(RejectReason.NoMatch, Path, "a quoted field ends with a quote, then a comma or the end of the line", value);
            }
        }

        result = run.Values.AddList(CollectionsMarshal.AsSpan(parts));
        return true;
    }

    private static bool TryField(CleanRun run, int value, ref int at)
    {
        var values = run.Values;
        var rest = values.Text(value)[at..];
        if (rest.IsEmpty || rest[0] != '"')
        {
            var end = rest.IndexOfAny(",\r\n"u8) is >= 0 and var found ? found : rest.Length;
            run.Parts.Add(values.Slice(value, at, end));
            at = end < rest.Length && rest[end] == ',' ? at + end + 1 : -1;
            return true;
        }

        run.Bytes.Clear();
        var i = 1;
        for (; i < rest.Length; i++)
        {
            if (rest[i] != '"')
            {
                run.Bytes.Add(rest[i]);
            }
            else if (i + 1 < rest.Length && rest[i + 1] == '"')
            {
                run.Bytes.Add(rest[i++]);
            }
            else
            {
                break;
            }
        }

        if (i == rest.Length || (i + 1 < rest.Length && rest[i + 1] is not ((byte)',' or (byte)'\r' or (byte)'\n')))
        {
            return false;
        }

        at = i + 1 < rest.Length && rest[i + 1] == ',' ? at + i + 2 : -1;
        run.Parts.Add(values.Add(CleanKind.Text, CollectionsMarshal.AsSpan(run.Bytes)));
        return true;
    }
}

/// <summary>split: the pieces between a separator, the last one holding what remains.</summary>
internal sealed class CleanSplit(byte[] separator, int limit, string path, CleanNode next) : CleanFunction(path, next)
{
    /// <summary>Pieces there are at most.</summary>
    public const int LimitMax = 1001;

    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "split"))
        {
            return false;
        }

        var parts = run.Parts;
        parts.Clear();
        var start = 0;
        while (parts.Count + 1 < limit && run.Values.Text(value)[start..].IndexOf(separator) is >= 0 and var length)
        {
            parts.Add(run.Values.Slice(value, start, length));
            start += length + separator.Length;
        }

        parts.Add(run.Values.Slice(value, start, run.Values.Text(value).Length - start));
        result = run.Values.AddList(CollectionsMarshal.AsSpan(parts));
        return true;
    }
}

/// <summary>splitkv: an object of the pairs of a text. Separators are sets of characters; a run of them counts as one.</summary>
internal sealed class CleanSplitPairs(byte[] entry, byte[] pair, string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "splitkv"))
        {
            return false;
        }

        var parts = run.Parts;
        parts.Clear();
        var length = run.Values.Text(value).Length;
        for (var start = 0; start < length;)
        {
            var rest = run.Values.Text(value)[start..];
            var end = rest.IndexOfAny(entry) is >= 0 and var found ? found : rest.Length;
            AddPair(run, value, start, rest[..end]);
            start += end + 1;
        }

        result = run.Values.AddMap(CollectionsMarshal.AsSpan(parts));
        return true;
    }

    private void AddPair(CleanRun run, int value, int start, ReadOnlySpan<byte> text)
    {
        if (text.IndexOfAnyExcept(pair) is not (>= 0 and var name) || text[name..].IndexOfAny(pair) is not (>= 0 and var nameLength))
        {
            return;
        }

        var after = text[(name + nameLength)..];
        if (after.IndexOfAnyExcept(pair) is >= 0 and var skipped)
        {
            run.Parts.Add(run.Values.Slice(value, start + name, nameLength));
            run.Parts.Add(run.Values.Slice(value, start + name + nameLength + skipped, after.Length - skipped));
        }
    }
}

/// <summary>replace: each text by the one behind it, in order; a last one alone is deleted.</summary>
internal sealed class CleanReplace((byte[] From, byte[] To)[] pairs, string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "replace"))
        {
            return false;
        }

        var (bytes, done) = (run.Bytes, run.MoreBytes);
        bytes.Clear();
        bytes.AddRange(run.Values.Text(value));
        foreach (var (from, to) in pairs)
        {
            done.Clear();
            ReadOnlySpan<byte> rest = CollectionsMarshal.AsSpan(bytes);
            while (rest.IndexOf(from) is >= 0 and var at)
            {
                done.AddRange(rest[..at]);
                done.AddRange(to);
                rest = rest[(at + from.Length)..];
            }

            done.AddRange(rest);
            bytes.Clear();
            bytes.AddRange(CollectionsMarshal.AsSpan(done));
        }

        result = run.Values.Add(CleanKind.Text, CollectionsMarshal.AsSpan(bytes));
        return true;
    }
}

/// <summary>regex_extract: an object of named groups; empty when the pattern is not found.</summary>
internal sealed class CleanRegexExtract(Regex pattern, string[] keys, string path, CleanNode next) : CleanFunction(path, next)
{
    private readonly byte[][] _keys = [.. keys.Select(Encoding.UTF8.GetBytes)];

    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (!TryText(run, value, "regex_extract"))
        {
            return false;
        }

        var parts = run.Parts;
        parts.Clear();
        try
        {
            var match = pattern.Match(Encoding.UTF8.GetString(run.Values.Text(value)));
            for (var i = 0; match.Success && i < keys.Length; i++)
            {
                var group = match.Groups[keys[i]];
                parts.Add(run.Values.Add(CleanKind.Text, _keys[i]));
                parts.Add(run.Values.Add(group.Success ? CleanKind.Text : CleanKind.Null, Encoding.UTF8.GetBytes(group.Value)));
            }
        }
        catch (RegexMatchTimeoutException)
        {
            return run.Refuse(RejectReason.Timeout, Path, "the pattern took too long on this text", value);
        }

        result = run.Values.AddMap(CollectionsMarshal.AsSpan(parts));
        return true;
    }
}

/// <summary>pop: a list without its first element.</summary>
internal sealed class CleanPop(string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        var isList = run.Values.Kind(value) == CleanKind.List && run.Values.Count(value) > 0;
        result = isList ? run.Values.Tail(value) : CleanValues.None;
        return isList || run.Refuse(RejectReason.WrongType, Path, "pop needs a list of at least one element", value);
    }
}

/// <summary>zip: two lists of an object as a list of pairs, as long as the shorter one.</summary>
internal sealed class CleanZip(byte[] first, byte[] second, string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        var values = run.Values;
        var (a, b) = (values.Find(value, first), values.Find(value, second));
        result = CleanValues.None;
        if (values.Kind(a) != CleanKind.List || values.Kind(b) != CleanKind.List)
        {
            return run.Refuse(
                RejectReason.WrongType, Path, $"zip needs an object with the lists '{Encoding.UTF8.GetString(first)}' and '{Encoding.UTF8.GetString(second)}'", value);
        }

        var parts = run.Parts;
        parts.Clear();
        for (var i = 0; i < Math.Min(values.Count(a), values.Count(b)); i++)
        {
            parts.Add(values.AddList([values.Item(a, i), values.Item(b, i)]));
        }

        result = values.AddList(CollectionsMarshal.AsSpan(parts));
        return true;
    }
}

/// <summary>to_string: any value as text; lists and objects as JSON.</summary>
internal sealed class CleanToText(string path, CleanNode next) : CleanFunction(path, next)
{
    protected override bool TryApply(CleanRun run, int value, out int result)
    {
        result = CleanValues.None;
        if (run.Values.Kind(value) == CleanKind.Null)
        {
            return run.Refuse(RejectReason.MissingField, Path, "nothing is here", value);
        }

        run.Bytes.Clear();
        run.Bytes.AddRange(run.Values.AsText(value));
        result = run.Values.Add(CleanKind.Text, CollectionsMarshal.AsSpan(run.Bytes));
        return true;
    }
}
