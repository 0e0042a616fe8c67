using System.Text;
using System.Text.Json;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>What the metric formats have in common: which dimensions become columns, which metrics are kept, new names.</summary>
/// <param name="Dimensions">Dimensions with a column of their own.</param>
/// <param name="Metrics">Metrics kept; empty for all.</param>
/// <param name="MetricReplace">New names of metrics.</param>
/// <param name="DimensionReplace">New names of dimensions.</param>
/// <param name="Unit">Unit of the items' times.</param>
public sealed record MetricOptions(
    IReadOnlyList<string> Dimensions,
    IReadOnlyList<string> Metrics,
    IReadOnlyDictionary<string, string> MetricReplace,
    IReadOnlyDictionary<string, string> DimensionReplace,
    TimeUnit Unit = TimeUnit.Auto)
{
    private static readonly string[] Taken = ["time", "metric", "target", "dimensions", "value"];

    /// <summary>No selection, no promotion, no renaming.</summary>
    public static MetricOptions None { get; } = new([], [], new Dictionary<string, string>(), new Dictionary<string, string>());

    internal static IReadOnlyList<Key> Keys { get; } =
    [
        new("dimensions", KeyKind.Texts, "dimensions that become columns; the others stay in the map 'dimensions'"),
        new("metrics", KeyKind.Texts, "metrics to keep, by the names they arrive with; all when absent"),
        new("metric_replace", KeyKind.TextMap, "new names of metrics"),
        new("dimension_replace", KeyKind.TextMap, "new names of dimensions, before columns are chosen"),
        new("time_unit", KeyKind.Choice, "unit of item times; auto tells by magnitude") { Choices = EventTime.Units },
    ];

    /// <summary>Schema of the long rows.</summary>
    public Schema Schema { get; } = new(
    [
        Schema.Time,
        new("metric", ColumnType.String, FieldRole.Dimension),
        new("target", ColumnType.String, FieldRole.Dimension),
        .. Dimensions.Select(d => new Field(d, ColumnType.String, FieldRole.Dimension)),
        new("dimensions", ColumnType.Map, FieldRole.Dimension),
        new("value", ColumnType.Float64),
    ]);

    internal static MetricOptions Read(Section section) => new(
        Promoted(section, Taken),
        [.. section.Texts("metrics").Select(t => t.Text)],
        Map(section, "metric_replace"),
        Map(section, "dimension_replace"),
        EventTime.Unit(section.Choice("time_unit")));

    internal static List<string> Promoted(Section section, IReadOnlyList<string> taken)
    {
        var names = new List<string>();
        foreach (var (text, at) in section.Texts("dimensions"))
        {
            if (taken.Contains(text) || names.Contains(text))
            {
                section.Diagnostics.Error(at, DiagnosticCodes.DuplicateName, $"a column '{text}' is there already");
            }
            else if (text.Length == 0)
            {
                section.Diagnostics.Error(at, DiagnosticCodes.BadName, "a dimension needs a name");
            }
            else
            {
                names.Add(text);
            }
        }

        return names;
    }

    private static Dictionary<string, string> Map(Section section, string key)
    {
        var map = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (from, to) in section.TextMap(key))
        {
            map[from.Text] = to.Text;
        }

        return map;
    }
}

/// <summary>Dimensions of one item on their way into columns and map; reused.</summary>
internal sealed class DimensionSet
{
    private readonly byte[][] _promoted;
    private readonly Dictionary<string, byte[]> _rename;
    private readonly Dictionary<string, byte[]>.AlternateLookup<ReadOnlySpan<char>> _renameBySpan;
    private readonly List<MapPair> _rest = [];

    public DimensionSet(IReadOnlyList<string> promoted, IReadOnlyDictionary<string, string>? rename = null)
    {
        _promoted = [.. promoted.Select(Encoding.UTF8.GetBytes)];
        _rename = (rename ?? new Dictionary<string, string>()).ToDictionary(p => p.Key, p => Encoding.UTF8.GetBytes(p.Value), StringComparer.Ordinal);
        _renameBySpan = _rename.GetAlternateLookup<ReadOnlySpan<char>>();
        Promoted = new int[_promoted.Length];
    }

    /// <summary>String ids of the promoted dimensions.</summary>
    public int[] Promoted { get; }

    /// <summary>String id of a dimension 'target', or -1.</summary>
    public int Target { get; private set; }

    public void Clear()
    {
        Array.Clear(Promoted);
        _rest.Clear();
        Target = -1;
    }

    /// <summary>Adds a dimension. False when the value is nested.</summary>
    public bool Add(ReadOnlySpan<byte> name, in JsonItem value, StringDictionary strings)
    {
        switch (value.Type)
        {
            case JsonTokenType.Null: return true;
            case JsonTokenType.StartArray or JsonTokenType.StartObject or JsonTokenType.None: return false;
            default:
                Add(name, value.Text, strings);
                return true;
        }
    }

    public void Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, StringDictionary strings)
    {
        name = Renamed(name);
        if (name.SequenceEqual("target"u8))
        {
            Target = strings.Intern(value);
            return;
        }

        for (var i = 0; i < _promoted.Length; i++)
        {
            if (name.SequenceEqual(_promoted[i]))
            {
                Promoted[i] = strings.Intern(value);
                return;
            }
        }

        _rest.Add(new MapPair(strings.Intern(name), strings.Intern(value)));
    }

    /// <summary>Id of the map of all that has no column.</summary>
    public int Map(MapDictionary maps) => maps.Intern(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_rest));

    private ReadOnlySpan<byte> Renamed(ReadOnlySpan<byte> name)
    {
        if (_rename.Count == 0 || name.Length > 256)
        {
            return name;
        }

        Span<char> chars = stackalloc char[256];
        return _renameBySpan.TryGetValue(chars[..Encoding.UTF8.GetChars(name, chars)], out var renamed) ? renamed : name;
    }
}

/// <summary>Names of metrics: whether one is kept and what it is called.</summary>
internal sealed class MetricNames(MetricOptions options)
{
    private readonly HashSet<string> _kept = new(options.Metrics, StringComparer.Ordinal);
    private readonly Dictionary<string, byte[]> _rename = options.MetricReplace.ToDictionary(p => p.Key, p => Encoding.UTF8.GetBytes(p.Value), StringComparer.Ordinal);

    /// <summary>String id of the metric's name, or -1 when it is not selected.</summary>
    public int Id(ReadOnlySpan<byte> name, StringDictionary strings)
    {
        if (_kept.Count == 0 && _rename.Count == 0)
        {
            return strings.Intern(name);
        }

        if (name.Length > 1024)
        {
            return _kept.Count == 0 ? strings.Intern(name) : -1;
        }

        Span<char> chars = stackalloc char[1024];
        ReadOnlySpan<char> text = chars[..Encoding.UTF8.GetChars(name, chars)];
        if (_kept.Count > 0 && !_kept.GetAlternateLookup<ReadOnlySpan<char>>().Contains(text))
        {
            return -1;
        }

        return _rename.Count > 0 && _rename.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(text, out var renamed)
            ? strings.Intern(renamed)
            : strings.Intern(name);
    }
}
