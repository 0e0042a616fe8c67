using System.Collections.Concurrent;
using System.Globalization;

namespace BkBase.Store.Engine;

/// <summary>
/// The engine of this process: one data path, one connection that stays open for ever (so that the engine is never torn down
/// and set up again), and a pool of connections for statements.
/// </summary>
internal sealed class StoreEngine : IDisposable
{
    private const int GcSuspendSignal = 34;
    private readonly StoreOptions _options;
    private readonly EngineConnection _keeper;
    private readonly ConcurrentBag<EngineConnection> _idle = [];
    private readonly HashSet<EngineConnection> _open = [];
    private readonly SemaphoreSlim _slots;
    private readonly Lock _admin = new();
    private int _tags;

    public StoreEngine(StoreOptions options, string library)
    {
        _options = options;
        _slots = new SemaphoreSlim(options.MaxConnections);
        Native.Load(library);
        _keeper = OpenKeeper(options);
        TimeZone = _keeper.QueryText("SELECT timezone()").Trim();
        Settings = _keeper.QueryText("SELECT name FROM system.settings").Split('\n', StringSplitOptions.RemoveEmptyEntries).ToHashSet(StringComparer.Ordinal);
    }

    public string TimeZone { get; }

    /// <summary>The names of the settings that the engine knows.</summary>
    public IReadOnlySet<string> Settings { get; }

    /// <summary>The settings that every statement starts from: no endless retries to unreachable addresses, inserts are there when they are answered.</summary>
    public static IReadOnlyDictionary<string, string> BaseSettings { get; } =
        new Dictionary<string, string>(StringComparer.Ordinal) { ["http_max_tries"] = "1", ["async_insert"] = "0" };

    public async ValueTask<EngineConnection> RentAsync(CancellationToken cancellationToken)
    {
        await _slots.WaitAsync(cancellationToken);
        try
        {
            return _idle.TryTake(out var connection) ? connection : Open();
        }
        catch
        {
            _slots.Release();
            throw;
        }
    }

    /// <summary>A fresh connection that counts as a running statement; goes back with <see cref="Return"/>, not reusable.</summary>
    public async ValueTask<EngineConnection> RentFreshAsync(IEnumerable<string> arguments, CancellationToken cancellationToken)
    {
        await _slots.WaitAsync(cancellationToken);
        try
        {
            return Open([.. arguments]);
        }
        catch
        {
            _slots.Release();
            throw;
        }
    }

    public void Return(EngineConnection connection, bool reusable)
    {
        if (reusable)
        {
            _idle.Add(connection);
        }
        else
        {
            Close(connection);
        }

        _slots.Release();
    }

    /// <summary>A connection outside the pool, for a session.</summary>
    public EngineConnection Open(params ReadOnlySpan<string> arguments)
    {
        var tag = "bkbase-" + Interlocked.Increment(ref _tags).ToString(CultureInfo.InvariantCulture);
        var connection = new EngineConnection(tag, ["--path=" + _options.DataDirectory, "--log_comment=" + tag, .. arguments]);
        lock (_open)
        {
            _open.Add(connection);
        }

        return connection;
    }

    public void Close(EngineConnection connection)
    {
        lock (_open)
        {
            _open.Remove(connection);
        }

        connection.Dispose();
    }

    /// <summary>Ends the running statement of a connection. Never SYNC: that would wait for the connection's next statement.</summary>
    public void Kill(EngineConnection connection)
    {
        lock (_admin)
        {
            try
            {
                _keeper.QueryText($"KILL QUERY WHERE Settings['log_comment'] = '{connection.Tag}' ASYNC");
            }
            catch (Exception e) when (e is EngineException or ObjectDisposedException)
            {
                // Nothing to end any more.
            }
        }
    }

    /// <summary>Closes every connection: without that, exit crashes while merges run.</summary>
    public void Dispose()
    {
        EngineConnection[] open;
        lock (_open)
        {
            open = [.. _open];
            _open.Clear();
        }

        foreach (var connection in open)
        {
            connection.Dispose();
        }

        lock (_admin)
        {
            _keeper.Dispose();
        }

        _ = Native.chdb_shutdown();
        _slots.Dispose();
    }

    private static unsafe EngineConnection OpenKeeper(StoreOptions options)
    {
        // The engine takes SIGRTMIN, with which the runtime suspends threads for the garbage collector: give it back.
        var saved = new byte[256];
        fixed (byte* action = saved)
        {
            _ = Native.sigaction(GcSuspendSignal, null, action);
            Native.chdb_set_signal_handlers_enabled(0);
            try
            {
                return new EngineConnection("keeper", ["--path=" + options.DataDirectory, .. ServerArguments(options)]);
            }
            finally
            {
                _ = Native.sigaction(GcSuspendSignal, action, null);
            }
        }
    }

    private static IEnumerable<string> ServerArguments(StoreOptions options)
    {
        var memory = options.MaxServerMemoryBytes;
        return
        [
            Invariant($"--max_server_memory_usage={memory}"),
            Invariant($"--mark_cache_size={Math.Min(memory / 8, 512L << 20)}"),
            Invariant($"--uncompressed_cache_size={Math.Min(memory / 16, 256L << 20)}"),
        ];
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
