using System.Globalization;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Definition;

/// <summary>A text of the flow file with its place: what expressions and names are read from.</summary>
public readonly record struct Located(string Text, Position At);

/// <summary>
/// A cursor over one YAML mapping. Components read their keys through it; what is wrong is reported with its position
/// and the reader goes on with a default, so that one run finds everything.
/// </summary>
public sealed partial class Section
{
    private readonly YamlMappingNode _node;
    private readonly IReadOnlyList<Key> _keys;
    private readonly Dictionary<string, YamlNode> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Position> _keyPositions = new(StringComparer.Ordinal);

    /// <param name="node">The mapping.</param>
    /// <param name="keys">All keys that may stand in it; empty for a mapping whose keys the user chooses.</param>
    /// <param name="diagnostics">Where findings go.</param>
    /// <param name="what">What this mapping is, for messages: "node 'cpu_1m'".</param>
    public Section(YamlMappingNode node, IReadOnlyList<Key> keys, DiagnosticBag diagnostics, string what)
    {
        _node = node;
        _keys = keys;
        Diagnostics = diagnostics;
        What = what;
        foreach (var (keyNode, value) in node.Children)
        {
            var given = (keyNode as YamlScalarNode)?.Value ?? "";
            var key = keys.FirstOrDefault(k => k.Name == given || k.Synonyms.Contains(given));
            if (key is null && keys.Count > 0)
            {
                diagnostics.Error(At(keyNode), DiagnosticCodes.UnknownKey,
                    $"unknown key '{given}' in {what}; keys are {string.Join(", ", keys.Select(k => k.Name))}.{Suggestion.For(given, keys.Select(k => k.Name))}");
                continue;
            }

            var name = key?.Name ?? given;
            if (!_values.TryAdd(name, value))
            {
                diagnostics.Error(At(keyNode), DiagnosticCodes.DuplicateKey, $"key '{name}' stands twice in {what}");
            }

            _keyPositions.TryAdd(name, At(keyNode));
        }

        foreach (var key in keys)
        {
            if (key.Required && !_values.ContainsKey(key.Name))
            {
                diagnostics.Error(Position, DiagnosticCodes.MissingKey, $"{what} needs '{key.Name}': {key.Description}");
            }
        }
    }

    public DiagnosticBag Diagnostics { get; }

    /// <summary>What this mapping is, for messages.</summary>
    public string What { get; }

    /// <summary>Where the mapping starts.</summary>
    public Position Position => At(_node);

    /// <summary>Names of the keys that stand in the mapping.</summary>
    public IReadOnlyCollection<string> Names => _values.Keys;

    public bool Has(string name) => _values.ContainsKey(name);

    /// <summary>Where the value of a key stands; the mapping itself when the key is absent.</summary>
    public Position PositionOf(string name) => _values.TryGetValue(name, out var node) ? At(node) : Position;

    /// <summary>Where the word of a key stands; the mapping itself when the key is absent.</summary>
    public Position PositionOfKey(string name) => _keyPositions.GetValueOrDefault(name, Position);

    public string? Text(string name) => Scalar(name)?.Value;

    public string Text(string name, string orElse) => Text(name) ?? orElse;

    /// <summary>A text with the position of its first character (inside quotes or a block).</summary>
    public Located? Located(string name) => Scalar(name) is { } node ? new Located(node.Value ?? "", TextStart(node)) : null;

    /// <summary>A name by the naming rule.</summary>
    public string? Name(string name)
    {
        if (Text(name) is not { } value)
        {
            return null;
        }

        if (!NameRule().IsMatch(value))
        {
            Error(name, DiagnosticCodes.BadName, $"'{value}' is not a name: write a letter a-z, then letters, digits and '_', at most 50 characters");
        }

        return value;
    }

    public long? Integer(string name)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        if (!long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value))
        {
            Error(name, DiagnosticCodes.WrongType, $"'{text}' is not a whole number");
            return null;
        }

        return InRange(name, value) ? value : null;
    }

    public double? Number(string name)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) || !double.IsFinite(value))
        {
            Error(name, DiagnosticCodes.WrongType, $"'{text}' is not a number");
            return null;
        }

        return InRange(name, value) ? value : null;
    }

    public bool? Boolean(string name)
    {
        switch (Text(name))
        {
            case null: return null;
            case "true": return true;
            case "false": return false;
            case var other:
                Error(name, DiagnosticCodes.WrongType, $"'{other}' is neither true nor false");
                return null;
        }
    }

    public TimeSpan? Duration(string name)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        if (DurationRule().Match(text) is not { Success: true } m)
        {
            Error(name, DiagnosticCodes.WrongType, $"'{text}' is not a duration: write a number with a unit, such as 500ms, 60s, 5m, 2h or 30d");
            return null;
        }

        var unit = m.Groups[2].Value switch
        {
            "ms" => TimeSpan.TicksPerMillisecond,
            "s" => TimeSpan.TicksPerSecond,
            "m" => TimeSpan.TicksPerMinute,
            "h" => TimeSpan.TicksPerHour,
            _ => TimeSpan.TicksPerDay,
        };
        return double.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture) * unit is var ticks and < 1e18
            ? TimeSpan.FromTicks((long)ticks)
            : Fail<TimeSpan>(name, DiagnosticCodes.OutOfRange, $"'{text}' is too long");
    }

    public long? Size(string name)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        if (SizeRule().Match(text) is not { Success: true } m)
        {
            Error(name, DiagnosticCodes.WrongType, $"'{text}' is not a size: write a number with a unit, such as 64KiB, 512MiB or 2GiB");
            return null;
        }

        var shift = m.Groups[2].Value switch { "KiB" => 10, "MiB" => 20, "GiB" => 30, _ => 0 };
        return long.TryParse(m.Groups[1].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var n) && n <= long.MaxValue >> shift
            ? n << shift
            : Fail<long>(name, DiagnosticCodes.OutOfRange, $"'{text}' is too large");
    }

    /// <summary>One of the key's choices.</summary>
    public string? Choice(string name)
    {
        if (Text(name) is not { } text)
        {
            return null;
        }

        var choices = KeyOf(name)?.Choices ?? [];
        if (choices.Contains(text))
        {
            return text;
        }

        Error(name, DiagnosticCodes.OutOfRange, $"'{text}' is not one of {string.Join(", ", choices)}.{Suggestion.For(text, choices)}");
        return null;
    }

    /// <summary>A list of texts with their places; a single text stands for a list of one.</summary>
    public IReadOnlyList<Located> Texts(string name)
    {
        switch (_values.GetValueOrDefault(name))
        {
            case null:
                return [];
            case YamlScalarNode scalar:
                return [new Located(scalar.Value ?? "", TextStart(scalar))];
            case YamlSequenceNode list:
                var texts = new List<Located>();
                foreach (var item in list.Children)
                {
                    if (item is YamlScalarNode s)
                    {
                        texts.Add(new Located(s.Value ?? "", TextStart(s)));
                    }
                    else
                    {
                        Diagnostics.Error(At(item), DiagnosticCodes.WrongShape, $"'{name}' is a list of texts, not of {Shape(item)}");
                    }
                }

                return texts;
            case var other:
                Error(name, DiagnosticCodes.WrongShape, $"'{name}' is a list of texts, not {Shape(other)}");
                return [];
        }
    }

    /// <summary>A mapping of text to text, in the order written.</summary>
    public IReadOnlyList<KeyValuePair<Located, Located>> TextMap(string name)
    {
        if (Mapping(name) is not { } map)
        {
            return [];
        }

        var pairs = new List<KeyValuePair<Located, Located>>();
        foreach (var (k, v) in map.Children)
        {
            if (k is YamlScalarNode key && v is YamlScalarNode value)
            {
                pairs.Add(new(new Located(key.Value ?? "", At(key)), new Located(value.Value ?? "", TextStart(value))));
            }
            else
            {
                Diagnostics.Error(At(v), DiagnosticCodes.WrongShape, $"'{name}' maps texts to texts, not to {Shape(v)}");
            }
        }

        return pairs;
    }

    /// <summary>A mapping of further keys; null when absent or of another shape.</summary>
    public Section? Child(string name) => Mapping(name) is { } map
        ? new Section(map, KeyOf(name)?.Keys ?? [], Diagnostics, $"'{name}' of {What}")
        : null;

    /// <summary>A mapping read with keys that depend on what it holds (a component chosen by its 'type').</summary>
    public Section? Child(string name, IReadOnlyList<Key> keys, string what) => Mapping(name) is { } map ? new Section(map, keys, Diagnostics, what) : null;

    /// <summary>A list of mappings.</summary>
    public IReadOnlyList<Section> Children(string name)
    {
        var sections = new List<Section>();
        foreach (var map in Mappings(name))
        {
            sections.Add(new Section(map, KeyOf(name)?.Keys ?? [], Diagnostics, $"'{name}' of {What}"));
        }

        return sections;
    }

    /// <summary>The mappings of a list, unread.</summary>
    public IReadOnlyList<YamlMappingNode> Mappings(string name)
    {
        if (!_values.TryGetValue(name, out var node) || IsEmpty(node))
        {
            return [];
        }

        if (node is not YamlSequenceNode list)
        {
            Error(name, DiagnosticCodes.WrongShape, $"'{name}' is a list, not {Shape(node)}");
            return [];
        }

        var maps = new List<YamlMappingNode>();
        foreach (var item in list.Children)
        {
            if (item is YamlMappingNode map)
            {
                maps.Add(map);
            }
            else
            {
                Diagnostics.Error(At(item), DiagnosticCodes.WrongShape, $"each of '{name}' is a mapping, not {Shape(item)}");
            }
        }

        return maps;
    }

    /// <summary>The raw YAML value of a key, for trees of free form; null when absent.</summary>
    public YamlNode? Node(string name) => _values.GetValueOrDefault(name);

    /// <summary>Reports an error at the value of a key.</summary>
    public void Error(string name, string code, string message) => Diagnostics.Error(PositionOf(name), code, message);

    /// <summary>1-based position of a YAML node.</summary>
    public static Position At(YamlNode node) => new((int)node.Start.Line, (int)node.Start.Column);

    private static Position TextStart(YamlScalarNode node) => node.Style switch
    {
        // A block's text starts on the next line; its indentation is not kept, so the column is that of the key plus two.
        ScalarStyle.Literal or ScalarStyle.Folded => new((int)node.Start.Line + 1, Math.Max(1, (int)node.Start.Column)),
        ScalarStyle.SingleQuoted or ScalarStyle.DoubleQuoted => At(node).Plus(1),
        _ => At(node),
    };

    private static bool IsEmpty(YamlNode node) => node is YamlScalarNode { Value: null or "" or "~" or "null", Style: ScalarStyle.Plain };

    private static string Shape(YamlNode node) => node switch
    {
        YamlMappingNode => "a mapping",
        YamlSequenceNode => "a list",
        YamlScalarNode { Value: "" or null } => "nothing",
        _ => "a text",
    };

    private Key? KeyOf(string name) => _keys.FirstOrDefault(k => k.Name == name);

    private YamlScalarNode? Scalar(string name)
    {
        switch (_values.GetValueOrDefault(name))
        {
            case null: return null;
            case var empty when IsEmpty(empty) && empty is YamlScalarNode { Value: not "" }: return null;
            case YamlScalarNode scalar: return scalar;
            case var other:
                Error(name, DiagnosticCodes.WrongShape, $"'{name}' is a single value, not {Shape(other)}");
                return null;
        }
    }

    private YamlMappingNode? Mapping(string name)
    {
        switch (_values.GetValueOrDefault(name))
        {
            case null: return null;
            case YamlMappingNode map: return map;
            case var other:
                Error(name, DiagnosticCodes.WrongShape, $"'{name}' is a mapping, not {Shape(other)}");
                return null;
        }
    }

    private bool InRange(string name, double value)
    {
        if (KeyOf(name) is not { } key || (value >= key.Min && value <= key.Max))
        {
            return true;
        }

        var range = double.IsInfinity(key.Max) ? $"at least {key.Min}" : double.IsInfinity(key.Min) ? $"at most {key.Max}" : $"from {key.Min} to {key.Max}";
        Error(name, DiagnosticCodes.OutOfRange, string.Create(CultureInfo.InvariantCulture, $"{value} is out of range: '{name}' is {range}"));
        return false;
    }

    private T? Fail<T>(string name, string code, string message)
        where T : struct
    {
        Error(name, code, message);
        return null;
    }

    [GeneratedRegex("^[a-z][a-z0-9_]{0,49}$", RegexOptions.None, 1000)]
    internal static partial Regex NameRule();

    [GeneratedRegex(@"^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$", RegexOptions.None, 1000)]
    private static partial Regex DurationRule();

    [GeneratedRegex("^([0-9]{1,18})(B|KiB|MiB|GiB)?$", RegexOptions.None, 1000)]
    private static partial Regex SizeRule();
}
