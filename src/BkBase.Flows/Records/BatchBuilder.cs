namespace BkBase.Flows.Records;

/// <summary>
/// Builds record batches row by row without objects per row: typed appends to growing columns, a row is kept by
/// <see cref="CommitRow"/> or forgotten by <see cref="RollbackRow"/>. Buffers are reused from batch to batch, and so are
/// the dictionaries until they are full. One thread at a time.
/// </summary>
public sealed class BatchBuilder
{
    private readonly ColumnBuilder[] _columns;
    private int[] _origins = new int[1024];
    private int _count;
    private int _origin;

    public BatchBuilder(Schema schema, long dictionaryBytesMax = StringDictionary.BytesMaxDefault)
    {
        Schema = schema;
        DictionaryBytesMax = dictionaryBytesMax;
        Strings = new StringDictionary(dictionaryBytesMax);
        Maps = new MapDictionary(Strings, dictionaryBytesMax);
        _columns = [.. schema.Fields.Select(f => new ColumnBuilder(f))];
    }

    public Schema Schema { get; }

    public long DictionaryBytesMax { get; }

    /// <summary>Dictionary of the string columns of the batch being built.</summary>
    public StringDictionary Strings { get; private set; }

    /// <summary>Dictionary of the map columns of the batch being built.</summary>
    public MapDictionary Maps { get; private set; }

    /// <summary>Rises when the dictionaries are swapped: ids and caches of an older generation are void.</summary>
    public int Generation { get; private set; }

    /// <summary>Rows committed so far.</summary>
    public int Count => _count;

    /// <summary>Sets the record (offset minus the batch's first offset) that the next rows come from.</summary>
    public void BeginRecord(int origin) => _origin = origin;

    public void SetBool(int column, bool value) => _columns[column].Set(value, _count);

    public void SetInt32(int column, int value) => _columns[column].Set(value, _count);

    /// <summary>int64 and datetime (Unix milliseconds) columns.</summary>
    public void SetInt64(int column, long value) => _columns[column].Set(value, _count);

    public void SetFloat64(int column, double value) => _columns[column].Set(value, _count);

    /// <summary>A string column by an id of <see cref="Strings"/>.</summary>
    public void SetString(int column, int id) => _columns[column].Set(id, _count);

    /// <summary>A string column by bytes, interned here.</summary>
    public void SetString(int column, ReadOnlySpan<byte> utf8) => _columns[column].Set(Strings.Intern(utf8), _count);

    /// <summary>A map column by an id of <see cref="Maps"/>.</summary>
    public void SetMap(int column, int id) => _columns[column].Set(id, _count);

    /// <summary>A text or json column.</summary>
    public void SetText(int column, ReadOnlySpan<byte> utf8) => _columns[column].Set(utf8, _count);

    /// <summary>Keeps the row. Columns not set are null where nullable, else the type's default ('' , 0, empty map).</summary>
    public void CommitRow()
    {
        foreach (var column in _columns)
        {
            column.Complete(_count);
        }

        if (_count == _origins.Length)
        {
            Array.Resize(ref _origins, _count * 2);
        }

        _origins[_count++] = _origin;
    }

    /// <summary>Sets an int64 or datetime column of the next rows to one value.</summary>
    internal void FillInt64(int column, long value, int count) => _columns[column].Longs(_count, count).Fill(value);

    /// <summary>Sets a float64 column of the next rows.</summary>
    internal void FillFloat64(int column, ReadOnlySpan<double> values) => values.CopyTo(_columns[column].Doubles(_count, values.Length));

    /// <summary>Sets a string or map column of the next rows to one id.</summary>
    internal void FillId(int column, int id, int count) => _columns[column].Ints(_count, count).Fill(id);

    /// <summary>Sets a string or map column of the next rows.</summary>
    internal void FillIds(int column, ReadOnlySpan<int> ids) => ids.CopyTo(_columns[column].Ints(_count, ids.Length));

    /// <summary>Keeps so many rows, all columns of which were filled.</summary>
    internal void CommitRows(int count)
    {
        if (_count + count > _origins.Length)
        {
            Array.Resize(ref _origins, Math.Max(_count + count, _origins.Length * 2));
        }

        _origins.AsSpan(_count, count).Fill(_origin);
        _count += count;
    }

    /// <summary>Forgets what was set since the last <see cref="CommitRow"/>.</summary>
    public void RollbackRow()
    {
        foreach (var column in _columns)
        {
            column.Truncate(_count);
        }
    }

    /// <summary>Forgets all rows from <paramref name="count"/> on: a record that turned out bad takes its rows along.</summary>
    public void RollbackTo(int count)
    {
        _count = count;
        RollbackRow();
    }

    /// <summary>
    /// Of the rows from <paramref name="firstRow"/> on, drops those whose event time lies before <paramref name="least"/>
    /// or after <paramref name="most"/>. Returns how many were dropped and the first of their times.
    /// </summary>
    public int DropOutside(int firstRow, long least, long most, out long firstDropped)
    {
        firstDropped = 0;
        var times = _columns[0].Times;
        var from = firstRow;
        while (from < _count && times[from] >= least && times[from] <= most)
        {
            from++;
        }

        if (from == _count)
        {
            return 0;
        }

        firstDropped = times[from];
        var kept = from;
        for (var row = from; row < _count; row++)
        {
            if (times[row] < least || times[row] > most)
            {
                continue;
            }

            foreach (var column in _columns)
            {
                column.Move(row, kept);
            }

            _origins[kept++] = _origins[row];
        }

        var dropped = _count - kept;
        RollbackTo(kept);
        return dropped;
    }

    /// <summary>The batch of all committed rows; the builder is empty afterwards.</summary>
    public RecordBatch Build(Lineage lineage)
    {
        var columns = new Column[_columns.Length];
        for (var i = 0; i < columns.Length; i++)
        {
            columns[i] = _columns[i].Build(_count, Strings, Maps);
        }

        var batch = new RecordBatch(Schema, columns, _count, lineage, _origins.AsSpan(0, _count).ToArray());
        _count = 0;
        if (Strings.IsFull || Maps.IsFull)
        {
            Strings = new StringDictionary(DictionaryBytesMax);
            Maps = new MapDictionary(Strings, DictionaryBytesMax);
            Generation++;
        }

        return batch;
    }
}
