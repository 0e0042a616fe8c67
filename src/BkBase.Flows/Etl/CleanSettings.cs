using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Etl;

/// <summary>
/// clean: BK-Base's operator tree. Its JSON configuration (<c>extract</c>, <c>conf</c>, <c>calculate</c>, <c>convert</c>,
/// <c>derive</c>, <c>dispatch</c>) is YAML as it stands, so that it can be pasted under <c>etl</c>:
/// <code>
/// etl:
///   type: clean
///   conf: { time_field_name: ts, time_format: 'yyyy-MM-dd HH:mm:ss', timestamp_len: 0, timezone: 8 }
///   extract:
///     type: fun
///     method: from_json
///     next:
///       type: branch
///       next:
///         - { type: assign, subtype: assign_obj, assign: [{ key: _time_, assign_to: ts, type: string }] }
///         - type: access
///           subtype: access_obj
///           key: _value_
///           next:
///             type: fun
///             method: iterate
///             next:
///               type: fun
///               method: split
///               args: ['|']
///               next: { type: assign, subtype: assign_pos, assign: [{ index: 0, assign_to: id, type: long }] }
/// </code>
/// An element of an iteration that a node cannot take is refused with its path, its neighbours stay; a value that does
/// not fit its column is null and refused, its row stays. What a row is: the columns of the levels around an iteration
/// with those of each element. Types: string (interned, for keys and names), text, int, long, double; bigint and
/// bigdecimal keep their digits as text; assign_json gives JSON.
/// </summary>
public sealed record CleanSettings : IEtlSettings
{
    private readonly CleanPlan? _plan;
    private readonly Encoding? _encoding;
    private readonly bool _isCompressed;

    private CleanSettings(Schema schema, CleanPlan? plan, Encoding? encoding, bool isCompressed) =>
        (Schema, _plan, _encoding, _isCompressed) = (schema, plan, encoding, isCompressed);

    private static readonly Key[] ConfKeys =
    [
        new("time_field_name", KeyKind.Text, "column that holds the event time; localTime for the time the record was appended", Required: true),
        new("time_format", KeyKind.Text, "Java date pattern of a text, such as yyyy-MM-dd HH:mm:ss"),
        new("timestamp_len", KeyKind.Integer, "digits of a number: 13 ms, 10 s, 8 minutes, 16 us; 0 for texts"),
        new("timezone", KeyKind.Number, "hours east of UTC of a text without zone; 8 when absent") { Min = -14, Max = 14 },
        new("time_round", KeyKind.Integer, "milliseconds that times are rounded down to") { Min = 1, Max = 86_400_000 },
        new("output_field_name", KeyKind.Text, "a column, at the end, that repeats the event time as Unix milliseconds"),
        new("encoding", KeyKind.Text, "encoding of the records; UTF-8 when absent"),
        new("compressed", KeyKind.Text, "1 when records are compressed with gzip"),
        new("ignore_fields", KeyKind.Texts, "columns that do not come out"),
        new("derive_dimension_field_name", KeyKind.Text, "column of the names of 'derive'"),
        new("derive_value_field_name", KeyKind.Text, "column of the values of 'derive'"),
        new("delimiter", KeyKind.Text, "taken for BK-Base's sake; rows are columns here"),
    ];

    public static CatalogEntry<IEtlSettings> Entry { get; } = new(
        "clean",
        "BK-Base's clean configuration: a tree of operators",
        """
        { type: clean, conf: { time_field_name: ts, timestamp_len: 10 }, extract: { type: fun, method: from_json, next: { type: branch, next: [{ type: assign, subtype: assign_obj, assign: [{ key: time, assign_to: ts, type: long }] }, { type: access, subtype: access_obj, key: items, next: { type: fun, method: iterate, next: { type: assign, subtype: assign_obj, assign: [{ key: name, assign_to: name, is_dimension: true }, { key: v, assign_to: v, type: double }] } } }] } } }
        """,
        [
            new("extract", KeyKind.Open, "the operator tree: type fun, access, assign or branch, and next", Required: true),
            new("conf", KeyKind.Section, "event time and encoding", Required: true) { Keys = ConfKeys },
            new("calculate", KeyKind.Sections, "numbers computed from columns") { Keys = CleanCompiler.CalculateKeys },
            new("convert", KeyKind.Sections, "trim of text columns") { Keys = CleanCompiler.ConvertKeys },
            new("derive", KeyKind.TextMap, "columns that become rows: column to the name it has then"),
            new("dispatch", KeyKind.Sections, "rows that are copied under another data_id; route on that column with 'split'") { Keys = CleanCompiler.DispatchKeys },
        ],
        Read);

    public Schema Schema { get; }

    public static CleanSettings Read(Section section)
    {
        var diagnostics = section.Diagnostics;
        var before = diagnostics.Count;
        var compiler = new CleanCompiler(diagnostics);
        var tree = section.Node("extract") is YamlMappingNode node ? compiler.Tree(node) : null;
        if (section.Has("extract") && section.Node("extract") is not YamlMappingNode)
        {
            section.Error("extract", DiagnosticCodes.WrongShape, "'extract' is a mapping: a node with 'type'");
        }

        var conf = section.Child("conf");
        compiler.Derive(section, conf);
        var calculations = compiler.Calculations(section);
        var columns = compiler.Number();
        var timeName = conf?.Text("time_field_name") ?? "localTime";
        var timeColumn = timeName == "localTime" ? null : columns.LastOrDefault(c => c.Name == timeName);
        if (timeColumn is null && timeName != "localTime" && tree is not null)
        {
            conf!.Error("time_field_name", DiagnosticCodes.UnknownColumn, $"no column '{timeName}' is assigned.{Suggestion.For(timeName, columns.Select(c => c.Name))}");
        }

        var ignored = conf?.Texts("ignore_fields").Select(t => t.Text).ToHashSet(StringComparer.Ordinal) ?? [];
        var fields = new List<Field> { Schema.Time };
        foreach (var column in columns)
        {
            if (ignored.Contains(column.Name) || (column.Name == Schema.TimeName && column == timeColumn)
                || (column.IsImplied && columns.Any(c => c.Flat > column.Flat && c.Name == column.Name)))
            {
                continue;
            }

            if (fields.Exists(f => f.Name == column.Name))
            {
                diagnostics.Error(compiler.PositionOf(column), DiagnosticCodes.DuplicateName, column.Name == Schema.TimeName
                    ? "'time' is the event time of every row; assign to another name, or make it time_field_name"
                    : $"a column '{column.Name}' is there already");
                continue;
            }

            column.Output = fields.Count;
            fields.Add(column.Field);
        }

        var timeOutput = Extra(conf, "output_field_name", conf?.Text("output_field_name"), fields);
        var routes = compiler.Routes(section, columns);
        var routeOutput = routes.Length == 0 ? -1 : Extra(section, "dispatch", "data_id", fields);
        var isCompressed = conf?.Text("compressed") is "1" or "true";
        var encoding = ReadEncoding(conf);
        var time = ReadTime(conf, timeColumn is not null);
        var plan = tree is null || diagnostics.Count > before && diagnostics.HasErrors
            ? null
            : new CleanPlan(tree, compiler.Root, columns, time, timeColumn, timeOutput, [.. compiler.Conversions(section, columns), .. calculations, .. compiler.Derived], routes, routeOutput);
        return new CleanSettings(new Schema([.. fields]), plan, encoding, isCompressed);
    }

    public IEtl Create() => new CleanEtl(Schema, _plan ?? throw new InvalidOperationException("a clean configuration with errors was asked to run"), _encoding, _isCompressed);

    private static int Extra(Section? section, string key, string? name, List<Field> fields)
    {
        if (string.IsNullOrEmpty(name))
        {
            return -1;
        }

        if (!CleanCompiler.IsColumnName(name))
        {
            section!.Error(key, DiagnosticCodes.BadName, $"'{name}' cannot name a column");
            return -1;
        }

        if (fields.Exists(f => f.Name == name))
        {
            section!.Error(key, DiagnosticCodes.DuplicateName, $"a column '{name}' is there already");
            return -1;
        }

        fields.Add(new Field(name, ColumnType.Int64));
        return fields.Count - 1;
    }

    private static Encoding? ReadEncoding(Section? conf)
    {
        if (conf?.Text("encoding") is not { Length: > 0 } name || name.Replace("-", "", StringComparison.Ordinal).Equals("utf8", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        try
        {
            return CodePagesEncodingProvider.Instance.GetEncoding(name, EncoderFallback.ExceptionFallback, DecoderFallback.ExceptionFallback)
                ?? Encoding.GetEncoding(name, EncoderFallback.ExceptionFallback, DecoderFallback.ExceptionFallback);
        }
        catch (ArgumentException)
        {
            conf.Error("encoding", DiagnosticCodes.OutOfRange, $"'{name}' is not an encoding, such as UTF-8 or GBK");
            return null;
        }
    }

    private static CleanTime ReadTime(Section? conf, bool isColumn)
    {
        var length = conf?.Integer("timestamp_len") ?? 0;
        var format = conf?.Text("time_format") ?? "";
        JavaDatePattern? pattern = null;
        if (isColumn && length <= 0 && format.Length == 0)
        {
            conf!.Error("timestamp_len", DiagnosticCodes.MissingKey, "an event time needs 'timestamp_len' above 0 or 'time_format'");
        }
        else if (length <= 0 && format.Length > 0 && (pattern = JavaDatePattern.Parse(format, out var unknown)) is null)
        {
            conf!.Error("time_format", DiagnosticCodes.WrongType, $"'{unknown}' is no letter of a date pattern; letters are y M d H h k K m s S a E z Z X, and text stands between quotes");
        }
        else if (length > 0 && length is not (< 10 or 10 or 13 or 16))
        {
            conf!.Error("timestamp_len", DiagnosticCodes.OutOfRange, "'timestamp_len' is 13 (ms), 10 (s), 16 (us), 8 (minutes), another number below 10, or 0");
        }

        return new CleanTime((int)Math.Max(0, length), pattern, conf?.Number("timezone") ?? 8, conf?.Integer("time_round") ?? 1);
    }
}
