using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary>What a flow of <c>up</c> is doing.</summary>
internal enum FlowState
{
    Starting,
    Running,

    /// <summary>It failed and waits for its next start.</summary>
    Failed,

    /// <summary>Its input has ended.</summary>
    Finished,
    Stopping,
    Stopped,

    /// <summary>Its file has errors; it does not run.</summary>
    Invalid,
}

/// <summary>Waits between starts of a failing flow: doubling, with jitter, bounded.</summary>
/// <param name="Min">First wait.</param>
/// <param name="Max">Longest wait; a run of at least this length counts as healthy and begins anew at <paramref name="Min"/>.</param>
/// <param name="Seed">Seed of the jitter.</param>
internal sealed record RestartPolicy(TimeSpan Min, TimeSpan Max, int Seed)
{
    /// <summary>Half to the whole of the doubled wait.</summary>
    public TimeSpan Delay(int failure, Random jitter)
    {
        var full = Math.Min(Max.TotalMilliseconds, Min.TotalMilliseconds * Math.Pow(2, Math.Min(failure - 1, 30)));
        return TimeSpan.FromMilliseconds(full * (0.5 + (jitter.NextDouble() / 2)));
    }
}

/// <summary>Keeps one flow running: starts it, starts it again after failures, drains it. Other flows never notice.</summary>
internal sealed class FlowRunner : IDisposable
{
    private readonly Func<CancellationToken, Task<FlowHandle>> _start;
    private readonly RestartPolicy _policy;
    private readonly TimeProvider _time;
    private readonly Random _jitter;
    private readonly CancellationTokenSource _stop = new();
    private volatile FlowHandle? _handle;
    private volatile string? _error;
    private volatile int _state = (int)FlowState.Starting;
    private int _restarts;
    private Task _running = Task.CompletedTask;

    public FlowRunner(FlowDefinition flow, Func<CancellationToken, Task<FlowHandle>> start, RestartPolicy policy, TimeProvider time)
    {
        (Flow, _start, _policy, _time) = (flow, start, policy, time);

        // Flows that fail together must not come back together.
        _jitter = new Random(flow.Name.Aggregate(policy.Seed, (hash, c) => unchecked((hash * 31) + c)));
    }

    public FlowDefinition Flow { get; }

    public FlowState State => (FlowState)_state;

    /// <summary>Why it failed last; null when it never did.</summary>
    public string? Error => _error;

    /// <summary>How often it was started again.</summary>
    public int Restarts => Volatile.Read(ref _restarts);

    /// <summary>The run going on, or the last one.</summary>
    public FlowHandle? Handle => _handle;

    /// <summary>Told of every change of <see cref="State"/>, with a line on it; from any thread, never two at a time.</summary>
    public event EventHandler<FlowChangedEventArgs>? Changed;

    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Stops reading and drains; true when all that was read is confirmed, false at the bound.</summary>
    public async Task<bool> StopAsync(TimeSpan bound)
    {
        if (State is FlowState.Starting or FlowState.Running)
        {
            Change(FlowState.Stopping, null);
        }

        await _stop.CancelAsync();
        _handle?.Stop();
        try
        {
            await _running.WaitAsync(bound, _time);
            return State is not FlowState.Failed;
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>Records not yet confirmed, over all partitions of a source; null when there is no run to ask, or it does not know.</summary>
    public long? LagOf(string source) =>
        State is FlowState.Running or FlowState.Finished && _handle?.Lag().GetValueOrDefault(source) is { Count: > 0 } lag && lag.All(p => p.Records >= 0)
            ? lag.Sum(p => p.Records)
            : null;

    /// <summary>After <see cref="StopAsync"/>.</summary>
    public void Dispose() => _stop.Dispose();

    private async Task RunAsync()
    {
        for (var failure = 1; ; failure++)
        {
            var since = _time.GetTimestamp();
            try
            {
                var handle = _handle = await _start(_stop.Token);
                if (_stop.IsCancellationRequested)
                {
                    handle.Stop();
                }
                else
                {
                    Change(FlowState.Running, null);
                }

                await handle.Completion;
                Change(_stop.IsCancellationRequested ? FlowState.Stopped : FlowState.Finished, null);
                return;
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                // Stopped before it ran.
                Change(FlowState.Stopped, null);
                return;
            }
            catch (Exception e)
            {
                failure = _time.GetElapsedTime(since) >= _policy.Max ? 1 : failure;
                var delay = _policy.Delay(failure, _jitter);
                _error = Guard.Reason(e) ?? $"{e.GetType().Name}: {e.Message}";
                var stopping = _stop.IsCancellationRequested;
                Change(FlowState.Failed, stopping ? _error : FormattableString.Invariant($"{_error}; starts again in {delay.TotalSeconds:0.0} s"));
                if (stopping || !await WaitAsync(delay))
                {
                    return;
                }

                Interlocked.Increment(ref _restarts);
                Change(FlowState.Starting, null);
            }
        }
    }

    private async Task<bool> WaitAsync(TimeSpan delay)
    {
        await Task.Delay(delay, _time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_stop.IsCancellationRequested)
        {
            Change(FlowState.Stopped, null);
            return false;
        }

        return true;
    }

    private void Change(FlowState state, string? message)
    {
        lock (_jitter)
        {
            _state = (int)state;
            Changed?.Invoke(this, new FlowChangedEventArgs(Flow.Name, state, message));
        }
    }
}

/// <summary>A change of a flow's state.</summary>
internal sealed class FlowChangedEventArgs(string flow, FlowState state, string? message) : EventArgs
{
    public string Flow { get; } = flow;

    public FlowState State { get; } = state;

    /// <summary>What went wrong, if anything did.</summary>
    public string? Message { get; } = message;
}
