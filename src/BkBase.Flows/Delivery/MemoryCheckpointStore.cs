namespace BkBase.Flows.Delivery;

/// <summary>Checkpoints in memory: flow tests, and runs that nobody resumes.</summary>
public sealed class MemoryCheckpointStore : ICheckpointStore
{
    private readonly Dictionary<string, (long Epoch, byte[]? Record)> _tasks = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Flow, string Revision), string> _revisions = [];
    private readonly Lock _gate = new();
    private long _writer;

    public Task<Claim> ClaimAsync(string task, CancellationToken cancel)
    {
        lock (_gate)
        {
            var (epoch, record) = _tasks.GetValueOrDefault(task);
            _tasks[task] = (epoch + 1, record);
            return Task.FromResult(new Claim(task, epoch + 1, record));
        }
    }

    public Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel)
    {
        var refused = new List<string>();
        lock (_gate)
        {
            foreach (var (task, epoch, record) in publications)
            {
                if (_tasks.GetValueOrDefault(task).Epoch == epoch)
                {
                    _tasks[task] = (epoch, record);
                }
                else
                {
                    refused.Add(task);
                }
            }
        }

        return Task.FromResult<IReadOnlyList<string>>(refused);
    }

    public Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel)
    {
        lock (_gate)
        {
            return Task.FromResult<IReadOnlyList<StoredRecord>>([.. _tasks
                .Where(t => t.Value.Record is not null && t.Key.StartsWith(flow + "/", StringComparison.Ordinal))
                .OrderBy(t => t.Key, StringComparer.Ordinal)
                .Select(t => new StoredRecord(t.Key, t.Value.Epoch, t.Value.Record!))]);
        }
    }

    public Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel)
    {
        lock (_gate)
        {
            if (_tasks.GetValueOrDefault(task).Epoch != epoch)
            {
                return Task.FromResult(false);
            }

            _tasks[task] = (epoch, null);
            return Task.FromResult(true);
        }
    }

    public Task<long> NextWriterAsync(long least, CancellationToken cancel)
    {
        lock (_gate)
        {
            return Task.FromResult(_writer = Math.Max(_writer + 1, least));
        }
    }

    public Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel)
    {
        lock (_gate)
        {
            _revisions[(flow, revision)] = text;
        }

        return Task.CompletedTask;
    }

    public Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel)
    {
        lock (_gate)
        {
            return Task.FromResult(_revisions.GetValueOrDefault((flow, revision)));
        }
    }
}
