using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using BkBase.Flows.Definition;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Etl;

/// <summary>The 'fun' nodes and the conditions of selectors.</summary>
internal sealed partial class CleanCompiler
{
    private static readonly Key[] PatternKeys =
    [
        new("regexp", KeyKind.Text, "regular expression with named groups", Required: true),
        new("keys", KeyKind.Texts, "groups that are taken; all when absent"),
        new("result", KeyKind.Text, "a name of what comes out"),
    ];

    private static readonly Key[] ConditionKeys =
    [
        new("op", KeyKind.Choice, "how the two are compared or combined", Required: true) { Choices = CleanCondition.Words },
        new("lval", KeyKind.Open, "left: a constant, $0 (position), $key, $ALL, or a condition", Required: true),
        new("rval", KeyKind.Open, "right"),
    ];

    private static IReadOnlyList<YamlNode> Args(Section section) => Given(section, "args") switch
    {
        YamlSequenceNode list => [.. list.Children],
        { } one => [one],
        null => [],
    };

    private string? TextArg(Section section, IReadOnlyList<YamlNode> args, int index, string what)
    {
        if (index < args.Count && args[index] is YamlScalarNode { Value.Length: > 0 } scalar)
        {
            return scalar.Value;
        }

        diagnostics.Error(index < args.Count ? Section.At(args[index]) : section.PositionOf("args"), DiagnosticCodes.MissingKey, $"argument {index + 1} of this function is {what}");
        return null;
    }

    private CleanNode? Fun(Section section, Place place)
    {
        var args = Args(section);
        var (path, method) = (place.Path, section.Choice("method"));
        switch (method)
        {
            case null: return null;
            case "iterate": return Iterate(section, args, place);
            case "items": return Items(section, args, place);
            case "selector": return Selector(section, args, place);
        }

        if (Next(section, place) is not { } next)
        {
            return null;
        }

        switch (method)
        {
            case "from_json": return new CleanFromJson(false, path, next);
            case "from_json_list": return new CleanFromJson(true, path, next);
            case "from_url": return new CleanFromUrl(path, next);
            case "csvline": return new CleanCsvLine(path, next);
            case "pop": return new CleanPop(path, next);
            case "to_string": return new CleanToText(path, next);
            case "split": return Split(section, args, path, next);
            case "splitkv": return SplitPairs(args, path, next);
            case "replace": return Replace(section, args, path, next);
            case "zip":
                return TextArg(section, args, 0, "the key of a list") is { } first && TextArg(section, args, 1, "the key of a list") is { } second
                    ? new CleanZip(Encoding.UTF8.GetBytes(first), Encoding.UTF8.GetBytes(second), path, next)
                    : null;
            default: return RegexExtract(section, args, path, next);
        }
    }

    private CleanSplit? Split(Section section, IReadOnlyList<YamlNode> args, string path, CleanNode next)
    {
        if (TextArg(section, args, 0, "a separator") is not { } separator)
        {
            return null;
        }

        var limit = CleanSplit.LimitMax;
        if (args.Count > 1 && !(args[1] is YamlScalarNode scalar && int.TryParse(scalar.Value, NumberStyles.None, CultureInfo.InvariantCulture, out limit) && limit > 0))
        {
            diagnostics.Error(Section.At(args[1]), DiagnosticCodes.WrongType, "argument 2 of split is a number of pieces");
            return null;
        }

        separator = separator.Replace("\\n", "\n", StringComparison.Ordinal);
        var character = char.IsHighSurrogate(separator[0]) && separator.Length > 1 ? separator[..2] : separator[..1];
        return new CleanSplit(Encoding.UTF8.GetBytes(character), Math.Min(limit, CleanSplit.LimitMax), path, next);
    }

    private CleanSplitPairs? SplitPairs(IReadOnlyList<YamlNode> args, string path, CleanNode next)
    {
        var separators = new[] { ",", ":" };
        for (var i = 0; args.Count >= 2 && i < 2; i++)
        {
            separators[i] = (args[i] as YamlScalarNode)?.Value ?? "";
            if (separators[i].Length == 0 || !Ascii.IsValid(separators[i]))
            {
                diagnostics.Error(Section.At(args[i]), DiagnosticCodes.WrongType, "a separator of splitkv is made of ASCII characters");
                return null;
            }
        }

        return new CleanSplitPairs(Encoding.ASCII.GetBytes(separators[0]), Encoding.ASCII.GetBytes(separators[1]), path, next);
    }

    private CleanReplace? Replace(Section section, IReadOnlyList<YamlNode> args, string path, CleanNode next)
    {
        var pairs = new List<(byte[], byte[])>();
        for (var i = 0; i < Math.Max(1, args.Count); i += 2)
        {
            if (TextArg(section, args, i, "a text that is replaced") is not { } from)
            {
                return null;
            }

            var to = i + 1 < args.Count ? (args[i + 1] as YamlScalarNode)?.Value ?? "" : "";
            pairs.Add((Encoding.UTF8.GetBytes(from), Encoding.UTF8.GetBytes(to)));
        }

        return new CleanReplace([.. pairs], path, next);
    }

    private CleanRegexExtract? RegexExtract(Section section, IReadOnlyList<YamlNode> args, string path, CleanNode next)
    {
        if (args.Count == 0 || args[0] is not YamlMappingNode map)
        {
            section.Error("args", DiagnosticCodes.WrongShape, "the argument of regex_extract is a mapping of regexp and keys");
            return null;
        }

        var arg = new Section(map, PatternKeys, diagnostics, "the argument of regex_extract");
        if (arg.Text("regexp") is not { } text)
        {
            return null;
        }

        try
        {
            var pattern = new Regex(text, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant, TimeSpan.FromSeconds(1));
            string[] groups = [.. pattern.GetGroupNames().Where(n => !char.IsAsciiDigit(n[0]))];
            var keys = arg.Texts("keys");
            foreach (var key in keys.Where(k => !groups.Contains(k.Text)))
            {
                diagnostics.Error(key.At, DiagnosticCodes.UnknownColumn, $"the pattern has no group '{key.Text}'.{Suggestion.For(key.Text, groups)}");
            }

            return new CleanRegexExtract(pattern, keys.Count == 0 ? groups : [.. keys.Select(k => k.Text)], path, next);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            arg.Error("regexp", DiagnosticCodes.BadRegex, $"this pattern cannot be used: {e.Message}");
            return null;
        }
    }

    private CleanLevel OpenLevel(Section section, Place place)
    {
        if (place.Level.OpenNested(place.Branch, out var level))
        {
            diagnostics.Warning(section.Position, DiagnosticCodes.Contradiction, "several lists are iterated side by side: this one makes the rows, those before it are not read");
        }

        return level;
    }

    private CleanNode? Iterate(Section section, IReadOnlyList<YamlNode> args, Place place)
    {
        var level = OpenLevel(section, place);
        var next = Next(section, place with { Level = level, Path = CleanPath.EachIndex(place.Path) });
        var name = args.Count > 0 ? TextArg(section, args, 0, "the column of the element's number") : "_iteration_idx";
        var number = name is null ? null : EachColumn(section, name, CleanType.Int, false, level, place);
        if (number is not null)
        {
            number.IsImplied = args.Count == 0;
        }

        return next is null || number is null ? null : new CleanEach(false, place.Level, level, number, null, place.Path, next);
    }

    private CleanNode? Items(Section section, IReadOnlyList<YamlNode> args, Place place)
    {
        var level = OpenLevel(section, place);
        var next = Next(section, place with { Level = level, Path = CleanPath.EachKey(place.Path) });
        CleanColumn? key = null;
        if (args.Count > 0)
        {
            var isDimension = args.Count > 1 && (args[1] as YamlScalarNode)?.Value == "dimension";
            key = TextArg(section, args, 0, "the column of the key") is { } name ? EachColumn(section, name, CleanType.String, isDimension, level, place) : null;
        }

        return next is null || (args.Count > 0 && key is null) ? null : new CleanEach(true, place.Level, level, null, key, place.Path, next);
    }

    private CleanColumn? EachColumn(Section section, string name, CleanType type, bool isDimension, CleanLevel level, Place place)
    {
        var column = IsColumnName(name) ? level.Add(name, type, isDimension, place.Branch) : null;
        if (column is null)
        {
            section.Error("args", IsColumnName(name) ? DiagnosticCodes.DuplicateName : DiagnosticCodes.BadName, $"'{name}' cannot name a column here");
            return null;
        }

        _positions.TryAdd(column, section.PositionOf("args"));
        return column;
    }

    private CleanSelector? Selector(Section section, IReadOnlyList<YamlNode> args, Place place)
    {
        var identity = new object();
        var nested = place.Level.Nested;
        var branches = Nodes(section, i => place with { Branch = new CleanBranch(place.Branch, identity, i) });
        var conditions = new List<CleanCondition>();
        foreach (var arg in args)
        {
            if (Condition(arg) is { } condition)
            {
                conditions.Add(condition);
            }
        }

        if (branches is null || conditions.Count != args.Count)
        {
            return null;
        }

        if (branches.Length - conditions.Count is not (0 or 1))
        {
            section.Error("next", DiagnosticCodes.Contradiction, $"{conditions.Count} conditions need as many branches, or one more for else; here are {branches.Length}");
            return null;
        }

        return new CleanSelector([.. conditions], branches, !ReferenceEquals(nested, place.Level.Nested));
    }

    private CleanCondition? Condition(YamlNode node)
    {
        if (node is not YamlMappingNode map)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "a condition is a mapping of op, lval and rval");
            return null;
        }

        var section = new Section(map, ConditionKeys, diagnostics, "a condition");
        if (section.Choice("op") is not { } op || !Required(section, "lval", Given(section, "lval") is not null)
            || (op != "not" && !Required(section, "rval", Given(section, "rval") is not null)))
        {
            return null;
        }

        var (left, right) = (Given(section, "lval")!, Given(section, "rval"));
        if (op is "and" or "or" or "not")
        {
            var first = Condition(left);
            var second = right is null || op == "not" ? null : Condition(right);
            return first is null || (op != "not" && second is null) ? null : new CleanLogic(op, first, second);
        }

        return Operand(left, op) is { } a && Operand(right!, op) is { } b ? new CleanComparison(op, a, b) : null;
    }

    private CleanOperand? Operand(YamlNode node, string op)
    {
        if (node is not YamlScalarNode { Value: { } text } scalar)
        {
            diagnostics.Error(Section.At(node), DiagnosticCodes.WrongShape, "what is compared is a constant, $0 (position), $key or $ALL");
            return null;
        }

        if (text.StartsWith('$'))
        {
            var name = text[1..].Trim();
            return text == "$ALL" ? new CleanOperand(null, null, null, null)
                : int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out var index) ? new CleanOperand(null, null, index, null)
                : new CleanOperand(null, null, null, Encoding.UTF8.GetBytes(name));
        }

        var isNumber = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number);
        if (!isNumber && op is "greater" or "not_greater" or "less" or "not_less")
        {
            diagnostics.Error(Section.At(scalar), DiagnosticCodes.WrongType, $"'{text}' is not a number: {op} compares numbers");
            return null;
        }

        return new CleanOperand(Encoding.UTF8.GetBytes(text), isNumber ? number : null, null, null);
    }
}
