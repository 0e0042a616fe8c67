using System.Collections.Frozen;

namespace BkBase.Flows.Records;

/// <summary>The types a column may have. The YAML word is the member's name in lower case.</summary>
public enum ColumnType
{
    Bool,
    Int32,
    Int64,
    Float64,

    /// <summary>UTF-8 text of limited cardinality, held as ids into a <see cref="StringDictionary"/>.</summary>
    String,

    /// <summary>UTF-8 text that is not interned: log lines, messages.</summary>
    Text,

    /// <summary>Unix milliseconds, UTC.</summary>
    DateTime,

    /// <summary>map&lt;string,string&gt;: the dimensions that are not promoted to columns.</summary>
    Map,

    /// <summary>One JSON value as text.</summary>
    Json,
}

/// <summary>What a column means to tables and windows.</summary>
public enum FieldRole
{
    /// <summary>Event time; always the first field and only that one.</summary>
    Time,

    /// <summary>Identifies the series: never null, absent is ''.</summary>
    Dimension,

    /// <summary>What was measured or said.</summary>
    Value,
}

/// <summary>One column of a <see cref="Schema"/>.</summary>
/// <param name="Name">Column name, unique in its schema.</param>
/// <param name="Type">Type of the values.</param>
/// <param name="Role">Meaning; dimensions are never nullable.</param>
/// <param name="Nullable">Whether the column may hold nulls.</param>
public sealed record Field(string Name, ColumnType Type, FieldRole Role = FieldRole.Value, bool Nullable = false);

/// <summary>The columns of a <see cref="RecordBatch"/>, in order. Field 0 is always the event time, named <c>time</c>.</summary>
public sealed class Schema : IEquatable<Schema>
{
    /// <summary>Name of the event-time column of every schema.</summary>
    public const string TimeName = "time";

    private readonly FrozenDictionary<string, int> _index;

    /// <param name="fields">All fields, <c>time</c> first.</param>
    /// <exception cref="ArgumentException">The first field is not the event time, or a name stands twice.</exception>
    public Schema(params ReadOnlySpan<Field> fields)
    {
        if (fields.Length == 0 || fields[0] is not { Name: TimeName, Type: ColumnType.DateTime, Role: FieldRole.Time, Nullable: false })
        {
            throw new ArgumentException("the first field of a schema is 'time', a datetime that is never null", nameof(fields));
        }

        Fields = fields.ToArray();
        var index = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < Fields.Count; i++)
        {
            if (!index.TryAdd(Fields[i].Name, i))
            {
                throw new ArgumentException($"column '{Fields[i].Name}' stands twice in the schema", nameof(fields));
            }
        }

        _index = index.ToFrozenDictionary(StringComparer.Ordinal);
    }

    /// <summary>The event-time field that opens every schema.</summary>
    public static Field Time { get; } = new(TimeName, ColumnType.DateTime, FieldRole.Time);

    public IReadOnlyList<Field> Fields { get; }

    public int Count => Fields.Count;

    public Field this[int index] => Fields[index];

    /// <summary>Position of a column, or -1.</summary>
    public int IndexOf(string name) => _index.GetValueOrDefault(name, -1);

    public bool Equals(Schema? other) => other is not null && Fields.SequenceEqual(other.Fields);

    public override bool Equals(object? obj) => Equals(obj as Schema);

    public override int GetHashCode() => Fields.Aggregate(17, HashCode.Combine);

    public override string ToString() => string.Join(", ", Fields.Select(f => $"{f.Name} {f.Type}{(f.Nullable ? "?" : "")}"));
}
