using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Files;

/// <summary>Bytes read of a bounded input; for progress bars. Source controls that know it implement it.</summary>
public interface ISourceProgress
{
    /// <summary>Bytes read so far, as stored (of a compressed file: compressed bytes).</summary>
    long BytesRead { get; }

    /// <summary>Bytes in all; 0 until the input was opened.</summary>
    long BytesTotal { get; }
}

/// <summary>What a running source waits for. Source controls that can wait implement it.</summary>
public interface ISourceStatus
{
    /// <summary>Null when all is well, else what the source waits for, in one sentence.</summary>
    string? Status { get; }

    /// <summary>How often the status turned from well to waiting.</summary>
    long Troubles { get; }

    /// <summary>Records that retention took before they were read.</summary>
    long LostRecords => 0;
}

/// <summary>Reads batches one after another for a <see cref="BatchReaderSource"/>; never two reads at once.</summary>
internal interface IBatchReader : ISourceControl, IAsyncDisposable
{
    /// <summary>The next batch with at least one record; null at the end or after a stop.</summary>
    ValueTask<RawBatch?> ReadAsync(CancellationToken stop);
}

/// <summary>A source stage over a reader: one read in flight, started by demand, never on the stream's thread.</summary>
internal sealed class BatchReaderSource : GraphStageWithMaterializedValue<SourceShape<RawBatch>, ISourceControl>
{
    private readonly Func<IBatchReader> _create;
    private readonly Outlet<RawBatch> _out = new("batches");

    public BatchReaderSource(Func<IBatchReader> create)
    {
        _create = create;
        Shape = new SourceShape<RawBatch>(_out);
    }

    public override SourceShape<RawBatch> Shape { get; }

    public override ILogicAndMaterializedValue<ISourceControl> CreateLogicAndMaterializedValue(Attributes inheritedAttributes)
    {
        var reader = _create();
        return new LogicAndMaterializedValue<ISourceControl>(new Logic(this, reader), reader);
    }

#pragma warning disable CA1001 // The stage disposes it after PostStop, when the last read has ended.
    private sealed class Logic : OutGraphStageLogic
#pragma warning restore CA1001
    {
        private readonly BatchReaderSource _stage;
        private readonly IBatchReader _reader;
        private readonly CancellationTokenSource _stop = new();
        private Action<RawBatch?> _read = null!;
        private Action<Exception> _failed = null!;
        private Task _reading = Task.CompletedTask;

        public Logic(BatchReaderSource stage, IBatchReader reader)
            : base(stage.Shape)
        {
            (_stage, _reader) = (stage, reader);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            _read = GetAsyncCallback<RawBatch?>(batch =>
            {
                if (batch is null)
                {
                    CompleteStage();
                }
                else
                {
                    Push(_stage._out, batch);
                }
            });
            _failed = GetAsyncCallback<Exception>(FailStage);
        }

        public override void OnPull() => _reading = Task.Run(ReadAsync, CancellationToken.None);

        public override void PostStop()
        {
            _stop.Cancel();
            _ = CloseAsync();
        }

        private async Task ReadAsync()
        {
            try
            {
                _read(await _reader.ReadAsync(_stop.Token));
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                // The stage is gone; nobody waits for this read.
            }
            catch (Exception e)
            {
                _failed(e);
            }
        }

        private async Task CloseAsync()
        {
            await _reading;
            await _reader.DisposeAsync();
            _stop.Dispose();
        }
    }
}

/// <summary>Batches given out and not yet confirmed, for lag in seconds. Safe from any thread.</summary>
internal sealed class InFlight
{
    private readonly Queue<(long Last, long AppendTime)> _batches = new();
    private long _confirmed = -1;

    /// <summary>Last offset confirmed; -1 before the first.</summary>
    public long Confirmed
    {
        get
        {
            lock (_batches)
            {
                return _confirmed;
            }
        }
    }

    /// <summary>Whether all that was given out is confirmed.</summary>
    public bool IsEmpty
    {
        get
        {
            lock (_batches)
            {
                return _batches.Count == 0;
            }
        }
    }

    public void Begin(long confirmed)
    {
        lock (_batches)
        {
            _confirmed = confirmed;
        }
    }

    public void Add(RawBatch batch)
    {
        lock (_batches)
        {
            _batches.Enqueue((batch.Offset(batch.Count - 1), batch.AppendTime(0)));
        }
    }

    /// <summary>False when the offset brings nothing new.</summary>
    public bool Confirm(long offset)
    {
        lock (_batches)
        {
            if (offset <= _confirmed)
            {
                return false;
            }

            _confirmed = offset;
            while (_batches.TryPeek(out var b) && b.Last <= offset)
            {
                _batches.Dequeue();
            }

            return true;
        }
    }

    /// <summary>Takes back a batch that nobody will read, and those after it.</summary>
    public void Forget(RawBatch batch)
    {
        var first = batch.Offset(0);
        lock (_batches)
        {
            for (var left = _batches.Count; left > 0; left--)
            {
                var one = _batches.Dequeue();
                if (one.Last < first)
                {
                    _batches.Enqueue(one);
                }
            }
        }
    }

    /// <summary>Append time of the oldest batch out, Unix milliseconds; 0 when none is out.</summary>
    public long OldestAppendTime()
    {
        lock (_batches)
        {
            return _batches.TryPeek(out var b) ? b.AppendTime : 0;
        }
    }
}
