using System.Collections.Concurrent;
using System.Threading.Channels;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>One flow's reading of one topic: finds partitions, takes batches from consumers, commits what is confirmed.</summary>
internal sealed class KafkaReader : IBatchReader, ISourceStatus
{
    private const int BatchesMax = 8;
    private readonly KafkaConnector _connector;
    private readonly SourceContext _context;
    private readonly Channel<RawBatch> _queue = Channel.CreateUnbounded<RawBatch>(new UnboundedChannelOptions { SingleReader = true });
    private readonly SemaphoreSlim _space = new(0);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<int, Partition> _partitions = new();
    private readonly Lock _gate = new();
    private FeedConsumer? _own;
    private Task? _running;
    private volatile string? _status = "not started";
    private int _waiting;
    private long _troubles;

    public KafkaReader(KafkaConnector connector, string topic, SourceContext context) => (_connector, Topic, _context) = (connector, topic, context);

    public string Topic { get; }

    public string Source => _context.Source;

    public int BatchRecordsMax => _context.BatchRecordsMax;

    public bool IsStopped => _stop.IsCancellationRequested;

    public string? Status => _status ?? _partitions.Values.Select(p => p.Consumer?.Trouble).FirstOrDefault(t => t is not null);

    public long Troubles => Interlocked.Read(ref _troubles);

    public void Confirm(int partition, long offset)
    {
        if (_partitions.TryGetValue(partition, out var p))
        {
            p.InFlight.Confirm(offset);
        }
    }

    public void Stop() => _stop.Cancel();

    public IReadOnlyList<PartitionLag> Lag() => [.. _partitions.OrderBy(p => p.Key).Select(p =>
    {
        var records = p.Value.High < 0 ? -1 : Math.Max(0, p.Value.High - 1 - p.Value.InFlight.Confirmed);
        var oldest = p.Value.InFlight.OldestAppendTime();
        return new PartitionLag(p.Key, records, records == 0 ? 0 : oldest == 0 ? -1 : Math.Max(0, (_connector.Time.GetUtcNow().ToUnixTimeMilliseconds() - oldest) / 1000.0));
    })];

    public FeedConsumer OwnConsumer()
    {
        lock (_gate)
        {
            return _own ??= _connector.Own();
        }
    }

    public void Follows(int partition, FeedConsumer consumer) => _partitions[partition].Consumer = consumer;

    /// <summary>Takes a batch unless the queue is full.</summary>
    public bool Offer(RawBatch batch, long high)
    {
        var waiting = Volatile.Read(ref _waiting);
        if (waiting >= BatchesMax || (waiting > 0 && !_connector.HasBudget))
        {
            return false;
        }

        var partition = _partitions[batch.Partition];
        partition.High = high;
        partition.InFlight.Add(batch);
        Interlocked.Increment(ref _waiting);
        _connector.Queued(batch.Bytes);
        return _queue.Writer.TryWrite(batch);
    }

    public void WaitForSpace(TimeSpan timeout) => _space.Wait(timeout);

    public async ValueTask<RawBatch?> ReadAsync(CancellationToken stop)
    {
        if (_running is null)
        {
            _connector.Remember(this);
        }

        _running ??= Task.WhenAll(Task.Run(DiscoverAsync, CancellationToken.None), Task.Run(CommitAsync, CancellationToken.None));
        try
        {
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, _stop.Token);
            await _queue.Reader.WaitToReadAsync(either.Token);
        }
        catch (OperationCanceledException) when (IsStopped && !stop.IsCancellationRequested)
        {
            // Stopped: what is in the queue still comes out.
        }

        if (!_queue.Reader.TryRead(out var batch))
        {
            return null;
        }

        Interlocked.Decrement(ref _waiting);
        _connector.Queued(-batch.Bytes);
        if (_space.CurrentCount == 0)
        {
            _space.Release();
        }

        return batch;
    }

    /// <summary>The stage has ended; sinks may still confirm for a while, which <see cref="CommitAsync"/> waits for.</summary>
    public ValueTask DisposeAsync()
    {
        _stop.Cancel();
        foreach (var consumer in _partitions.Values.Select(p => p.Consumer).OfType<FeedConsumer>().Distinct())
        {
            consumer.Remove(this);
        }

        while (_queue.Reader.TryRead(out var batch))
        {
            _connector.Queued(-batch.Bytes);
            batch.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private async Task DiscoverAsync()
    {
        var isFirst = true;
        while (!IsStopped)
        {
            try
            {
                var group = _connector.Group(_context.Flow);
                if (group.Partitions(Topic) is not { } found)
                {
                    Trouble($"topic {Topic} does not exist at {_connector.Options.BootstrapServers}");
                }
                else
                {
                    foreach (var number in found.Where(n => !_partitions.ContainsKey(n)))
                    {
                        var offset = Start(group, number, isFirst);
                        var partition = new Partition();
                        partition.InFlight.Begin(offset - 1);
                        partition.High = group.Watermarks(Topic, number).High;
                        _partitions[number] = partition;
                        _connector.Shared(Topic, number).Add(this, number, offset);
                    }

                    isFirst = false;
                    _status = null;
                }
            }
            catch (KafkaException e)
            {
                Trouble(_connector.Group(_context.Flow).Trouble ?? FeedConsumer.Explain(e.Error, _connector.Options));
            }
            catch (ObjectDisposedException)
            {
                return;
            }

            await DelayAsync(_status is null ? _connector.Options.Refresh : TimeSpan.FromSeconds(1));
        }
    }

    private long Start(GroupClient group, int partition, bool isFirst)
    {
        if (group.Committed(Topic, partition) is { } committed)
        {
            return committed;
        }

        var (low, high) = group.Watermarks(Topic, partition);
        return !isFirst ? low : _context.Start.Kind switch
        {
            StartKind.Tail => high,
            StartKind.Timestamp => (_connector.Admin is { } admin
                ? admin.OffsetAt(Topic, partition, _context.Start.Timestamp)
                : group.OffsetAt(Topic, partition, _context.Start.Timestamp)) ?? high,
            _ => low,
        };
    }

    /// <summary>Commits what was confirmed since the last time; false when the connector is gone.</summary>
    public bool Commit()
    {
        lock (_gate)
        {
            var fresh = _partitions.Where(p => p.Value.InFlight.Confirmed > p.Value.Committed)
                .Select(p => (Partition: p.Value, Number: p.Key, p.Value.InFlight.Confirmed)).ToArray();
            try
            {
                if (fresh.Length > 0)
                {
                    _connector.Group(_context.Flow).Commit(fresh.Select(f => new TopicPartitionOffset(Topic, f.Number, f.Confirmed + 1)));
                    foreach (var (partition, _, confirmed) in fresh)
                    {
                        partition.Committed = confirmed;
                    }
                }
            }
            catch (KafkaException)
            {
                // The next round tries again; the consumers report what is wrong.
            }
            catch (ObjectDisposedException)
            {
                return false;
            }

            return true;
        }
    }

    private async Task CommitAsync()
    {
        // After a stop, ten more rounds for what the sinks confirm last.
        for (var left = 10; left > 0;)
        {
            await (IsStopped ? Task.Delay(TimeSpan.FromMilliseconds(200), _connector.Time) : DelayAsync(TimeSpan.FromSeconds(1)));
            left -= IsStopped ? 1 : 0;
            if (!Commit())
            {
                return;
            }
        }

        _connector.Forget(this);
    }

    private async Task DelayAsync(TimeSpan time)
    {
        try
        {
            await Task.Delay(time, _connector.Time, _stop.Token);
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private void Trouble(string what)
    {
        if (_status is null or "not started")
        {
            Interlocked.Increment(ref _troubles);
        }

        _status = what;
    }

    private sealed class Partition
    {
        private long _high = -1;

        public InFlight InFlight { get; } = new();

        public long Committed { get; set; } = -1;

        public FeedConsumer? Consumer { get; set; }

        public long High
        {
            get => Interlocked.Read(ref _high);
            set => Interlocked.Exchange(ref _high, value);
        }
    }
}
