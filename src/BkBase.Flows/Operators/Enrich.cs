using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Where an <c>enrich</c> node's table comes from: one of the two.</summary>
public sealed record LookupSource(string? File, string? ClickHouse);

/// <summary>An immutable table of texts: column names and rows.</summary>
public sealed record LookupTable(IReadOnlyList<string> Columns, IReadOnlyList<IReadOnlyList<string?>> Rows);

/// <summary>Reads lookup tables: the host's part.</summary>
public interface ILookupLoader
{
    /// <summary>The current table. Called while a flow is checked (files only) and while an operator is made.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="InvalidDataException">It holds no table.</exception>
    LookupTable Load(LookupSource source);

    /// <summary>The table as it is now; tries once. Called off the stage's thread. Any failure leaves the table that is there.</summary>
    Task<LookupTable> LoadAsync(LookupSource source, CancellationToken cancellation);
}

/// <summary>
/// Adds columns of a small table by a key. Values are strings; a key that is not there gives null, which a derive that
/// makes the column a dimension turns into ''.
/// </summary>
public sealed record EnrichSettings(
    ILookupLoader Loader,
    LookupSource Source,
    Located On,
    Located TableKey,
    IReadOnlyList<Located> Columns,
    TimeSpan Reload,
    TimeProvider Time) : INodeSettings
{
    /// <summary>Where the table is named.</summary>
    public Position At { get; init; } = new(1, 1);

    public static IReadOnlyList<Key> Keys { get; } =
    [
        new("table", KeyKind.Section, "where the table comes from: a file or a query", Required: true)
        {
            Keys = [new("file", KeyKind.Text, "a .csv or .json file; relative to the flow file's folder"), new("clickhouse", KeyKind.Text, "a SELECT")],
        },
        new("on", KeyKind.TextMap, "string column of the rows to key column of the table", Required: true),
        new("columns", KeyKind.Texts, "columns taken from the table", Required: true),
        new("reload", KeyKind.Duration, "how often the table is read again; default 5m"),
    ];

    public IReadOnlyList<string> Files => Source.File is { } file ? [file] : [];

    public static CatalogEntry<INodeSettings> Entry(ILookupLoader loader, TimeProvider time) => new(
        "enrich", "Adds columns of a small table by a key; a key that is not there gives null.",
        "type: enrich\ntable: { file: hosts.csv }\non: { host: name }\ncolumns: [owner]\nreload: 5m\n",
        Keys, s => Read(s, loader, time));

    public static EnrichSettings Read(Section section, ILookupLoader loader, TimeProvider time)
    {
        var table = section.Child("table");
        var file = table?.Text("file");
        var source = new LookupSource(file is null ? null : Path.Combine(Path.GetDirectoryName(section.Diagnostics.File) ?? "", file), table?.Text("clickhouse"));
        if (table is not null && source.File is null == source.ClickHouse is null)
        {
            section.Error("table", DiagnosticCodes.Contradiction, "'table' has either 'file' or 'clickhouse'");
        }

        var on = section.TextMap("on");
        if (section.Has("on") && on.Count != 1)
        {
            section.Error("on", DiagnosticCodes.WrongShape, "'on' names one column and one key: { host: name }");
        }

        var (column, key) = on.Count > 0 ? on[0] : new(new Located("", section.Position), default);
        return new(loader, source, column, key, section.Texts("columns"), section.Duration("reload") ?? TimeSpan.FromMinutes(5), time)
        {
            At = section.PositionOf("table"),
        };
    }

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics)
    {
        var input = inputs[0];
        var names = input.Fields.Select(f => f.Name);
        if (input.IndexOf(On.Text) is var at && at < 0)
        {
            diagnostics.Error(On.At, DiagnosticCodes.UnknownColumn, $"no column '{On.Text}' here; columns are {string.Join(", ", names)}.{Suggestion.For(On.Text, names)}");
            return null;
        }

        if (input[at].Type != ColumnType.String)
        {
            diagnostics.Error(On.At, DiagnosticCodes.WrongExpressionType, $"'{On.Text}' is {input[at].Type.ToString().ToLowerInvariant()}; a key is a string: derive one with to_string(...)");
            return null;
        }

        foreach (var taken in Columns.Where((c, i) => input.IndexOf(c.Text) >= 0 || Columns.Take(i).Any(b => b.Text == c.Text)))
        {
            diagnostics.Error(taken.At, DiagnosticCodes.DuplicateName, $"column '{taken.Text}' stands here already");
            return null;
        }

        if (Source.File is not null && !CheckTable(diagnostics))
        {
            return null;
        }

        return new Schema([.. input.Fields, .. Columns.Select(c => new Field(c.Text, ColumnType.String, Nullable: true))]);
    }

    // A file is there while the flow is checked; what a query of the store gives is known when it runs.
    private bool CheckTable(DiagnosticBag diagnostics)
    {
        LookupTable table;
        try
        {
            table = Loader.Load(Source);
        }
        catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException)
        {
            diagnostics.Error(At, DiagnosticCodes.Unreadable, $"the table cannot be read: {e.Message}");
            return false;
        }

        var good = true;
        foreach (var wanted in Columns.Append(TableKey).Where(c => !table.Columns.Contains(c.Text)))
        {
            good = false;
            diagnostics.Error(wanted.At, DiagnosticCodes.UnknownColumn,
                $"the table has no column '{wanted.Text}'; it has {string.Join(", ", table.Columns)}.{Suggestion.For(wanted.Text, table.Columns)}");
        }

        return good;
    }

    public IOperator Create(IReadOnlyList<Schema> inputs) =>
        new Enrich(this, Resolve(inputs, new DiagnosticBag(""))!, inputs[0].IndexOf(On.Text));
}

/// <summary>The operator of <see cref="EnrichSettings"/>. A reload that fails leaves the table that is there.</summary>
public sealed class Enrich : IOperator
{
    private readonly EnrichSettings _settings;
    private readonly Schema _schema;
    private readonly int _on;
    private volatile Snapshot _snapshot;
    private Task<string?>? _reload;
    private DateTimeOffset _due;

    // Row number plus two per id of the key's dictionary; 1 is missing, 0 unknown. Void with another snapshot or dictionary.
    private int[] _cache = [];
    private Snapshot? _cached;
    private StringDictionary? _dictionary;

    internal Enrich(EnrichSettings settings, Schema schema, int on)
    {
        _settings = settings;
        _schema = schema;
        _on = on;
        _snapshot = new Snapshot(settings, settings.Loader.Load(settings.Source));
        _due = settings.Time.GetUtcNow() + settings.Reload;
    }

    public void OnBatch(RecordBatch batch, int input, Output output)
    {
        if (_reload is { IsCompleted: true } ended)
        {
            output.Trouble(ended.Result);
            _reload = null;
        }

        if (_reload is null && _settings.Time.GetUtcNow() >= _due)
        {
            _due = _settings.Time.GetUtcNow() + _settings.Reload;
            _reload = ReloadAsync();
        }

        var snapshot = _snapshot;
        var key = (StringColumn)batch[_on];
        Prepare(snapshot, key.Dictionary);
        var taken = _settings.Columns.Count;
        var ids = new int[taken][];
        var bits = new ulong[taken][];
        for (var c = 0; c < taken; c++)
        {
            ids[c] = new int[batch.Count];
            bits[c] = new ulong[(batch.Count + 63) >> 6];
        }

        for (var i = 0; i < batch.Count; i++)
        {
            if (key.IsNull(i))
            {
                continue;
            }

            ref var row = ref _cache[key.Ids[i]];
            if (row == 0)
            {
                row = snapshot.Find(key[i]) + 2;
            }

            for (var c = 0; row >= 2 && c < taken; c++)
            {
                if (snapshot.Values[c][row - 2] is >= 0 and var id)
                {
                    ids[c][i] = id;
                    bits[c][i >> 6] |= 1UL << i;
                }
            }
        }

        Column[] columns = [.. batch.Columns, .. ids.Select((v, c) => new StringColumn(v, batch.Count, snapshot.Strings, bits[c]))];
        output.Emit(batch.With(_schema, columns));
    }

    private void Prepare(Snapshot snapshot, StringDictionary dictionary)
    {
        if (!ReferenceEquals(_cached, snapshot) || !ReferenceEquals(_dictionary, dictionary))
        {
            (_cached, _dictionary) = (snapshot, dictionary);
            Array.Clear(_cache);
        }

        if (_cache.Length < dictionary.Count)
        {
            Array.Resize(ref _cache, Math.Max(256, dictionary.Count * 2));
        }
    }

    /// <summary>Why the table could not be read again; null when it was. The table that is there stays then.</summary>
    private async Task<string?> ReloadAsync()
    {
        try
        {
            _snapshot = new Snapshot(_settings, await _settings.Loader.LoadAsync(_settings.Source, CancellationToken.None));
            return null;
        }
        catch (Exception e)
        {
            return $"the table was not read again, the one from before stays: {e.Message}";
        }
    }

    private sealed class Snapshot
    {
        private readonly Dictionary<string, int> _rows = new(StringComparer.Ordinal);

        public Snapshot(EnrichSettings settings, LookupTable table)
        {
            var key = IndexOf(table, settings.TableKey.Text);
            var taken = settings.Columns.Select(c => IndexOf(table, c.Text)).ToArray();
            Values = Array.ConvertAll(taken, c => table.Rows.Select(r => r[c] is { } text ? Strings.Intern(text) : -1).ToArray());
            for (var i = 0; i < table.Rows.Count; i++)
            {
                if (table.Rows[i][key] is { } text)
                {
                    _rows.TryAdd(text, i);
                }
            }
        }

        public StringDictionary Strings { get; } = new();

        public int[][] Values { get; }

        /// <summary>Row of the key, or -1.</summary>
        public int Find(ReadOnlySpan<byte> key) => _rows.GetValueOrDefault(Encoding.UTF8.GetString(key), -1);

        private static int IndexOf(LookupTable table, string name) => table.Columns.ToList().IndexOf(name) is >= 0 and var at
            ? at
            : throw new InvalidDataException($"the table has no column '{name}'; it has {string.Join(", ", table.Columns)}");
    }
}
