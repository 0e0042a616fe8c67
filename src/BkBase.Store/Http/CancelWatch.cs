using BkBase.Store.Engine;

namespace BkBase.Store.Http;

/// <summary>While it lives: when the client goes away the running statement is killed, again and again until it has ended (a kill may come before the statement is known).</summary>
internal sealed class CancelWatch : IAsyncDisposable
{
    private readonly CancellationTokenSource _done = new();
    private readonly CancellationTokenRegistration _registration;
    private Task _killing = Task.CompletedTask;

    public CancelWatch(StoreEngine engine, EngineConnection connection, TimeProvider time, CancellationToken cancellationToken) =>
        _registration = cancellationToken.UnsafeRegister(_ => _killing = Task.Run(() => KillAsync(engine, connection, time)), state: null);

    public async ValueTask DisposeAsync()
    {
        await _registration.DisposeAsync();
        await _done.CancelAsync();
        await _killing;
        _done.Dispose();
    }

    private async Task KillAsync(StoreEngine engine, EngineConnection connection, TimeProvider time)
    {
        while (!_done.IsCancellationRequested)
        {
            engine.Kill(connection);
            await Task.Delay(TimeSpan.FromMilliseconds(100), time, _done.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
