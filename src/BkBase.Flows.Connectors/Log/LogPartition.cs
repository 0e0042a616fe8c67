using System.Buffers;
using BkBase.Flows.Records;
using FASTER.core;

namespace BkBase.Flows.Connectors.Log;

/// <summary>
/// One partition: a FasterLog of <see cref="LogEntry"/>s. Entries never cross a page, so the first entry of each page is
/// an index; a record that is longer than a page is laid over several entries.
/// </summary>
internal sealed class LogPartition : IAsyncDisposable
{
    private const int FirstAddress = 64;
    private readonly Lock _gate = new();
    private readonly IDevice _device;
    private readonly FasterLog _log;
    private readonly int _pageBits;
    private readonly int _entryBytesMax;
    private readonly int _recordBytesMax;
    private readonly List<(long Address, long Offset, long Time)> _pages = [];
    private TaskCompletionSource _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _group = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _committing;
    private bool _again;
    private Task _commit = Task.CompletedTask;
    private bool _disposed;
    private long _next;
    private long _tail;

    public LogPartition(string folder, EmbeddedLogOptions options)
    {
        _pageBits = options.PageBits;
        _entryBytesMax = (1 << _pageBits) - 256;
        _recordBytesMax = options.RecordBytesMax;
        _device = Devices.CreateLogDevice(Path.Combine(folder, "records"));
        _log = new FasterLog(new FasterLogSettings
        {
            LogDevice = _device,
            LogCommitDir = folder,
            LogChecksum = LogChecksumType.PerEntry,
            PageSizeBits = _pageBits,
            MemorySizeBits = Math.Max(options.MemoryBits, _pageBits + 1),
            SegmentSizeBits = Math.Max(options.SegmentBits, _pageBits),
        });
        Recover();
    }

    public long Head
    {
        get
        {
            lock (_gate)
            {
                return _pages.Count == 0 ? _next : _pages[0].Offset;
            }
        }
    }

    public long Tail => Interlocked.Read(ref _tail);

    /// <summary>Ends when more is on disk than at the time of the call, or on disposal.</summary>
    public Task Committed
    {
        get
        {
            lock (_gate)
            {
                return _committed.Task;
            }
        }
    }

    public Task<long> Append(RawBatch batch, long appendTime)
    {
        if (batch.Count == 0)
        {
            return Task.FromResult(Tail);
        }

        for (var i = 0; i < batch.Count; i++)
        {
            if (batch[i].Length > _recordBytesMax)
            {
                throw new ArgumentException($"a record of {batch[i].Length} bytes is too long; the log takes {_recordBytesMax}", nameof(batch));
            }
        }

        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            var first = _next;
            for (var i = 0; i < batch.Count;)
            {
                i += AppendRun(batch, i, appendTime);
            }

            var done = _group.Task;
            if (_committing)
            {
                _again = true;
            }
            else
            {
                _committing = true;
                _commit = Task.Run(CommitLoop);
            }

            return done.ContinueWith(
                static (t, state) =>
                {
                    t.GetAwaiter().GetResult();
                    return (long)state!;
                },
                first,
                CancellationToken.None,
                TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        }
    }

    public FasterLogScanIterator Scan(long offset)
    {
        lock (_gate)
        {
            var address = _log.BeginAddress;
            foreach (var page in _pages)
            {
                if (page.Offset > offset)
                {
                    break;
                }

                address = page.Address;
            }

            return _log.Scan(Math.Max(address, _log.BeginAddress), long.MaxValue);
        }
    }

    /// <summary>First offset appended at the time or later.</summary>
    public long OffsetAt(long time)
    {
        long from;
        lock (_gate)
        {
            from = _pages.LastOrDefault(p => p.Time < time, _pages.FirstOrDefault((0, _next, 0))).Offset;
        }

        var end = Tail;
        using var scan = Scan(from);
        while (from < end && scan.GetNext(out var entry, out _, out _, out _))
        {
            var header = LogEntry.Read(entry);
            if (header.Time >= time)
            {
                return header.Offset;
            }

            from = header.Next;
        }

        return end;
    }

    public void Trim(long oldest, long bytes)
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            var drop = 0;
            // A page goes when the next one already is old (all of its own records are), or when enough follows it. The last stays: it holds the offset.
            while (drop < _pages.Count - 1 && (_pages[drop + 1].Time < oldest || _log.TailAddress - _pages[drop + 1].Address >= bytes)
                && _pages[drop + 1].Address <= _log.CommittedUntilAddress)
            {
                drop++;
            }

            if (drop == 0)
            {
                return;
            }

            _log.TruncateUntilPageStart(_pages[drop].Address);
            _pages.RemoveRange(0, drop);
            _again = true;
            if (!_committing)
            {
                _committing = true;
                _commit = Task.Run(CommitLoop);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Task commit;
        lock (_gate)
        {
            _disposed = true;
            commit = _commit;
        }

        await commit;
        lock (_gate)
        {
            _committed.TrySetResult();
        }

        _log.Dispose();
        _device.Dispose();
    }

    /// <summary>Enqueues the records from one on that fit into an entry, or one that needs several; returns how many.</summary>
    private int AppendRun(RawBatch batch, int from, long appendTime)
    {
        var count = LogEntry.Fitting(batch, from, _entryBytesMax);
        var entry = ArrayPool<byte>.Shared.Rent(_entryBytesMax);
        if (count > 0)
        {
            Enqueue(entry.AsSpan(0, LogEntry.WriteRun(entry, batch, from, count, _next, appendTime)), _next, appendTime);
        }
        else
        {
            count = 1;
            var record = batch[from];
            for (var at = 0; at < record.Length;)
            {
                var size = LogEntry.WritePart(entry.AsSpan(0, _entryBytesMax), record, at, _next, appendTime, out var written);
                Enqueue(entry.AsSpan(0, size), at == 0 ? _next : _next + 1, appendTime);
                at += written;
            }
        }

        ArrayPool<byte>.Shared.Return(entry);
        _next += count;
        return count;
    }

    // The index names the first offset that can be read from the page's start: one behind a record that began before it.
    private void Enqueue(ReadOnlySpan<byte> entry, long first, long appendTime)
    {
        var address = _log.Enqueue(entry);
        if (_pages.Count == 0 || _pages[^1].Address >> _pageBits != address >> _pageBits)
        {
            _pages.Add((address, first, appendTime));
        }
    }

    private async Task CommitLoop()
    {
        while (true)
        {
            TaskCompletionSource group;
            ValueTask commit;
            long next;
            lock (_gate)
            {
                _again = false;
                group = _group;
                _group = new(TaskCreationOptions.RunContinuationsAsynchronously);
                next = _next;
                commit = _log.CommitAsync(); // begun under the gate: it ends at a whole record
            }

            Exception? failure = null;
            try
            {
                await commit;
            }
            catch (Exception e)
            {
                failure = new IOException("the log cannot write to its disk: " + e.Message, e);
            }

            lock (_gate)
            {
                if (failure is null)
                {
                    Interlocked.Exchange(ref _tail, next);
                    group.TrySetResult();
                    _committed.TrySetResult();
                    _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);
                }
                else
                {
                    group.TrySetException(failure);
                }

                if (!_again)
                {
                    _committing = false;
                    return;
                }
            }
        }
    }

    private void Recover()
    {
        var (begin, end) = (_log.BeginAddress, _log.CommittedUntilAddress);
        for (var address = begin; address < end; address = ((address >> _pageBits) + 1) << _pageBits)
        {
            var (entry, length) = _log.ReadAsync(address, 4096).AsTask().GetAwaiter().GetResult();
            if (length < LogEntry.HeaderBytes)
            {
                break;
            }

            var header = LogEntry.Read(entry);
            _pages.Add((Math.Max(address, FirstAddress), header.IsContinued ? header.Offset + 1 : header.Offset, header.Time));
        }

        if (_pages.Count == 0)
        {
            return;
        }

        using var scan = _log.Scan(_pages[^1].Address, end);
        while (scan.GetNext(out var entry, out _, out _, out _))
        {
            _next = LogEntry.Read(entry).Next;
        }

        _tail = _next;
    }
}
