using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using System.Text.RegularExpressions;
using BkBase.Flows.Records;
using FASTER.core;

namespace BkBase.Flows.Connectors.Log;

/// <summary>Bounds of an embedded log.</summary>
/// <param name="Directory">Folder of the log; one process at a time.</param>
public sealed record EmbeddedLogOptions(string Directory)
{
    /// <summary>Partitions of a topic when it is created.</summary>
    public int Partitions { get; init; } = 1;

    /// <summary>Bytes kept per partition; older pages go first.</summary>
    public long RetentionBytes { get; init; } = 4L << 30;

    /// <summary>Age at which records go.</summary>
    public TimeSpan Retention { get; init; } = TimeSpan.FromDays(7);

    /// <summary>How often age is looked at.</summary>
    public TimeSpan RetentionCheck { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Log2 of the page; an append of one record must fit into a page.</summary>
    public int PageBits { get; init; } = 22;

    /// <summary>Log2 of a segment file, the unit in which space comes back.</summary>
    public int SegmentBits { get; init; } = 26;
}

/// <summary>
/// The durable, partitioned log of single-machine mode: topics of partitions, dense offsets from 0, each partition a
/// FasterLog. An append is acknowledged when it is on disk; appends at the same time share one write. Safe from any thread.
/// </summary>
public sealed partial class EmbeddedLog : IAsyncDisposable
{
    private readonly Dictionary<string, LogPartition[]> _topics = new(StringComparer.Ordinal);
    private readonly EmbeddedLogOptions _options;
    private readonly TimeProvider _time;
    private readonly FileStream _lock;
    private readonly ITimer _retention;
    private bool _disposed;

    private EmbeddedLog(EmbeddedLogOptions options, TimeProvider time, FileStream lockFile)
    {
        (_options, _time, _lock) = (options, time, lockFile);
        Marks = new Files.MarkStore(Path.Combine(options.Directory, "marks"));
        _retention = time.CreateTimer(_ => Trim(), null, options.RetentionCheck, options.RetentionCheck);
    }

    /// <summary>Confirmed offsets of the log's readers.</summary>
    public Files.MarkStore Marks { get; }

    /// <summary>Names of all topics.</summary>
    public IReadOnlyList<string> Topics
    {
        get
        {
            lock (_topics)
            {
                return [.. _topics.Keys.Order(StringComparer.Ordinal)];
            }
        }
    }

    /// <summary>Opens the log in a folder, which is created when missing; recovers what was acknowledged.</summary>
    /// <exception cref="IOException">Another process has it open.</exception>
    public static EmbeddedLog Open(EmbeddedLogOptions options, TimeProvider time)
    {
        Directory.CreateDirectory(options.Directory);
        FileStream lockFile;
        try
        {
            lockFile = new FileStream(Path.Combine(options.Directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e)
        {
            throw new IOException($"the log in {options.Directory} is open in another process; stop that one, or choose another folder", e);
        }

        var log = new EmbeddedLog(options, time, lockFile);
        try
        {
            foreach (var folder in Directory.EnumerateDirectories(TopicsOf(options)))
            {
                log._topics.Add(Path.GetFileName(folder), log.OpenTopic(folder, Directory.GetDirectories(folder).Length));
            }
        }
        catch
        {
            lockFile.Dispose();
            throw;
        }

        return log;
    }

    public bool Exists(string topic)
    {
        lock (_topics)
        {
            return _topics.ContainsKey(topic);
        }
    }

    /// <summary>Creates the topic unless it exists; returns its number of partitions, which never changes.</summary>
    /// <exception cref="ArgumentException">The name is not one.</exception>
    public int Create(string topic, int? partitions = null)
    {
        if (!IsTopic(topic))
        {
            throw new ArgumentException($"'{topic}' is not a topic: write letters, digits, '_', '-' and '.', at most 200, not starting with '.'", nameof(topic));
        }

        lock (_topics)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (!_topics.TryGetValue(topic, out var found))
            {
                var folder = Path.Combine(TopicsOf(_options), topic);
                var count = partitions ?? _options.Partitions;
                ArgumentOutOfRangeException.ThrowIfLessThan(count, 1, nameof(partitions));
                ArgumentOutOfRangeException.ThrowIfGreaterThan(count, 1024, nameof(partitions));
                _topics.Add(topic, found = OpenTopic(folder, count));
            }

            return found.Length;
        }
    }

    /// <summary>Appends one record; the task ends with its offset when it is on disk.</summary>
    public Task<long> AppendAsync(string topic, int partition, ReadOnlySpan<byte> payload, long appendTime = 0)
    {
        var batch = RawBatch.Rent("", partition, 1, payload.Length);
        batch.Add(payload, 0, 0);
        var appended = AppendAsync(topic, partition, batch, appendTime);
        batch.Dispose(); // copied; the task only waits for the disk
        return appended;
    }

    /// <summary>Appends the payloads of a batch, in order; the task ends with the first offset when all are on disk.</summary>
    /// <param name="appendTime">Unix milliseconds; 0 for now.</param>
    public Task<long> AppendAsync(string topic, int partition, RawBatch batch, long appendTime = 0) =>
        Partition(topic, partition).Append(batch, appendTime == 0 ? _time.GetUtcNow().ToUnixTimeMilliseconds() : appendTime);

    /// <summary>First offset kept.</summary>
    public long Head(string topic, int partition) => Partition(topic, partition).Head;

    /// <summary>Offset that the next record gets; all before it are on disk.</summary>
    public long Tail(string topic, int partition) => Partition(topic, partition).Tail;

    /// <summary>Drops what retention no longer keeps. Runs by itself as well.</summary>
    public void Trim()
    {
        var oldest = (_time.GetUtcNow() - _options.Retention).ToUnixTimeMilliseconds();
        LogPartition[] all;
        lock (_topics)
        {
            all = _disposed ? [] : [.. _topics.Values.SelectMany(p => p)];
        }

        foreach (var partition in all)
        {
            partition.Trim(oldest, _options.RetentionBytes);
        }
    }

    public async ValueTask DisposeAsync()
    {
        LogPartition[] all;
        lock (_topics)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            all = [.. _topics.Values.SelectMany(p => p)];
        }

        await _retention.DisposeAsync();
        foreach (var partition in all)
        {
            await partition.DisposeAsync();
        }

        await Marks.DisposeAsync();
        await _lock.DisposeAsync();
    }

    /// <summary>Whether a text may name a topic.</summary>
    public static bool IsTopic(string topic) => TopicRule().IsMatch(topic);

    internal LogPartition Partition(string topic, int partition)
    {
        Create(topic);
        lock (_topics)
        {
            var partitions = _topics[topic];
            return (uint)partition < (uint)partitions.Length
                ? partitions[partition]
                : throw new ArgumentOutOfRangeException(nameof(partition), $"topic {topic} has {partitions.Length} partitions, no {partition}");
        }
    }

    private static string TopicsOf(EmbeddedLogOptions options) => Directory.CreateDirectory(Path.Combine(options.Directory, "topics")).FullName;

    private LogPartition[] OpenTopic(string folder, int partitions)
    {
        var opened = new LogPartition[partitions];
        for (var i = 0; i < partitions; i++)
        {
            // All folders first, so that a crash in between does not leave a topic of fewer partitions than asked for with data in it.
            Directory.CreateDirectory(Path.Combine(folder, i.ToString(CultureInfo.InvariantCulture)));
        }

        for (var i = 0; i < partitions; i++)
        {
            opened[i] = new LogPartition(Path.Combine(folder, i.ToString(CultureInfo.InvariantCulture)), _options);
        }

        return opened;
    }

    [GeneratedRegex(@"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}\z", RegexOptions.None, 1000)]
    private static partial Regex TopicRule();
}

/// <summary>
/// One partition. An entry of the FasterLog holds a run of records: first offset (8 bytes), append time (8), count (4),
/// length of each (4), payloads; little endian. Entries never cross a page, so the first entry of each page is an index.
/// </summary>
internal sealed class LogPartition : IAsyncDisposable
{
    private const int Header = 20;
    private const int FirstAddress = 64;
    private readonly Lock _gate = new();
    private readonly IDevice _device;
    private readonly FasterLog _log;
    private readonly int _pageBits;
    private readonly int _entryBytesMax;
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
        _device = Devices.CreateLogDevice(Path.Combine(folder, "records"));
        _log = new FasterLog(new FasterLogSettings
        {
            LogDevice = _device,
            LogCommitDir = folder,
            LogChecksum = LogChecksumType.PerEntry,
            PageSizeBits = _pageBits,
            MemorySizeBits = _pageBits + 2,
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
            if (batch[i].Length > _entryBytesMax - Header - 4)
            {
                throw new ArgumentException($"a record of {batch[i].Length} bytes is too long; the log takes {_entryBytesMax - Header - 4}", nameof(batch));
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
            var (offset, appended, count) = Read(entry);
            if (appended >= time)
            {
                return offset;
            }

            from = offset + count;
        }

        return end;
    }

    /// <summary>Adds an entry's records in [<paramref name="from"/>, <paramref name="to"/>) to a batch; returns the offset after them.</summary>
    public static long AddTo(RawBatch batch, ReadOnlySpan<byte> entry, long from, long to)
    {
        var (offset, time, count) = Read(entry);
        var at = Header + (4 * count);
        for (var i = 0; i < count; i++)
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(entry[(Header + (4 * i))..]);
            if (offset + i >= from && offset + i < to)
            {
                batch.Add(entry.Slice(at, length), offset + i, time);
            }

            at += length;
        }

        return Math.Min(offset + count, to);
    }

    public static (long Offset, long Time, int Count) Read(ReadOnlySpan<byte> entry) =>
        (BinaryPrimitives.ReadInt64LittleEndian(entry), BinaryPrimitives.ReadInt64LittleEndian(entry[8..]), BinaryPrimitives.ReadInt32LittleEndian(entry[16..]));

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

    private int AppendRun(RawBatch batch, int from, long appendTime)
    {
        var (count, size) = (0, Header);
        while (from + count < batch.Count && size + 4 + batch[from + count].Length <= _entryBytesMax)
        {
            size += 4 + batch[from + count].Length;
            count++;
        }

        var entry = ArrayPool<byte>.Shared.Rent(size);
        var span = entry.AsSpan(0, size);
        BinaryPrimitives.WriteInt64LittleEndian(span, _next);
        BinaryPrimitives.WriteInt64LittleEndian(span[8..], appendTime);
        BinaryPrimitives.WriteInt32LittleEndian(span[16..], count);
        var at = Header + (4 * count);
        for (var i = 0; i < count; i++)
        {
            var payload = batch[from + i];
            BinaryPrimitives.WriteInt32LittleEndian(span[(Header + (4 * i))..], payload.Length);
            payload.CopyTo(span[at..]);
            at += payload.Length;
        }

        var address = _log.Enqueue(span);
        ArrayPool<byte>.Shared.Return(entry);
        if (_pages.Count == 0 || _pages[^1].Address >> _pageBits != address >> _pageBits)
        {
            _pages.Add((address, _next, appendTime));
        }

        _next += count;
        return count;
    }

    private async Task CommitLoop()
    {
        while (true)
        {
            TaskCompletionSource group;
            long next;
            lock (_gate)
            {
                _again = false;
                group = _group;
                _group = new(TaskCreationOptions.RunContinuationsAsynchronously);
                next = _next;
            }

            Exception? failure = null;
            try
            {
                await _log.CommitAsync();
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
            if (length < Header)
            {
                break;
            }

            var (offset, time, _) = Read(entry);
            _pages.Add((Math.Max(address, FirstAddress), offset, time));
        }

        if (_pages.Count == 0)
        {
            return;
        }

        using var scan = _log.Scan(_pages[^1].Address, end);
        while (scan.GetNext(out var entry, out _, out _, out _))
        {
            var (offset, _, count) = Read(entry);
            _next = offset + count;
        }

        _tail = _next;
    }
}
