using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>How fields are read out of a line.</summary>
/// <param name="Type">json, regexp, separator or key_value.</param>
/// <param name="Pattern">Regular expression with named groups, for regexp.</param>
/// <param name="Separator">Between fields (separator), between pairs (key_value).</param>
/// <param name="PairSeparator">Between key and value, for key_value.</param>
/// <param name="Columns">What is read, in order.</param>
public sealed record ExtractSettings(string Type, Regex? Pattern, string Separator, string PairSeparator, IReadOnlyList<Field> Columns)
{
    private static readonly string[] Types = ["json", "regexp", "separator", "key_value"];

    internal static IReadOnlyList<Key> Keys { get; } =
    [
        new("type", KeyKind.Choice, "how the line is read", Required: true) { Choices = Types },
        new("pattern", KeyKind.Text, "regular expression with a named group per field") { Synonyms = ["regexp"] },
        new("separator", KeyKind.Text, "text between fields, or between pairs of key_value"),
        new("pair_separator", KeyKind.Text, "text between key and value"),
        new("fields", KeyKind.TextMap, "fields and their types, in order", Required: true),
    ];

    public static ExtractSettings Read(Section section, IReadOnlyList<string> taken)
    {
        var type = section.Choice("type") ?? "json";
        var pattern = type == "regexp" ? ReadPattern(section) : null;
        var fields = new List<Field>();
        foreach (var (name, word) in section.TextMap("fields"))
        {
            if (taken.Contains(name.Text) || fields.Exists(f => f.Name == name.Text))
            {
                section.Diagnostics.Error(name.At, DiagnosticCodes.DuplicateName, $"a column '{name.Text}' is there already");
            }
            else
            {
                fields.Add(new Field(name.Text, Cell.Type(word, section.Diagnostics), Nullable: true));
            }
        }

        return new ExtractSettings(type, pattern, Filled(section, "separator", type == "separator" ? "|" : ","), Filled(section, "pair_separator", "="), fields);
    }

    private static string Filled(Section section, string key, string orElse) => section.Text(key) is { Length: > 0 } text ? text : orElse;

    private static Regex? ReadPattern(Section section)
    {
        if (section.Text("pattern") is not { } text)
        {
            section.Diagnostics.Error(section.Position, DiagnosticCodes.MissingKey, "'regexp' needs 'pattern'");
            return null;
        }

        try
        {
            return new Regex(text, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            section.Error("pattern", DiagnosticCodes.BadRegex, $"this pattern cannot be used: {e.Message}");
            return null;
        }
    }
}

/// <summary>Typed cells from texts and JSON values.</summary>
internal static class Cell
{
    private static readonly Dictionary<string, ColumnType> Types = new(StringComparer.Ordinal)
    {
        ["bool"] = ColumnType.Bool,
        ["int32"] = ColumnType.Int32,
        ["int"] = ColumnType.Int32,
        ["int64"] = ColumnType.Int64,
        ["long"] = ColumnType.Int64,
        ["float64"] = ColumnType.Float64,
        ["double"] = ColumnType.Float64,
        ["string"] = ColumnType.String,
        ["text"] = ColumnType.Text,
        ["json"] = ColumnType.Json,
    };

    public static IReadOnlyList<string> Words { get; } = [.. Types.Keys];

    /// <summary>Type of a word; reports when it is none.</summary>
    public static ColumnType Type(Located word, DiagnosticBag diagnostics)
    {
        if (Types.TryGetValue(word.Text, out var type))
        {
            return type;
        }

        diagnostics.Error(word.At, DiagnosticCodes.WrongType, $"'{word.Text}' is not a type; types are {string.Join(", ", Words)}.{Suggestion.For(word.Text, Words)}");
        return ColumnType.Text;
    }

    /// <summary>Writes a JSON value; false when it is not of the column's type.</summary>
    public static bool Set(BatchBuilder rows, int column, in JsonItem value)
    {
        var type = rows.Schema[column].Type;
        switch (value.Type)
        {
            case JsonTokenType.True or JsonTokenType.False when type == ColumnType.Bool:
                rows.SetBool(column, value.Type == JsonTokenType.True);
                return true;
            case JsonTokenType.String or JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False when type != ColumnType.Json:
                return Set(rows, column, value.Text);
            case JsonTokenType.None or JsonTokenType.Null:
                return false;
            default:
                if (type is ColumnType.Json or ColumnType.Text)
                {
                    rows.SetText(column, value.Raw);
                    return true;
                }

                return false;
        }
    }

    /// <summary>Writes a text; false when it is not of the column's type.</summary>
    public static bool Set(BatchBuilder rows, int column, ReadOnlySpan<byte> text)
    {
        switch (rows.Schema[column].Type)
        {
            case ColumnType.String:
                rows.SetString(column, text);
                return true;
            case ColumnType.Text or ColumnType.Json:
                rows.SetText(column, text);
                return true;
            case ColumnType.Bool when Utf8Parser.TryParse(text, out bool flag, out var used) && used == text.Length:
                rows.SetBool(column, flag);
                return true;
            case ColumnType.Int32 when int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number):
                rows.SetInt32(column, number);
                return true;
            case ColumnType.Int64 or ColumnType.DateTime when long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number):
                rows.SetInt64(column, number);
                return true;
            case ColumnType.Float64 when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number):
                rows.SetFloat64(column, number);
                return true;
            default:
                return false;
        }
    }
}

/// <summary>Reads fields out of lines by <see cref="ExtractSettings"/>. A field of the wrong type is null.</summary>
internal sealed class LineExtract(ExtractSettings settings)
{
    private readonly JsonTape _tape = new();
    private readonly byte[][] _names = [.. settings.Columns.Select(c => Encoding.UTF8.GetBytes(c.Name))];
    private readonly byte[] _separator = Encoding.UTF8.GetBytes(settings.Separator);
    private readonly byte[] _pair = Encoding.UTF8.GetBytes(settings.PairSeparator);

    /// <summary>Number of fields.</summary>
    public int Count => _names.Length;

    /// <summary>Sets the columns from <paramref name="at"/> on; false when the line is not of the form.</summary>
    public bool Read(ReadOnlySpan<byte> line, BatchBuilder rows, int at) => settings.Type switch
    {
        "json" => ReadJson(line, rows, at),
        "regexp" => ReadPattern(line, rows, at),
        "separator" => ReadSeparated(line, rows, at),
        _ => ReadPairs(line, rows, at),
    };

    private bool ReadJson(ReadOnlySpan<byte> line, BatchBuilder rows, int at)
    {
        if (_tape.Read(line, out _) is not null || _tape.Root(line) is not { IsObject: true } root)
        {
            return false;
        }

        for (var i = 0; i < _names.Length; i++)
        {
            Cell.Set(rows, at + i, root[_names[i]]);
        }

        return true;
    }

    private bool ReadPattern(ReadOnlySpan<byte> line, BatchBuilder rows, int at)
    {
        if (settings.Pattern is not { } pattern)
        {
            return false;
        }

        try
        {
            var match = pattern.Match(Encoding.UTF8.GetString(line));
            if (!match.Success)
            {
                return false;
            }

            for (var i = 0; i < _names.Length; i++)
            {
                Cell.Set(rows, at + i, Encoding.UTF8.GetBytes(match.Groups[settings.Columns[i].Name].Value));
            }

            return true;
        }
        catch (RegexMatchTimeoutException)
        {
            return false;
        }
    }

    private bool ReadSeparated(ReadOnlySpan<byte> line, BatchBuilder rows, int at)
    {
        for (var i = 0; i < _names.Length; i++)
        {
            var end = line.IndexOf(_separator);
            Cell.Set(rows, at + i, end < 0 ? line : line[..end]);
            if (end < 0)
            {
                // Missing columns are null; a line without any separator is none of ours.
                return i > 0 || _names.Length == 1;
            }

            line = line[(end + _separator.Length)..];
        }

        return true;
    }

    private bool ReadPairs(ReadOnlySpan<byte> line, BatchBuilder rows, int at)
    {
        var any = false;
        while (!line.IsEmpty)
        {
            var end = line.IndexOf(_separator);
            var pair = end < 0 ? line : line[..end];
            line = end < 0 ? default : line[(end + _separator.Length)..];
            if (pair.IndexOf(_pair) is not (>= 0 and var split))
            {
                continue;
            }

            any = true;
            var name = pair[..split].Trim((byte)' ');
            for (var i = 0; i < _names.Length; i++)
            {
                if (name.SequenceEqual(_names[i]))
                {
                    Cell.Set(rows, at + i, pair[(split + _pair.Length)..].Trim((byte)' '));
                }
            }
        }

        return any;
    }
}
