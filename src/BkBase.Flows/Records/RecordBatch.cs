namespace BkBase.Flows.Records;

/// <summary>What flows between nodes: batches of rows, and watermarks between them.</summary>
public abstract class StreamElement;

/// <summary>
/// Where the rows of a batch come from: all records of one source partition from <paramref name="FirstOffset"/> to
/// <paramref name="LastOffset"/>, both included, whether or not a row is left of them.
/// </summary>
/// <param name="Source">Name of the source in its flow.</param>
/// <param name="Partition">Partition of the topic, log or file.</param>
/// <param name="FirstOffset">Offset of the first record.</param>
/// <param name="LastOffset">Offset of the last record.</param>
public readonly record struct Lineage(string Source, int Partition, long FirstOffset, long LastOffset);

/// <summary>No row with an earlier event time is expected from here on, other than late ones.</summary>
/// <param name="time">Unix milliseconds.</param>
/// <param name="isFinal">True at the end of a bounded source: open windows close.</param>
public sealed class Watermark(long time, bool isFinal = false) : StreamElement
{
    /// <summary>The final watermark of a bounded source.</summary>
    public static Watermark Final { get; } = new(long.MaxValue, isFinal: true);

    public long Time { get; } = time;

    public bool IsFinal { get; } = isFinal;
}

/// <summary>
/// Rows of one <see cref="Schema"/> in columns; immutable. A batch without rows still says by its <see cref="Lineage"/>
/// how far its source has been read, so operators pass it on.
/// </summary>
public sealed class RecordBatch : StreamElement
{
    private readonly Column[] _columns;

    /// <param name="schema">Schema of the rows.</param>
    /// <param name="columns">One column per field, all of <paramref name="count"/> rows.</param>
    /// <param name="count">Number of rows.</param>
    /// <param name="lineage">The records these rows were made from.</param>
    /// <param name="origins">Per row, its record's offset minus the lineage's first; null when rows stand for no single record.</param>
    /// <exception cref="ArgumentException">Columns do not fit the schema.</exception>
    public RecordBatch(Schema schema, Column[] columns, int count, Lineage lineage, int[]? origins = null)
    {
        if (columns.Length != schema.Count)
        {
            throw new ArgumentException($"{columns.Length} columns for a schema of {schema.Count}", nameof(columns));
        }

        foreach (var column in columns)
        {
            if (column.Length != count)
            {
                throw new ArgumentException($"a column of {column.Length} rows in a batch of {count}", nameof(columns));
            }
        }

        Schema = schema;
        _columns = columns;
        Count = count;
        Lineage = lineage;
        Origins = origins;
    }

    public Schema Schema { get; }

    /// <summary>Number of rows.</summary>
    public int Count { get; }

    public Lineage Lineage { get; }

    /// <summary>Per row, its record's offset minus <c>Lineage.FirstOffset</c>; null when rows stand for no single record.</summary>
    public int[]? Origins { get; }

    /// <summary>Offset of the record that a row was made from; the batch's last offset for rows that stand for no single record.</summary>
    public long OffsetOf(int row) => Origins is null ? Lineage.LastOffset : Lineage.FirstOffset + Origins[row];

    public IReadOnlyList<Column> Columns => _columns;

    public Column this[int index] => _columns[index];

    /// <summary>Event times, Unix milliseconds.</summary>
    public ReadOnlySpan<long> Times => ((Int64Column)_columns[0]).Values;

    /// <summary>The column of that name.</summary>
    /// <exception cref="KeyNotFoundException">There is none; the message lists those there are.</exception>
    public Column this[string name] => Schema.IndexOf(name) is >= 0 and var i
        ? _columns[i]
        : throw new KeyNotFoundException($"no column '{name}'; columns are {string.Join(", ", Schema.Fields.Select(f => f.Name))}");

    /// <summary>The chosen rows, in the order given, under the same lineage. The batch itself when all rows are chosen.</summary>
    public RecordBatch Take(ReadOnlySpan<int> rows)
    {
        if (rows.Length == Count)
        {
            return this;
        }

        var columns = new Column[_columns.Length];
        for (var i = 0; i < columns.Length; i++)
        {
            columns[i] = _columns[i].Take(rows);
        }

        int[]? origins = null;
        if (Origins is not null)
        {
            origins = new int[rows.Length];
            for (var i = 0; i < rows.Length; i++)
            {
                origins[i] = Origins[rows[i]];
            }
        }

        return new RecordBatch(Schema, columns, rows.Length, Lineage, origins);
    }

    /// <summary>The same rows with other columns, for operators that add or drop some.</summary>
    public RecordBatch With(Schema schema, Column[] columns) => new(schema, columns, Count, Lineage, Origins);
}
