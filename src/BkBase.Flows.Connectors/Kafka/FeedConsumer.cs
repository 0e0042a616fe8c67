using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>One consumer with its poll thread, which alone touches the client and the feeds.</summary>
internal sealed class FeedConsumer : IDisposable
{
    private const int RoundRecordsMax = 4096;
    private const int RoundBytesMax = 1 << 20;

    // A reader this near to a feed joins it: the feed goes back for it, or it waits. Farther ones get a consumer of their own.
    private const long NearRecords = 10_000;
    private static readonly TimeSpan PollWait = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan RetryEvery = TimeSpan.FromSeconds(1);
    private readonly KafkaConnector _connector;
    private readonly bool _isOwn;
    private readonly Lock _gate = new();
    private readonly Queue<(KafkaReader Reader, Action Run)> _commands = new();
    private readonly Dictionary<(string Topic, int Partition), Feed> _feeds = [];
    private readonly Thread _thread;
    private readonly long _born;
    private IConsumer<Ignore, Ignore> _client = null!;
    private MessageQueue _queue = null!;
    private Feed? _feed;
    private nint _feedTopic;
    private int _feedPartition;
    private volatile bool _stop;
    private volatile int _waitingCommands;
    private bool _isEnded;
    private bool _used;
    private int _roundRecordsMax = RoundRecordsMax;
    private long _repositioned;

    public FeedConsumer(KafkaConnector connector, bool own)
    {
        (_connector, _isOwn, _born) = (connector, own, connector.Time.GetTimestamp());
        Trouble = new ClientTrouble(connector.Options);
        _thread = new Thread(Run) { IsBackground = true, Name = own ? "kafka own" : "kafka shared" };
        _thread.Start();
    }

    public ClientTrouble Trouble { get; }

    /// <summary>Adds a reader's partition at an offset; false when this consumer has ended and another is to be asked.</summary>
    public bool TryAdd(KafkaReader reader, int partition, long offset) => TrySend(reader, () => AddNow(reader, partition, offset));

    public void Remove(KafkaReader reader) => TrySend(reader, () => RemoveNow(reader));

    public void Dispose()
    {
        _stop = true;
        _thread.Join();
    }

    private bool TrySend(KafkaReader reader, Action command)
    {
        lock (_gate)
        {
            if (_isEnded)
            {
                return false;
            }

            _commands.Enqueue((reader, command));
            _waitingCommands = _commands.Count;
            return true;
        }
    }

    private void Run()
    {
        Exception? failure = null;
        try
        {
            _client = _connector.Options.Build(() => new ConsumerBuilder<Ignore, Ignore>(_connector.Options.Consumer())
                .SetErrorHandler((_, e) => Trouble.Add(e))
                .SetLogHandler((_, _) => { })
                .Build());
            _queue = new MessageQueue(_client);
            while (!_stop && !RunCommands())
            {
                do
                {
                    Round();
                }
                while (_queue.HasTaken && !_stop); // feeds move only when nothing is left of where they stood

                Reposition();
                Rejoin();
            }
        }
        catch (Exception e)
        {
            failure = e as KafkaFailureException ?? new KafkaFailureException(
                e is KafkaException k ? KafkaErrors.Explain(k.Error, _connector.Options) : $"reading Kafka at {_connector.Options.BootstrapServers} ended: {e.Message}", e);
        }

        End(failure);
    }

    /// <summary>True when this consumer has served its purpose.</summary>
    private bool RunCommands()
    {
        while (true)
        {
            Action command;
            lock (_gate)
            {
                if (!_commands.TryDequeue(out var next))
                {
                    return _isEnded = _isOwn && _used && _feeds.Count == 0;
                }

                _waitingCommands = _commands.Count;
                command = next.Run;
            }

            command();
        }
    }

    private void End(Exception? failure)
    {
        _connector.Ended(this); // first: who is told to ask another must not meet this one again
        lock (_gate)
        {
            _isEnded = true;
        }

        foreach (var member in _feeds.Values.SelectMany(f => f.Members))
        {
            member.Drop();
        }

        if (failure is not null)
        {
            foreach (var reader in _feeds.Values.SelectMany(f => f.Members.Select(m => m.Reader)).Concat(_commands.Select(c => c.Reader)).Distinct())
            {
                reader.Fail(failure);
            }
        }

        _queue?.Dispose();
        _client?.Close();
        _client?.Dispose();
    }

    private void AddNow(KafkaReader reader, int partition, long offset)
    {
        _used = true;
        _roundRecordsMax = Math.Min(_roundRecordsMax, reader.BatchRecordsMax);
        if (reader.IsStopped)
        {
            return;
        }

        var key = (reader.Topic, partition);
        if (!_feeds.TryGetValue(key, out var feed))
        {
            _feeds.Add(key, feed = new Feed(reader.Topic, partition, offset));
            _client.IncrementalAssign([new TopicPartitionOffset(feed.Key, offset)]);
        }
        else if (Math.Abs(offset - feed.Next) > NearRecords)
        {
            reader.AddToOwn(partition, offset);
            return;
        }
        else if (offset < feed.Next)
        {
            Assign(feed, offset); // the others skip what they have
        }

        feed.Members.Add(new FeedMember(reader, partition, offset));
        reader.Follows(partition, this);
    }

    private void Assign(Feed feed, long offset)
    {
        _client.IncrementalUnassign([feed.Key]);
        _client.IncrementalAssign([new TopicPartitionOffset(feed.Key, offset)]);
        feed.Next = offset;
        feed.IsLost = false;
    }

    private void Round()
    {
        Poll();
        HashSet<KafkaReader>? split = null;
        foreach (var feed in _feeds.Values)
        {
            if (!feed.IsChanged)
            {
                continue;
            }

            feed.IsChanged = false;
            var high = High(feed);
            foreach (var member in feed.Members)
            {
                if (member.Batch is null)
                {
                    continue;
                }

                if (split?.Contains(member.Reader) == true || !Offer(member, high))
                {
                    member.Drop();
                    (split ??= []).Add(member.Reader);
                }
            }
        }

        foreach (var reader in split ?? [])
        {
            Move(reader, static (r, partition, offset) => r.AddToOwn(partition, offset));
        }
    }

    private void Poll()
    {
        var (records, bytes, isWell) = (0, 0, false);
        (_feed, _feedTopic) = (null, 0);
        while (records < _roundRecordsMax && bytes < RoundBytesMax)
        {
            if (!_queue.TryNext(out var message))
            {
                if (!_queue.Take(records == 0 ? PollWait : TimeSpan.Zero, _roundRecordsMax - records))
                {
                    return;
                }

                _feedTopic = 0;
                continue;
            }

            records++;
            if (message.Error is ErrorCode.Local_PartitionEOF)
            {
                continue; // the settings of the client ask for it
            }

            if (message.Error != ErrorCode.NoError)
            {
                isWell = false;
                Heed(message);
                continue;
            }

            if (!isWell)
            {
                isWell = true;
                Trouble.Clear();
            }

            bytes += message.Payload.Length;
            Add(message);
        }
    }

    private void Add(KafkaMessage message)
    {
        if (_feedTopic != message.TopicId || _feedPartition != message.Partition)
        {
            (_feedTopic, _feedPartition) = (message.TopicId, message.Partition);
            _feeds.TryGetValue((message.Topic, message.Partition), out _feed);
        }

        _feed?.Add(message);
    }

    private void Heed(KafkaMessage message)
    {
        var e = message.Exception();
        if (e.Error.IsFatal)
        {
            throw e;
        }

        Trouble.Add(e.Error);
        if (e.Error.Code is ErrorCode.Local_AutoOffsetReset or ErrorCode.OffsetOutOfRange
            && _feeds.TryGetValue((message.Topic, message.Partition), out var feed))
        {
            feed.IsLost = true;
        }
    }

    // Counts what retention took before it was read, and goes on behind it.
    private void Reposition()
    {
        if (_connector.Time.GetElapsedTime(_repositioned) < RetryEvery || !_feeds.Values.Any(f => f.IsLost))
        {
            return;
        }

        _repositioned = _connector.Time.GetTimestamp();
        foreach (var feed in _feeds.Values.Where(f => f.IsLost).ToArray())
        {
            try
            {
                var bounds = _client.QueryWatermarkOffsets(feed.Key, _connector.Options.RequestTimeout);
                if (feed.Next > bounds.High.Value)
                {
                    var beyond = KafkaReader.BeyondEnd(feed.Key, feed.Next, bounds.High.Value);
                    foreach (var reader in feed.Members.Select(m => m.Reader).ToArray())
                    {
                        RemoveNow(reader);
                        reader.Fail(beyond);
                    }

                    continue;
                }

                foreach (var member in feed.Members.Where(m => m.Delivered < bounds.Low.Value))
                {
                    member.Reader.Lost(bounds.Low.Value - member.Delivered);
                    member.Delivered = bounds.Low.Value;
                }

                Assign(feed, Math.Max(feed.Next, bounds.Low.Value));
            }
            catch (KafkaException e) when (!e.Error.IsFatal)
            {
                Trouble.Add(e.Error);
            }
        }
    }

    private long High(Feed feed) => _client.GetWatermarkOffsets(feed.Key).High is { IsSpecial: false } high ? high.Value : -1;

    private bool Offer(FeedMember member, long high)
    {
        var since = _connector.Time.GetTimestamp();
        var next = member.Batch!.Offset(member.Batch.Count - 1) + 1; // before the offer: then the batch is the reader's
        while (!member.Reader.IsStopped && !_stop)
        {
            if (member.Reader.Offer(member.Batch, high))
            {
                member.Delivered = next;
                member.Batch = null;
                return true;
            }

            var isShared = !_isOwn && (_waitingCommands > 0 || _feeds.Values.Any(f => f.Members.Any(m => m.Reader != member.Reader)));
            if (isShared && _connector.Time.GetElapsedTime(since) >= _connector.Options.SplitAfter)
            {
                return false;
            }

            member.Reader.WaitForSpace(TimeSpan.FromMilliseconds(50));
        }

        return false;
    }

    // A consumer of its own gives its reader back when that has caught up with the ends of all its partitions.
    private void Rejoin()
    {
        if (!_isOwn || _feeds.Count == 0 || _waitingCommands > 0)
        {
            return;
        }

        var reader = _feeds.Values.First().Members[0].Reader;
        if (_connector.Time.GetElapsedTime(_born) >= reader.RejoinAfter
            && _feeds.Values.All(f => !f.IsLost && High(f) is >= 0 and var high && high - f.Next < NearRecords / 10))
        {
            Move(reader, static (r, partition, offset) => r.AddToShared(partition, offset));
        }
    }

    private void Move(KafkaReader reader, Action<KafkaReader, int, long> add)
    {
        var positions = _feeds.Values.SelectMany(f => f.Members).Where(m => m.Reader == reader).Select(m => (m.Partition, m.Delivered)).ToArray();
        RemoveNow(reader);
        if (!reader.IsStopped && !_stop)
        {
            foreach (var (partition, offset) in positions)
            {
                add(reader, partition, offset);
            }
        }
    }

    private void RemoveNow(KafkaReader reader)
    {
        foreach (var (key, feed) in _feeds.ToArray())
        {
            foreach (var member in feed.Members.Where(m => m.Reader == reader))
            {
                member.Drop();
            }

            if (feed.Members.RemoveAll(m => m.Reader == reader) > 0 && feed.Members.Count == 0)
            {
                _feeds.Remove(key);
                _client.IncrementalUnassign([feed.Key]);
            }
        }
    }
}
