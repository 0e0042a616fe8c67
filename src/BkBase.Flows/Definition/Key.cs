namespace BkBase.Flows.Definition;

/// <summary>The forms a value may have in a flow file.</summary>
public enum KeyKind
{
    /// <summary>Any text.</summary>
    Text,

    /// <summary>A name: [a-z][a-z0-9_]*, at most 50 characters.</summary>
    Name,

    /// <summary>An expression over the columns of the input.</summary>
    Expression,
    Integer,
    Number,
    Boolean,

    /// <summary>A time span: 500ms, 60s, 5m, 2h, 30d.</summary>
    Duration,

    /// <summary>A size in bytes: 64KiB, 512MiB, 2GiB.</summary>
    Size,

    /// <summary>One of <see cref="Key.Choices"/>.</summary>
    Choice,

    /// <summary>A list of texts; a single text stands for a list of one.</summary>
    Texts,

    /// <summary>A mapping of text to text.</summary>
    TextMap,

    /// <summary>A mapping of further keys.</summary>
    Section,

    /// <summary>A list of mappings.</summary>
    Sections,

    /// <summary>A mapping whose keys the user chooses and whose values are mappings or texts.</summary>
    Open,
}

/// <summary>One key that a component reads: the source of reading, of "unknown key" findings, and of the JSON Schema.</summary>
/// <param name="Name">The YAML word.</param>
/// <param name="Kind">Form of the value.</param>
/// <param name="Description">One line for users.</param>
/// <param name="Required">Whether a missing key is an error.</param>
public sealed record Key(string Name, KeyKind Kind, string Description, bool Required = false)
{
    /// <summary>Allowed words of a <see cref="KeyKind.Choice"/>.</summary>
    public IReadOnlyList<string> Choices { get; init; } = [];

    /// <summary>Keys of a <see cref="KeyKind.Section"/> or of each of <see cref="KeyKind.Sections"/>.</summary>
    public IReadOnlyList<Key> Keys { get; init; } = [];

    /// <summary>Smallest value of a number.</summary>
    public double Min { get; init; } = double.NegativeInfinity;

    /// <summary>Largest value of a number.</summary>
    public double Max { get; init; } = double.PositiveInfinity;

    /// <summary>Other words for the same key, accepted and normalised (BK-Base's own words).</summary>
    public IReadOnlyList<string> Synonyms { get; init; } = [];
}
