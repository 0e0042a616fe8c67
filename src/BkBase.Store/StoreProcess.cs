using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace BkBase.Store;

/// <summary>The store as a child process: started, watched, started again when it dies, stopped with its owner.</summary>
public sealed class StoreProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Healthy = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan OwnerCheck = TimeSpan.FromMilliseconds(500);

    private readonly StoreOptions _options;
    private readonly string[] _command;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopping = new();
    private Task _watching = Task.CompletedTask;
    private StoreChild? _child;
    private volatile bool _isAttached;
    private int _restarts;

    private StoreProcess(StoreOptions options, string[] command, TimeProvider time, string address) =>
        (_options, _command, _time, Address) = (options, command, time, address);

    /// <summary>Where the store serves; the same over restarts.</summary>
    public string Address { get; }

    /// <summary>How often the child was started again.</summary>
    public int Restarts => Volatile.Read(ref _restarts);

    /// <summary>The child's process id; null when the store belongs to another process, or is down just now.</summary>
    public int? ProcessId => _child?.Pid;

    /// <summary>True when another process serves the directory and this one only uses it.</summary>
    public bool IsAttached => _isAttached;

    /// <summary>Raised, with the reason, after the child died; it is started again then.</summary>
    public event EventHandler<StoreDiedEventArgs>? Died;

    /// <summary>
    /// Uses the store that serves the directory, or starts one. When the one in use goes away, its place is taken at the
    /// same address. One that is just starting or ending (its owner was killed) is waited for.
    /// </summary>
    public static async Task<StoreProcess> AttachOrStartAsync(StoreOptions options, string[] command, TimeProvider time, CancellationToken cancellationToken)
    {
        for (var since = time.GetTimestamp(); ;)
        {
            if (StoreOwner.Read(options.DataDirectory) is { Address.Length: > 0 } owner && await AnswersAsync(owner.Address, cancellationToken))
            {
                options = options with { Port = new Uri(owner.Address).Port, ParentPid = options.ParentPid ?? Environment.ProcessId };
                var attached = new StoreProcess(options, command, time, owner.Address) { _isAttached = true };
                attached._watching = attached.WatchOwnerAsync();
                return attached;
            }

            try
            {
                return await StartAsync(options, command, time, cancellationToken);
            }
            catch (IOException) when (StoreLock.IsTaken(options.DataDirectory) && time.GetElapsedTime(since) < StopTimeout)
            {
                await Task.Delay(OwnerCheck, time, cancellationToken);
            }
        }
    }

    /// <summary>Starts the store. The options become arguments behind the command, see <see cref="StoreEntryPoint.ToArguments"/>.</summary>
    public static async Task<StoreProcess> StartAsync(StoreOptions options, string[] command, TimeProvider time, CancellationToken cancellationToken)
    {
        options = options with { Port = options.Port == 0 ? FreePort() : options.Port, ParentPid = options.ParentPid ?? Environment.ProcessId };
        var store = new StoreProcess(options, command, time, string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{options.Port}"));
        store._child = await StoreChild.StartAsync(options, command, StartTimeout, time, cancellationToken);
        store._watching = store.WatchAsync();
        return store;
    }

    /// <summary>Stops a store that was started here: SIGTERM, and kill when that does not help.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _watching;
        if (_child is { } child)
        {
            await child.StopAsync(StopTimeout, _time);
            child.Dispose();
            _child = null;
        }

        _stopping.Dispose();
    }

    private async Task WatchOwnerAsync()
    {
        try
        {
            while (_isAttached)
            {
                await Task.Delay(OwnerCheck, _time, _stopping.Token);
                if (!await AnswersAsync(Address, _stopping.Token))
                {
                    await ReplaceOwnerAsync();
                }
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }

        await WatchAsync();
    }

    // Fails, and is tried again, as long as the owner still holds the directory.
    private async Task ReplaceOwnerAsync()
    {
        try
        {
            _child = await StoreChild.StartAsync(_options, _command, StartTimeout, _time, _stopping.Token);
            Interlocked.Increment(ref _restarts);
            _isAttached = false;
        }
        catch (Exception e) when (e is IOException or TimeoutException)
        {
            Died?.Invoke(this, new StoreDiedEventArgs($"the store at {Address} does not answer, and its place cannot be taken: {e.Message}"));
        }
    }

    private async Task WatchAsync()
    {
        var delay = FirstDelay;
        try
        {
            while (true)
            {
                var since = _time.GetTimestamp();
                await _child!.Exited.WaitAsync(_stopping.Token);
                Died?.Invoke(this, new StoreDiedEventArgs(_child.Describe()));
                _child.Dispose();
                _child = null;
                delay = _time.GetElapsedTime(since) > Healthy ? FirstDelay : delay;
                while (_child is null)
                {
                    await Task.Delay(delay, _time, _stopping.Token);
                    delay = delay * 2 < LongestDelay ? delay * 2 : LongestDelay;
                    Interlocked.Increment(ref _restarts);
                    try
                    {
                        _child = await StoreChild.StartAsync(_options, _command, StartTimeout, _time, _stopping.Token);
                    }
                    catch (Exception e) when (e is IOException or TimeoutException)
                    {
                        Died?.Invoke(this, new StoreDiedEventArgs(e.Message));
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task<bool> AnswersAsync(string address, CancellationToken cancellationToken)
    {
        try
        {
            using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
            using var answer = await client.GetAsync(new Uri(address + "/ping"), cancellationToken);
            return answer.IsSuccessStatusCode;
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
        {
            return false;
        }
    }
}

/// <summary>Why the store's process died.</summary>
public sealed class StoreDiedEventArgs(string reason) : EventArgs
{
    /// <summary>The exit code and the end of standard error.</summary>
    public string Reason { get; } = reason;
}
