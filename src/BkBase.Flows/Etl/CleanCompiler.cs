using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using BkBase.Flows.Definition;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Etl;

/// <summary>Compiles a clean configuration: nodes, levels, columns. What is wrong is reported where it stands.</summary>
internal sealed partial class CleanCompiler(DiagnosticBag diagnostics)
{
    private const int DepthMax = 64;

    private static readonly Key[] Common =
    [
        new("type", KeyKind.Choice, "what the node does", Required: true) { Choices = ["fun", "access", "assign", "branch"] },
        new("next", KeyKind.Open, "the node behind; a list of them for branch and selector"),
        new("label", KeyKind.Text, "BK-Base's name of the node"),
        new("name", KeyKind.Text, "a name"),
        new("result", KeyKind.Text, "a name of what comes out"),
        new("description", KeyKind.Text, "a remark"),
    ];

    private static readonly Key[] FunKeys =
    [
        .. Common,
        new("method", KeyKind.Choice, "the function", Required: true)
        {
            Choices =
            [
                "from_json", "from_json_list", "from_url", "csvline", "split", "splitkv", "replace", "regex_extract", "iterate", "items", "pop", "zip",
                "to_string", "selector",
            ],
        },
        new("args", KeyKind.Open, "its arguments"),
    ];

    private static readonly Key[] AccessKeys =
    [
        .. Common,
        new("subtype", KeyKind.Choice, "how the child is found", Required: true) { Choices = ["access_obj", "access_pos", "access_multi"] },
        new("key", KeyKind.Text, "key of access_obj"),
        new("index", KeyKind.Integer, "position of access_pos, from 0"),
        new("keys", KeyKind.Text, "keys of access_multi, between commas"),
        new("separator", KeyKind.Text, "text between the values of access_multi"),
        new("default_type", KeyKind.Text, "type of what is taken when there is no child; null when that costs the row"),
        new("default_value", KeyKind.Text, "what is taken when there is no child"),
    ];

    private static readonly Key[] AssignKeys =
    [
        .. Common,
        new("subtype", KeyKind.Choice, "where the values come from", Required: true) { Choices = ["assign_obj", "assign_pos", "assign_json", "assign_value"] },
        new("assign", KeyKind.Open, "columns: assign_to, type, key or index", Required: true),
    ];

    private static readonly Key[] AssignmentKeys =
    [
        new("assign_to", KeyKind.Text, "name of the column", Required: true),
        new("type", KeyKind.Choice, "type of the column; string when absent") { Choices = ["string", "text", "int", "long", "double", "bigint", "bigdecimal", "timestamp"] },
        new("key", KeyKind.Text, "key of the value"),
        new("index", KeyKind.Integer, "position of the value, from 0") { Min = 0, Max = int.MaxValue },
        new("is_dimension", KeyKind.Boolean, "whether it identifies the series"),
    ];

    private readonly Dictionary<CleanColumn, Position> _positions = [];

    /// <summary>The outermost level.</summary>
    public CleanLevel Root { get; } = new();

    /// <summary>Where a column was assigned first.</summary>
    public Position PositionOf(CleanColumn column) => _positions.GetValueOrDefault(column);

    /// <summary>Whether a column may have this name.</summary>
    public static bool IsColumnName(string name) => ColumnName().IsMatch(name);

    /// <summary>Compiles the tree; null after errors.</summary>
    public CleanNode? Tree(YamlMappingNode node) => Node(node, new Place(Root, "", null, 0));

    /// <summary>Numbers the columns of all levels, the outer before the inner.</summary>
    public CleanColumn[] Number()
    {
        CleanColumn[] columns = [.. Root.Chain().SelectMany(l => l.Columns)];
        for (var i = 0; i < columns.Length; i++)
        {
            columns[i].Flat = i;
        }

        return columns;
    }

    private static YamlNode? Given(Section section, string key) =>
        section.Node(key) is { } node && node is not YamlScalarNode { Style: ScalarStyle.Plain, Value: null or "" or "null" or "~" } ? node : null;

    private CleanNode? Node(YamlMappingNode map, Place place)
    {
        if (place.Depth == DepthMax)
        {
            diagnostics.Error(Section.At(map), DiagnosticCodes.OutOfRange, $"a tree is at most {DepthMax} nodes deep");
            return null;
        }

        place = place with { Depth = place.Depth + 1 };
        var type = map.Children.TryGetValue(new YamlScalarNode("type"), out var node) ? (node as YamlScalarNode)?.Value : null;
        var (keys, what) = type switch
        {
            "fun" => (FunKeys, "a fun node"),
            "access" => (AccessKeys, "an access node"),
            "assign" => (AssignKeys, "an assign node"),
            _ => (Common, "a node"),
        };
        var section = new Section(map, keys, diagnostics, what);
        switch (section.Choice("type"))
        {
            case "fun": return Fun(section, place);
            case "access": return Access(section, place);
            case "assign": return Assign(section, place);
            case "branch":
                var nodes = Nodes(section, _ => place);
                return nodes is null ? null : new CleanBranchNode(nodes);
            default: return null;
        }
    }

    private CleanNode? Next(Section section, Place place)
    {
        switch (Given(section, "next"))
        {
            case YamlMappingNode map:
                return Node(map, place);
            case null:
                diagnostics.Error(section.Position, DiagnosticCodes.MissingKey, $"{section.What} needs 'next': a tree ends with assign nodes");
                return null;
            default:
                section.Error("next", DiagnosticCodes.WrongShape, $"'next' of {section.What} is one node; several stand in a branch");
                return null;
        }
    }

    private CleanNode[]? Nodes(Section section, Func<int, Place> place)
    {
        if (Given(section, "next") is not YamlSequenceNode { Children.Count: > 0 } list)
        {
            section.Error("next", DiagnosticCodes.WrongShape, $"'next' of {section.What} is a list of nodes");
            return null;
        }

        var nodes = new List<CleanNode>();
        foreach (var child in list.Children)
        {
            if (child is not YamlMappingNode map)
            {
                diagnostics.Error(Section.At(child), DiagnosticCodes.WrongShape, "a node is a mapping with 'type'");
            }
            else if (Node(map, place(nodes.Count)) is { } node)
            {
                nodes.Add(node);
            }
        }

        return nodes.Count == list.Children.Count ? [.. nodes] : null;
    }

    private CleanNode? Access(Section section, Place place)
    {
        var (key, index) = (section.Text("key"), section.Integer("index"));
        var orElse = Default(section);
        switch (section.Choice("subtype"))
        {
            case "access_obj" when Required(section, "key", key is not null):
                var path = CleanPath.Key(place.Path, key!);
                return Next(section, place with { Path = path }) is { } next ? new CleanAccess(Encoding.UTF8.GetBytes(key!), 0, orElse, place.Path, path, next) : null;
            case "access_pos" when Required(section, "index", index is not null):
                var at = (int)Math.Clamp(index!.Value, -1, int.MaxValue);
                path = CleanPath.At(place.Path, at);
                return Next(section, place with { Path = path }) is { } behind ? new CleanAccess(null, at, orElse, place.Path, path, behind) : null;
            case "access_multi" when Required(section, "keys", section.Text("keys") is not null):
                byte[][] keys = [.. section.Text("keys")!.Split(',').Select(Encoding.UTF8.GetBytes)];
                return Next(section, place) is { } after ? new CleanAccessMulti(keys, Encoding.UTF8.GetBytes(section.Text("separator") ?? ","), place.Path, after) : null;
            default:
                return null;
        }
    }

    private static (CleanKind, byte[])? Default(Section section)
    {
        var text = section.Text("default_value") ?? "";
        switch (section.Text("default_type"))
        {
            case null or "" or "null": return null;
            case "string" or "text": return (CleanKind.Text, Encoding.UTF8.GetBytes(text));
            case "int" or "long" or "double" or "bigint" or "bigdecimal" when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number):
                return (CleanKind.Number, Encoding.UTF8.GetBytes(text.Trim()));
            case "int" or "long" or "double" or "bigint" or "bigdecimal":
                section.Error("default_value", DiagnosticCodes.WrongType, $"'{text}' is not a number");
                return null;
            case var word:
                section.Error("default_type", DiagnosticCodes.WrongType, $"'{word}' is not a type; types are null (none), string, text, int, long, double, bigint, bigdecimal");
                return null;
        }
    }

    private CleanNode? Assign(Section section, Place place)
    {
        var subtype = section.Choice("subtype");
        IEnumerable<YamlNode> entries = Given(section, "assign") switch
        {
            YamlMappingNode one => [one],
            YamlSequenceNode list => list.Children,
            _ => [],
        };
        var assignments = new List<CleanAssignment>();
        var count = 0;
        foreach (var entry in entries)
        {
            count++;
            if (entry is not YamlMappingNode map)
            {
                diagnostics.Error(Section.At(entry), DiagnosticCodes.WrongShape, "a column is a mapping with 'assign_to'");
            }
            else if (subtype is not null)
            {
                Assignment(new Section(map, AssignmentKeys, diagnostics, "a column"), subtype, assignments, place);
            }
        }

        if (count == 0 || (subtype == "assign_value" && count > 1))
        {
            section.Error("assign", DiagnosticCodes.WrongShape, count == 0 ? "'assign' is a list of columns" : "assign_value writes one column");
            return null;
        }

        return assignments.Count == 0 ? null : subtype switch
        {
            "assign_pos" => new CleanAssignPositions([.. assignments], place.Path),
            "assign_value" => new CleanAssignValue(assignments[0].Column, place.Path),
            _ => new CleanAssignKeys([.. assignments], place.Path),
        };
    }

    private void Assignment(Section section, string subtype, List<CleanAssignment> assignments, Place place)
    {
        var (key, index) = (section.Text("key"), section.Integer("index"));
        var name = section.Text("assign_to") ?? "";
        if (!(subtype switch { "assign_value" => true, "assign_pos" => Required(section, "index", index is not null), _ => Required(section, "key", key is not null) }))
        {
            return;
        }

        var isAll = subtype == "assign_json" && key == "__all_keys__";
        byte[]?[] keys = [isAll || key is null ? null : Encoding.UTF8.GetBytes(key)];
        var same = subtype is "assign_obj" or "assign_json" ? assignments.FindIndex(a => a.Column.Name == name) : -1;
        if (same >= 0)
        {
            // Several keys of one column: the first that holds something counts.
            assignments[same] = assignments[same] with { Keys = [.. assignments[same].Keys, .. keys] };
            return;
        }

        var path = subtype switch
        {
            "assign_pos" => CleanPath.At(place.Path, (int)(index ?? 0)),
            "assign_value" => place.Path,
            _ => isAll ? place.Path : CleanPath.Key(place.Path, key ?? ""),
        };
        if (Column(section, name, Type(section, subtype), section.Boolean("is_dimension") ?? false, place) is { } column)
        {
            column.Path = column.Path.Length == 0 ? path : column.Path;
            assignments.Add(new CleanAssignment(column, keys, (int)(index ?? 0), path));
        }
    }

    private static CleanType Type(Section section, string subtype)
    {
        var word = section.Choice("type") ?? "string";
        if (word == "timestamp")
        {
            section.Error("type", DiagnosticCodes.WrongType, "'timestamp' is the type of the event time alone; assign a string or long and name it in time_field_name");
        }
        else if (subtype == "assign_json" && word is not ("string" or "text"))
        {
            section.Error("type", DiagnosticCodes.WrongType, "assign_json writes text: its type is string or text");
        }

        return subtype == "assign_json" ? CleanType.Json : word switch
        {
            "text" => CleanType.Text,
            "int" => CleanType.Int,
            "long" => CleanType.Long,
            "double" => CleanType.Double,
            "bigint" => CleanType.BigInt,
            "bigdecimal" => CleanType.BigDecimal,
            _ => CleanType.String,
        };
    }

    private CleanColumn? Column(Section section, string name, CleanType type, bool isDimension, Place place)
    {
        const string Key = "assign_to";
        if (!IsColumnName(name))
        {
            section.Error(Key, DiagnosticCodes.BadName, $"'{name}' cannot name a column: write a letter or '_', then letters, digits and '_'");
            return null;
        }

        if (isDimension && type != CleanType.String)
        {
            section.Error("is_dimension", DiagnosticCodes.Contradiction, "a dimension is a string");
            return null;
        }

        var column = place.Level.Add(name, type, isDimension, place.Branch);
        if (column is null)
        {
            section.Error(Key, DiagnosticCodes.DuplicateName, $"a column '{name}' is assigned already, to the same row or with another type");
            return null;
        }

        _positions.TryAdd(column, section.PositionOf(Key));
        return column;
    }

    private static bool Required(Section section, string key, bool isGiven)
    {
        if (!isGiven && !section.Has(key))
        {
            section.Diagnostics.Error(section.Position, DiagnosticCodes.MissingKey, $"{section.What} needs '{key}' here");
        }

        return isGiven;
    }

    [GeneratedRegex("^[A-Za-z_][A-Za-z0-9_]{0,49}$", RegexOptions.None, 1000)]
    private static partial Regex ColumnName();

    /// <summary>Where in the tree the compiler is.</summary>
    private sealed record Place(CleanLevel Level, string Path, CleanBranch? Branch, int Depth);
}
