using System.Globalization;
using System.Text.RegularExpressions;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Log;

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
        _retention = time.CreateTimer(_ => Trim(), null, options.RetentionCheck, options.RetentionCheck);
    }

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
    /// <exception cref="IOException">Another process has it open, or another version made it.</exception>
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

        try
        {
            options = options with { PageBits = LogFormat.PageBits(options) };
        }
        catch
        {
            lockFile.Dispose();
            throw;
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
            log._retention.Dispose();
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
    /// <exception cref="ArgumentException">A record is longer than <see cref="EmbeddedLogOptions.RecordBytesMax"/>; nothing was appended.</exception>
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
        try
        {
            foreach (var partition in all)
            {
                await partition.DisposeAsync();
            }
        }
        finally
        {
            await _lock.DisposeAsync();
        }
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
