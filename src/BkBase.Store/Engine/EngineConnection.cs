using System.Text;

namespace BkBase.Store.Engine;

/// <summary>What the engine says about a statement before it runs.</summary>
internal enum StatementClass
{
    ReadOnly = 0,
    Mutating = 1,
    Global = 2,
    Control = 3,
    Unknown = 4,
}

/// <summary>Values for <c>{name:Type}</c> places in a statement.</summary>
internal sealed record QueryParameters(IReadOnlyList<KeyValuePair<string, string>> Values)
{
    public static readonly QueryParameters None = new([]);
}

/// <summary>
/// One connection of the engine: one statement at a time, with its own settings, database and temporary tables.
/// After a statement that failed while it ran the connection must not be used again: it keeps that statement's output.
/// </summary>
internal sealed unsafe class EngineConnection : IDisposable
{
    private readonly Dictionary<string, string> _settings = new(StringComparer.Ordinal);
    private string _database = "default";
    private nint* _connection;

    public EngineConnection(string tag, params ReadOnlySpan<string> arguments)
    {
        Tag = tag;
        using var argv = new NativeStrings(["chdb", .. arguments]);
        _connection = Native.chdb_connect(argv.Count, argv.Pointers);
        if (_connection == null || *_connection == 0)
        {
            throw new IOException("the store engine could not be opened; its reason is on standard error");
        }
    }

    /// <summary>The log_comment of the connection's statements, by which they are killed.</summary>
    public string Tag { get; }

    public nint Handle => _connection == null ? throw new ObjectDisposedException(nameof(EngineConnection)) : *_connection;

    /// <summary>Runs a statement and returns the whole result.</summary>
    public EngineResult Query(ReadOnlySpan<byte> sql, string format, QueryParameters parameters) =>
        new(Call(sql, format, parameters, &Native.chdb_query_n, &Native.chdb_query_with_params_n));

    public string QueryText(string sql)
    {
        using var result = Query(Encoding.UTF8.GetBytes(sql), "TabSeparated", QueryParameters.None);
        return Encoding.UTF8.GetString(result.Span);
    }

    /// <summary>Starts a select whose result is fetched chunk by chunk.</summary>
    public nint StartStream(ReadOnlySpan<byte> sql, string format, QueryParameters parameters) =>
        Call(sql, format, parameters, &Native.chdb_stream_query_n, &Native.chdb_stream_query_with_params_n);

    /// <summary>Starts an insert; the SQL has no FORMAT clause.</summary>
    public nint StartInsert(ReadOnlySpan<byte> sql, string format, QueryParameters parameters) =>
        Call(sql, format, parameters, &Native.chdb_stream_insert_n, &Native.chdb_stream_insert_with_params_n);

    public (StatementClass Class, int Count) Classify(ReadOnlySpan<byte> sql)
    {
        var analysis = new Native.QueryAnalysis { StructSize = (uint)sizeof(Native.QueryAnalysis) };
        fixed (byte* text = sql)
        {
            return Native.chdb_classify_query_n(Handle, text, (nuint)sql.Length, null, 0, &analysis) == 0
                ? ((StatementClass)analysis.QueryClass, (int)analysis.StatementCount)
                : (StatementClass.Unknown, 1);
        }
    }

    /// <summary>Makes the connection's settings and database those of the request: sets what differs, resets what is no longer wanted.</summary>
    public void Apply(IReadOnlyDictionary<string, string> wanted, string database)
    {
        var changes = new List<string>();
        foreach (var name in _settings.Keys.Where(k => !wanted.ContainsKey(k)).ToArray())
        {
            changes.Add($"{name} = DEFAULT");
            _settings.Remove(name);
        }

        foreach (var (name, value) in wanted)
        {
            if (!_settings.TryGetValue(name, out var old) || old != value)
            {
                changes.Add($"{name} = '{Escape(value)}'");
                _settings[name] = value;
            }
        }

        if (changes.Count > 0)
        {
            QueryText("SET " + string.Join(", ", changes));
        }

        if (database != _database)
        {
            QueryText("USE `" + database.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("`", "\\`", StringComparison.Ordinal) + "`");
            _database = database;
        }
    }

    public void Dispose()
    {
        if (_connection != null)
        {
            Native.chdb_close_conn(_connection);
            _connection = null;
        }
    }

    private static string Escape(string value) => value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal);

    private nint Call(
        ReadOnlySpan<byte> sql,
        string format,
        QueryParameters parameters,
        delegate*<nint, byte*, nuint, byte*, nuint, nint> plain,
        delegate*<nint, byte*, nuint, byte*, nuint, byte**, nuint*, byte**, nuint*, nuint, nint> withParameters)
    {
        var formatBytes = Encoding.UTF8.GetBytes(format);
        fixed (byte* text = sql, name = formatBytes)
        {
            if (parameters.Values.Count == 0)
            {
                return plain(Handle, text, (nuint)sql.Length, name, (nuint)formatBytes.Length);
            }

            using var names = new NativeStrings(parameters.Values.Select(p => p.Key));
            using var values = new NativeStrings(parameters.Values.Select(p => p.Value));
            return withParameters(Handle, text, (nuint)sql.Length, name, (nuint)formatBytes.Length, names.Pointers, names.Lengths, values.Pointers, values.Lengths, (nuint)names.Count);
        }
    }
}
