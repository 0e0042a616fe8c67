using System.Collections.Concurrent;
using System.Threading.Channels;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>One flow's reading of one topic: finds partitions, takes batches from consumers, knows what is to be committed.</summary>
internal sealed class KafkaReader(KafkaConnector connector, string topic, SourceContext context) : IBatchReader, ISourceStatus
{
    private const int BatchesMax = 8;
    private static readonly TimeSpan RetryEvery = TimeSpan.FromSeconds(1);
    private readonly Channel<RawBatch> _queue = Channel.CreateUnbounded<RawBatch>(new UnboundedChannelOptions { SingleReader = true });
    private readonly SemaphoreSlim _space = new(0);
    private readonly SemaphoreSlim _committing = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly ConcurrentDictionary<int, Partition> _partitions = new();
    private readonly Lock _gate = new();
    private FeedConsumer? _own;
    private int _splits;
    private Task? _discovering;
    private volatile string? _status = "not started";
    private volatile string? _commitStatus;
    private volatile bool _givenUp;
    private volatile bool _isClosed;
    private int _waiting;
    private long _troubles;
    private long _lost;

    public string Topic => topic;

    /// <summary>The consumer group: two sources of one flow may read one topic, each with its own offsets.</summary>
    public string Group { get; } = $"{context.Flow}.{context.Source}";

    public string Source => context.Source;

    public int BatchRecordsMax => context.BatchRecordsMax;

    public bool IsStopped => _stop.IsCancellationRequested;

    public string? Status => _status ?? _partitions.Values.Select(p => p.Consumer?.Trouble.Text).FirstOrDefault(t => t is not null) ?? _commitStatus;

    public long Troubles => Interlocked.Read(ref _troubles) + _partitions.Values.Select(p => p.Consumer?.Trouble).OfType<ClientTrouble>().Distinct().Sum(t => t.Count);

    public long LostRecords => Interlocked.Read(ref _lost);

    /// <summary>Whether nothing more can come to be committed.</summary>
    public bool IsSettled => _givenUp || (_isClosed && _partitions.Values.All(p => p.InFlight.IsEmpty && p.Committed >= p.InFlight.Confirmed));

    /// <summary>How long a consumer of its own is kept before it is tried with the shared ones again.</summary>
    public TimeSpan RejoinAfter => connector.Options.RejoinAfter * Math.Pow(2, Math.Min(6, _splits - 1));

    public static KafkaFailureException BeyondEnd(TopicPartition at, long offset, long high) => new(
        $"the flow stands at offset {offset} of {at.Topic}/{at.Partition.Value}, beyond the partition's end {high}: the topic was made anew or cut; reset the flow's offsets to read it");

    public void Confirm(int partition, long offset)
    {
        if (_partitions.TryGetValue(partition, out var p))
        {
            p.InFlight.Confirm(offset);
        }
    }

    public void Stop() => _stop.Cancel();

    /// <summary>Another reader of the same group and topic has come: this one commits no more.</summary>
    public void GiveUp() => _givenUp = true;

    /// <summary>Ends the source with an error, behind what is in the queue.</summary>
    public void Fail(Exception e)
    {
        _status = e.Message;
        _queue.Writer.TryComplete(e);
        _stop.Cancel();
    }

    /// <summary>Records that retention took before they were read.</summary>
    public void Lost(long records) => Interlocked.Add(ref _lost, records);

    public IReadOnlyList<PartitionLag> Lag() => [.. _partitions.OrderBy(p => p.Key).Select(p =>
    {
        var records = p.Value.High < 0 ? -1 : Math.Max(0, p.Value.High - 1 - p.Value.InFlight.Confirmed);
        var oldest = p.Value.InFlight.OldestAppendTime();
        return new PartitionLag(p.Key, records, records == 0 ? 0 : oldest == 0 ? -1 : Math.Max(0, (connector.Time.GetUtcNow().ToUnixTimeMilliseconds() - oldest) / 1000.0));
    })];

    public void AddToOwn(int partition, long offset)
    {
        lock (_gate)
        {
            while (_own is null || !_own.TryAdd(this, partition, offset))
            {
                _own = connector.Own();
                _splits++;
            }
        }
    }

    public void AddToShared(int partition, long offset)
    {
        while (!connector.Shared(topic, partition).TryAdd(this, partition, offset))
        {
            // That one has just ended; the next is another.
        }
    }

    public void Follows(int partition, FeedConsumer consumer) => _partitions[partition].Consumer = consumer;

    /// <summary>Takes a batch unless the queue is full.</summary>
    public bool Offer(RawBatch batch, long high)
    {
        var waiting = Volatile.Read(ref _waiting);
        if (waiting >= BatchesMax || (waiting > 0 && !connector.HasBudget))
        {
            return false;
        }

        var partition = _partitions[batch.Partition];
        if (high >= 0)
        {
            partition.High = high;
        }

        partition.InFlight.Add(batch);
        Interlocked.Increment(ref _waiting);
        connector.Queued(batch.Bytes);
        return _queue.Writer.TryWrite(batch);
    }

    public void WaitForSpace(TimeSpan timeout) => _space.Wait(timeout);

    public async ValueTask<RawBatch?> ReadAsync(CancellationToken stop)
    {
        if (_discovering is null)
        {
            connector.Remember(this);
            _discovering = Task.Run(DiscoverAsync, CancellationToken.None);
        }

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
            if (_queue.Reader.Completion.IsFaulted)
            {
                await _queue.Reader.Completion;
            }

            return null;
        }

        Interlocked.Decrement(ref _waiting);
        connector.Queued(-batch.Bytes);
        if (_space.CurrentCount == 0)
        {
            _space.Release();
        }

        return batch;
    }

    /// <summary>The stage has ended; sinks may still confirm for as long as they take, and the connector commits it.</summary>
    public ValueTask DisposeAsync()
    {
        _stop.Cancel();
        foreach (var consumer in _partitions.Values.Select(p => p.Consumer).OfType<FeedConsumer>().Distinct())
        {
            consumer.Remove(this);
        }

        while (_queue.Reader.TryRead(out var batch))
        {
            connector.Queued(-batch.Bytes);
            _partitions[batch.Partition].InFlight.Forget(batch);
            batch.Dispose();
        }

        _isClosed = true;
        return ValueTask.CompletedTask;
    }

    /// <summary>Commits what was confirmed since the last time; false when it is to be tried again.</summary>
    public async Task<bool> CommitAsync(ITopicAdmin admin)
    {
        await _committing.WaitAsync();
        try
        {
            var fresh = _partitions.Where(p => p.Value.InFlight.Confirmed > p.Value.Committed)
                .Select(p => (Number: p.Key, p.Value.InFlight.Confirmed, Partition: p.Value)).ToArray();
            if (fresh.Length > 0 && !_givenUp)
            {
                await admin.CommitAsync(Group, topic, [.. fresh.Select(f => (f.Number, f.Confirmed + 1))]);
                foreach (var (_, confirmed, partition) in fresh)
                {
                    partition.Committed = confirmed;
                }
            }

            _commitStatus = null;
            return true;
        }
        catch (KafkaException e)
        {
            _commitStatus = $"offsets of group {Group} are not committed: {KafkaErrors.Explain(e.Error, connector.Options)}";
            return false;
        }
        finally
        {
            _committing.Release();
        }
    }

    private async Task DiscoverAsync()
    {
        var isNew = false;
        ITopicAdmin? admin = null;
        while (!IsStopped)
        {
            // A complaint that is older than an answer of the cluster no longer holds.
            var complaints = _partitions.Values.Select(p => p.Consumer?.Trouble).OfType<ClientTrouble>().Where(t => t.Text is not null).Distinct().ToArray();
            try
            {
                admin ??= connector.Admin;
                if (await admin.PartitionsAsync(topic) is not { } found)
                {
                    isNew = true; // partitions that come later are read from their heads, whatever the start
                    Trouble($"topic {topic} does not exist at {connector.Options.BootstrapServers}");
                }
                else
                {
                    await StartAsync(admin, [.. found.Where(n => !_partitions.ContainsKey(n))], isNew);
                    foreach (var (number, bounds) in await admin.BoundsAsync(topic, [.. _partitions.Keys]))
                    {
                        _partitions[number].High = bounds.High;
                    }

                    isNew = true;
                    Array.ForEach(complaints, c => c.Clear());
                    _status = null;
                }
            }
            catch (KafkaException e)
            {
                Trouble(admin?.Trouble ?? KafkaErrors.Explain(e.Error, connector.Options));
            }
            catch (Exception e) when (e is ObjectDisposedException || (e is OperationCanceledException && IsStopped))
            {
                return;
            }
            catch (Exception e)
            {
                Fail(e is KafkaFailureException or CheckpointException ? e : new KafkaFailureException($"finding the partitions of topic {topic} ended: {e.Message}", e));
                return;
            }

            await DelayAsync(Status is null ? connector.Options.Refresh : RetryEvery);
        }
    }

    private async Task StartAsync(ITopicAdmin admin, IReadOnlyList<int> fresh, bool isNew)
    {
        if (fresh.Count == 0)
        {
            return;
        }

        var committed = await admin.CommittedAsync(Group, topic, fresh);
        var bounds = await admin.BoundsAsync(topic, fresh);
        var timed = !isNew && context.Start.Kind == StartKind.Timestamp ? await admin.OffsetsAtAsync(topic, fresh, context.Start.Timestamp) : null;
        foreach (var number in fresh)
        {
            var (low, high) = bounds[number];

            // The checkpoint record rules. Without one, what the group committed before, for a flow that had none yet.
            var isCommitted = committed.TryGetValue(number, out var mark);
            var start = await context.Ledger.ClaimAsync(
                number, "", () => isCommitted ? mark : isNew || context.Start.Kind == StartKind.Head ? low : timed?.GetValueOrDefault(number, high) ?? high, _stop.Token);
            if (start > high)
            {
                throw BeyondEnd(new TopicPartition(topic, number), start, high);
            }

            Lost(Math.Max(0, low - start));
            start = Math.Max(low, start);

            // A first start is committed as well: a later one at the tail would leave out what came in between.
            var partition = new Partition { High = high, Committed = isCommitted && mark == start ? start - 1 : -2 };
            partition.InFlight.Begin(start - 1);
            _partitions[number] = partition;
            AddToShared(number, start);
        }
    }

    private async Task DelayAsync(TimeSpan time)
    {
        try
        {
            await Task.Delay(time, connector.Time, _stop.Token);
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
