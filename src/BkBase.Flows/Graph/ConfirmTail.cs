using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// Answers barriers for a sink that only confirms offsets: a barrier is answered when everything that came before it is
/// confirmed by every end of the edge (the rows taken, and the refusals kept). Safe from any thread.
/// </summary>
internal sealed class ConfirmTail(BarrierEdge barriers, int ends)
{
    private readonly Dictionary<(string Source, int Partition), long> _seen = [];
    private readonly Dictionary<(string Source, int Partition), long>[] _confirmed = [.. Enumerable.Range(0, ends).Select(_ => new Dictionary<(string, int), long>())];
    private readonly Lock _gate = new();
    private Dictionary<(string Source, int Partition), long> _waiting = [];
    private long _number;
    private int _ended;

    /// <summary>An element goes into the sink, or is a barrier in front of it.</summary>
    public void See(StreamElement element)
    {
        lock (_gate)
        {
            if (element is StreamBarrier barrier)
            {
                _number = barrier.Number;
                _waiting = new(_seen);
                Answer();
            }
            else if (Lineages.Of(element) is { } lineage)
            {
                _seen[(lineage.Source, lineage.Partition)] = lineage.LastOffset;
            }
        }
    }

    /// <summary>An end made everything up to an offset durable.</summary>
    public void Confirm(int end, Confirmation confirmation)
    {
        lock (_gate)
        {
            _confirmed[end][(confirmation.Source, confirmation.Partition)] = confirmation.Offset;
            Answer();
        }
    }

    /// <summary>An end has made everything durable and completed.</summary>
    public void End()
    {
        lock (_gate)
        {
            if (++_ended == ends)
            {
                Forget(barriers.EndAsync([]));
            }
        }
    }

    private void Answer()
    {
        if (_number == 0)
        {
            return;
        }

        foreach (var (partition, offset) in _waiting)
        {
            foreach (var end in _confirmed)
            {
                if (end.GetValueOrDefault(partition, -1) < offset)
                {
                    return;
                }
            }
        }

        var number = _number;
        _number = 0;
        Forget(barriers.AnswerAsync(number, []));
    }

    // Who fails the checkpoint tells the flow; nothing here waits for it.
    private static void Forget(Task published) => _ = published.ContinueWith(static t => t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
}
