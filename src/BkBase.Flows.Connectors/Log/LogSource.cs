using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Log;

/// <summary>Sources over an <see cref="EmbeddedLog"/>.</summary>
public sealed class LogConnector(EmbeddedLog log)
{
    /// <summary>The catalogue's entry for <c>type: log</c>.</summary>
    public CatalogEntry<ISourceSettings> Source => new(
        "log",
        "Reads a topic of the embedded log of single-machine mode.",
        """
        name: input
        type: log
        topic: 0bkmonitor_1572865
        """,
        [
            new Key("topic", KeyKind.Text, "The topic; created when missing", Required: true),
            new Key("bounded", KeyKind.Boolean, "true to end at what was there at the start; default false"),
        ],
        section =>
        {
            var topic = section.Text("topic", "");
            if (section.Has("topic") && !EmbeddedLog.IsTopic(topic))
            {
                section.Error("topic", DiagnosticCodes.BadName, $"'{topic}' is not a topic: write letters, digits, '_', '-' and '.', at most 200, not starting with '.'");
            }

            return new Settings(this, topic, section.Boolean("bounded") ?? false);
        });

    /// <summary>A source over all partitions of a topic.</summary>
    /// <param name="bounded">Whether it ends at the tail it saw at its start.</param>
    public ISource Open(string topic, bool bounded = false) => new LogSource(log, topic, bounded);

    private sealed class Settings(LogConnector connector, string topic, bool bounded) : ISourceSettings
    {
        public string Describe => $"log topic {topic}";

        public string? Topic => topic;

        public ISource Create() => connector.Open(topic, bounded);
    }
}

internal sealed class LogSource(EmbeddedLog log, string topic, bool bounded) : ISource
{
    public bool IsBounded => bounded;

    public Akka.Streams.Dsl.Source<RawBatch, ISourceControl> Create(SourceContext context) =>
        Akka.Streams.Dsl.Source.FromGraph(new BatchReaderSource(() => new LogReader(log, topic, bounded, context)));
}

/// <summary>Reads the partitions of a topic in turn; waits for appends when it has reached all tails.</summary>
internal sealed class LogReader : IBatchReader, ISourceStatus
{
    private const int BatchBytesMax = 1 << 20;
    private readonly EmbeddedLog _log;
    private readonly SourceContext _context;
    private readonly LogCursor[] _readers;
    private readonly string _topic;
    private readonly bool _isBounded;
    private volatile bool _isOpen;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _turn;

    public LogReader(EmbeddedLog log, string topic, bool bounded, SourceContext context)
    {
        (_log, _topic, _isBounded, _context) = (log, topic, bounded, context);
        _readers = new LogCursor[log.Create(topic)];
    }

    public void Confirm(int partition, long offset) => _readers[partition].InFlight.Confirm(offset);

    public string? Status => null;

    public long Troubles => 0;

    public long LostRecords => _isOpen ? _readers.Sum(r => r.LostRecords) : 0;

    public void Stop() => _stopped.TrySetResult();

    public IReadOnlyList<PartitionLag> Lag()
    {
        if (!_isOpen)
        {
            return [];
        }

        var lags = new PartitionLag[_readers.Length];
        for (var i = 0; i < lags.Length; i++)
        {
            var records = Math.Max(0, _readers[i].Partition.Tail - 1 - _readers[i].InFlight.Confirmed);
            var oldest = _readers[i].InFlight.OldestAppendTime();
            lags[i] = new PartitionLag(i, records, records == 0 ? 0 : oldest == 0 ? -1 : Math.Max(0, (_context.Time.GetUtcNow().ToUnixTimeMilliseconds() - oldest) / 1000.0));
        }

        return lags;
    }

    public async ValueTask<RawBatch?> ReadAsync(CancellationToken stop)
    {
        if (!_isOpen)
        {
            await OpenAsync(stop);
            _isOpen = true;
        }

        while (!_stopped.Task.IsCompleted)
        {
            // Signals before the look, so that an append in between is not missed.
            var signals = _readers.Select(r => r.Partition.Committed).Append(_stopped.Task).ToArray();
            var open = false;
            for (var i = 0; i < _readers.Length; i++)
            {
                var n = (_turn + i) % _readers.Length;
                if (_readers[n].Read(_context.Source, n, _context.BatchRecordsMax, BatchBytesMax) is { } batch)
                {
                    _turn = n + 1;
                    return batch;
                }

                open |= _readers[n].Next < _readers[n].End;
            }

            if (!open)
            {
                return null;
            }

            await Task.WhenAny(signals).WaitAsync(stop);
        }

        return null;
    }

    public ValueTask DisposeAsync()
    {
        foreach (var reader in _readers)
        {
            reader?.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private async Task OpenAsync(CancellationToken stop)
    {
        for (var i = 0; i < _readers.Length; i++)
        {
            var partition = _log.Partition(_topic, i);
            var end = _isBounded ? partition.Tail : long.MaxValue;
            var start = await _context.Ledger.ClaimAsync(
                i,
                "",
                () => _context.Start.Kind switch
                {
                    StartKind.Tail => partition.Tail,
                    StartKind.Timestamp => partition.OffsetAt(_context.Start.Timestamp),
                    _ => partition.Head,
                },
                stop);
            if (start > partition.Tail)
            {
                // The topic was removed and made anew, or the record is of another log: waiting would be silent for ever.
                throw new IOException($"flow {_context.Flow} stands at offset {start} of {_topic}/{i}, a mark beyond the end of its partition ({partition.Tail}): the topic was made anew; start the flow afresh to read it from its head");
            }

            var reader = new LogCursor(partition, start, end);
            reader.InFlight.Begin(start - 1);
            _readers[i] = reader;
        }
    }
}
