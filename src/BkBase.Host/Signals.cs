using System.Runtime.InteropServices;

namespace BkBase.Host;

/// <summary>
/// Ctrl-C and SIGTERM: the first asks the verb to drain, in its own time; a second one ends the process at once with
/// the code that the shell gives such an end (130 or 143).
/// </summary>
internal sealed class Signals : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;

    public Signals()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c => On(c, 130));
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c => On(c, 143));
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Stop => _stop.Token;

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _stop.Dispose();
    }

    private void On(PosixSignalContext context, int code)
    {
        context.Cancel = true;
        if (_stop.IsCancellationRequested)
        {
            Environment.Exit(code);
        }

        // Not on the signal's thread: what runs on cancellation may wait, and the second signal must come through.
        _ = _stop.CancelAsync();
    }
}
