using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using FASTER.core;

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
internal sealed class LogReader : IBatchReader
{
    private const int BatchBytesMax = 1 << 20;
    private readonly EmbeddedLog _log;
    private readonly SourceContext _context;
    private readonly Reader[] _readers;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _turn;

    public LogReader(EmbeddedLog log, string topic, bool bounded, SourceContext context)
    {
        (_log, _context) = (log, context);
        _readers = new Reader[log.Create(topic)];
        for (var i = 0; i < _readers.Length; i++)
        {
            var partition = log.Partition(topic, i);
            var start = log.Marks.Get(context.Flow, context.Source, i) is { } mark
                ? mark.Offset + 1
                : context.Start.Kind switch
                {
                    StartKind.Tail => partition.Tail,
                    StartKind.Timestamp => partition.OffsetAt(context.Start.Timestamp),
                    _ => partition.Head,
                };
            _readers[i] = new Reader(partition, Math.Max(start, partition.Head), bounded ? partition.Tail : long.MaxValue);
            _readers[i].InFlight.Begin(_readers[i].Next - 1);
        }
    }

    public void Confirm(int partition, long offset)
    {
        if (_readers[partition].InFlight.Confirm(offset))
        {
            _log.Marks.Set(_context.Flow, _context.Source, partition, new Mark(offset));
        }
    }

    public void Stop() => _stopped.TrySetResult();

    public IReadOnlyList<PartitionLag> Lag()
    {
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
            reader.Dispose();
        }

        return ValueTask.CompletedTask;
    }

    private sealed class Reader(LogPartition partition, long next, long end) : IDisposable
    {
        private FasterLogScanIterator? _scan;
        private byte[]? _entry;

        public LogPartition Partition { get; } = partition;

        public InFlight InFlight { get; } = new();

        public long Next { get; private set; } = next;

        public long End { get; } = end;

        public RawBatch? Read(string source, int number, int records, int bytes)
        {
            RawBatch? batch = null;
            var tail = Math.Min(Partition.Tail, End);
            while (Next < tail)
            {
                _scan ??= Partition.Scan(Next);
                if (_entry is null && !_scan.GetNext(out _entry, out _, out _, out _))
                {
                    _entry = null;
                    break;
                }

                var (first, _, count) = LogPartition.Read(_entry);
                if (first + count <= Next)
                {
                    _entry = null;
                    continue;
                }

                if (batch is not null && (batch.Count + count > records || batch.Bytes + _entry.Length > bytes))
                {
                    break;
                }

                batch ??= RawBatch.Rent(source, number);
                Next = Take(batch, _entry, records);
                if (Next >= first + count)
                {
                    _entry = null;
                }

                if (batch.Count >= records)
                {
                    break;
                }
            }

            if (batch is not null)
            {
                InFlight.Add(batch);
            }

            return batch;
        }

        public void Dispose() => _scan?.Dispose();

        private long Take(RawBatch batch, byte[] entry, int records)
        {
            var after = LogPartition.AddTo(batch, entry, Next, Math.Min(End, Math.Max(Next, LogPartition.Read(entry).Offset) + records));
            return after;
        }
    }
}
