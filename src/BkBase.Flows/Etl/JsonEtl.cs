using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Etl;

/// <summary>One field of the json format.</summary>
/// <param name="Path">Steps to the value: property names and [index].</param>
public sealed record JsonField(string Name, JsonPath Path, ColumnType Type, FieldRole Role, bool Nullable);

/// <summary>A path like <c>a.b[0].c</c>; <c>.</c> is where it starts.</summary>
public sealed class JsonPath
{
    private readonly (byte[]? Name, int Index)[] _steps;

    private JsonPath(string text, (byte[]? Name, int Index)[] steps)
    {
        Text = text;
        _steps = steps;
    }

    public string Text { get; }

    /// <summary>Null when the text is not a path.</summary>
    public static JsonPath? Parse(string text)
    {
        var steps = new List<(byte[]?, int)>();
        if (text == ".")
        {
            return new JsonPath(text, []);
        }

        foreach (var part in text.Split('.'))
        {
            var bracket = part.IndexOf('[', StringComparison.Ordinal);
            var name = bracket < 0 ? part : part[..bracket];
            if (name.Length > 0)
            {
                steps.Add((Encoding.UTF8.GetBytes(name), 0));
            }
            else if (bracket < 0)
            {
                return null;
            }

            for (var rest = bracket < 0 ? "" : part[bracket..]; rest.Length > 0;)
            {
                var end = rest.IndexOf(']', StringComparison.Ordinal);
                if (rest[0] != '[' || end < 0 || !int.TryParse(rest.AsSpan(1, end - 1), System.Globalization.NumberStyles.None, null, out var index))
                {
                    return null;
                }

                steps.Add((null, index));
                rest = rest[(end + 1)..];
            }
        }

        return new JsonPath(text, [.. steps]);
    }

    internal JsonItem Find(JsonItem from)
    {
        foreach (var (name, index) in _steps)
        {
            from = name is null ? from[index] : from[name];
        }

        return from;
    }
}

/// <summary>json: rows of chosen fields out of any JSON.</summary>
/// <param name="TimePath">Where the event time is; null for the append time.</param>
/// <param name="Format">.NET date format, when the time is a text.</param>
/// <param name="Zone">Hours east of UTC of a time text without zone.</param>
/// <param name="Explode">A list in the record of which each element makes a row, a record without it one; paths of fields start at the element, then at the record.</param>
public sealed record JsonSettings(IReadOnlyList<JsonField> Fields, JsonPath? TimePath, TimeUnit Unit, string? Format, double Zone, JsonPath? Explode) : IEtlSettings
{
    private static readonly Key[] TimeKeys =
    [
        new("path", KeyKind.Text, "where the time is", Required: true),
        new("unit", KeyKind.Choice, "unit of a number") { Choices = EventTime.Units },
        new("format", KeyKind.Text, ".NET date format of a text; ISO 8601 when absent"),
        new("zone", KeyKind.Number, "hours east of UTC of a text without zone") { Min = -14, Max = 14 },
    ];

    private static readonly Key[] FieldKeys =
    [
        new("path", KeyKind.Text, "where the value is: a.b[0].c; the field's name when absent"),
        new("type", KeyKind.Choice, "type of the column") { Choices = Cell.Words },
        new("role", KeyKind.Choice, "dimension (identifies the series) or value") { Choices = ["dimension", "value"] },
        new("nullable", KeyKind.Boolean, "whether the value may be absent"),
    ];

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "json",
        "chosen fields out of any JSON",
        "{ type: json, fields: { host: { path: meta.host, role: dimension }, cpu: { type: float64 } }, time: { path: ts, unit: s } }",
        [
            new("fields", KeyKind.Open, "columns by name: path, type, role, nullable", Required: true),
            new("time", KeyKind.Section, "event time; the append time when absent") { Keys = TimeKeys },
            new("explode", KeyKind.Text, "path of a list of which each element makes a row; a record without it makes one"),
        ],
        Read);

    public Schema Schema { get; } = new([Schema.Time, .. Fields.Select(f => new Field(f.Name, f.Type, f.Role, f.Nullable))]);

    public static JsonSettings Read(Section section)
    {
        var fields = new List<JsonField>();
        if (section.Node("fields") is YamlMappingNode map)
        {
            foreach (var (key, value) in map.Children)
            {
                if (ReadField(section, key, value) is { } field && !fields.Exists(f => f.Name == field.Name))
                {
                    fields.Add(field);
                }
            }
        }
        else if (section.Has("fields"))
        {
            section.Error("fields", DiagnosticCodes.WrongShape, "'fields' maps names to their path and type");
        }

        var time = section.Child("time");
        return new JsonSettings(
            fields,
            time is null ? null : ReadPath(time, "path"),
            EventTime.Unit(time?.Choice("unit")),
            time?.Text("format"),
            time?.Number("zone") ?? 0,
            ReadPath(section, "explode"));
    }

    public IEtl Create() => new JsonEtl(this);

    private static JsonField? ReadField(Section section, YamlNode key, YamlNode value)
    {
        var name = (key as YamlScalarNode)?.Value ?? "";
        if (!Section.NameRule().IsMatch(name) || name == Schema.TimeName)
        {
            section.Diagnostics.Error(Section.At(key), DiagnosticCodes.BadName, $"'{name}' cannot name a column");
            return null;
        }

        if (value is not YamlMappingNode map)
        {
            section.Diagnostics.Error(Section.At(value), DiagnosticCodes.WrongShape, $"field '{name}' is a mapping of path, type, role, nullable");
            return null;
        }

        var keys = new Section(map, FieldKeys, section.Diagnostics, $"field '{name}'");
        var isDimension = keys.Choice("role") == "dimension";
        var type = keys.Choice("type") is { } word ? Cell.Type(new Located(word, keys.PositionOf("type")), section.Diagnostics) : ColumnType.String;
        var nullable = keys.Boolean("nullable") ?? false;
        if (isDimension && nullable)
        {
            keys.Error("nullable", DiagnosticCodes.Contradiction, "a dimension is never null: absent is ''");
        }

        return new JsonField(name, ReadPath(keys, "path") ?? JsonPath.Parse(name)!, type, isDimension ? FieldRole.Dimension : FieldRole.Value, nullable && !isDimension);
    }

    private static JsonPath? ReadPath(Section section, string key)
    {
        if (section.Text(key) is not { } text)
        {
            return null;
        }

        var path = JsonPath.Parse(text);
        if (path is null)
        {
            section.Error(key, DiagnosticCodes.WrongType, $"'{text}' is not a path such as a.b[0].c");
        }

        return path;
    }
}

/// <summary>Parser of <see cref="JsonSettings"/>.</summary>
public sealed class JsonEtl(JsonSettings settings) : IEtl
{
    private readonly JsonTape _tape = new();
    private readonly TimeSpan _zone = TimeSpan.FromHours(settings.Zone);

    public Schema Schema => settings.Schema;

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        if (settings.Explode is null || settings.Explode.Find(root) is { Exists: false })
        {
            ParseRow(root, root, "", output);
            return;
        }

        var list = settings.Explode.Find(root);
        if (!list.IsArray && !list.IsNothing)
        {
            output.Reject(RejectReason.WrongType, settings.Explode.Text, "what is exploded is a list", payload);
            return;
        }

        var index = 0;
        foreach (var item in list.Elements)
        {
            ParseRow(item, root, $"{settings.Explode.Text}[{index++}].", output);
        }

        if (index == 0)
        {
            output.Filtered++;
        }
    }

    private static JsonItem Find(JsonPath path, in JsonItem item, in JsonItem root) => path.Find(item) is { Exists: true } own ? own : path.Find(root);

    private void ParseRow(in JsonItem item, in JsonItem root, string prefix, EtlOutput output)
    {
        var rows = output.Rows;
        var time = output.AppendTime;
        if (settings.TimePath is { } path && !TryTime(Find(path, item, root), out time))
        {
            output.Reject(RejectReason.BadTime, prefix + path.Text, $"no event time at '{path.Text}': a number ({settings.Unit.ToString().ToLowerInvariant()}) since 1970, or a date, of this era", item.Raw);
            return;
        }

        rows.SetInt64(0, time);
        for (var i = 0; i < settings.Fields.Count; i++)
        {
            var field = settings.Fields[i];
            var value = Find(field.Path, item, root);
            if (value.IsNothing ? field.Nullable || field.Role == FieldRole.Dimension : Cell.Set(rows, i + 1, value))
            {
                continue;
            }

            if (!value.IsNothing && field.Nullable)
            {
                output.Reject(RejectReason.WrongType, prefix + field.Path.Text, $"'{field.Name}' is {field.Type}; it is null in its row", item.Raw);
            }
            else
            {
                rows.RollbackRow();
                output.Reject(value.IsNothing ? RejectReason.MissingField : RejectReason.WrongType, prefix + field.Path.Text, value.IsNothing
                    ? $"'{field.Path.Text}' is missing; say 'nullable: true' in the flow if it may be"
                    : $"'{field.Name}' is {field.Type.ToString().ToLowerInvariant()}, and the value here is none", item.Raw);
                return;
            }
        }

        rows.CommitRow();
    }

    private bool TryTime(in JsonItem value, out long time)
    {
        time = 0;
        return value.IsText
            ? EventTime.TryText(value.Text, settings.Format, _zone, out time)
            : value.TryInt64(out var number) && EventTime.TryMilliseconds(number, settings.Unit, out time);
    }
}
