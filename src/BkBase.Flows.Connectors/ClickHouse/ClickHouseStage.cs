using System.Diagnostics.CodeAnalysis;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Cuts batches into blocks by partition and day, sends them, and confirms offsets in order.</summary>
internal sealed class ClickHouseStage(BlockWriter writer, FlowLimits limits, TimeProvider time, Func<ulong> firstBlock) : GraphStage<FlowShape<StreamElement, Confirmation>>
{
    private readonly Inlet<StreamElement> _in = new("clickhouse.in");
    private readonly Outlet<Confirmation> _out = new("clickhouse.out");

    public override FlowShape<StreamElement, Confirmation> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, writer, limits, time, firstBlock());

    [SuppressMessage("Design", "CA1001", Justification = "PostStop disposes what the stage holds")]
    private sealed class Logic : InAndOutGraphStageLogic
    {
        private readonly ClickHouseStage _stage;
        private readonly BlockWriter _writer;
        private readonly FlowLimits _limits;
        private readonly TimeProvider _time;
        private readonly CancellationTokenSource _stop = new();
        private readonly Dictionary<(string, int), PartitionProgress> _partitions = [];
        private readonly List<Block> _open = [];
        private readonly Queue<Block> _ready = new();
        private readonly Queue<PartitionProgress> _dirty = new();
        private readonly Action<(Block? Block, Exception? Error)> _done;
        private readonly Action _tick;
        private ITimer? _timer;
        private ulong _next;
        private int _flying;
        private bool _hasTable;
        private bool _isArmed;

        public Logic(ClickHouseStage stage, BlockWriter writer, FlowLimits limits, TimeProvider time, ulong firstBlock)
            : base(stage.Shape)
        {
            (_stage, _writer, _limits, _time, _next) = (stage, writer, limits, time, firstBlock);
            _done = GetAsyncCallback<(Block?, Exception?)>(OnDone);
            _tick = GetAsyncCallback(OnTick);
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            _timer = _time.CreateTimer(static tick => ((Action)tick!)(), _tick, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            Run(null);
            Pull(_stage._in);
        }

        public override void PostStop()
        {
            _timer?.Dispose();
            _stop.Cancel();
            _stop.Dispose();
        }

        public override void OnPush()
        {
            if (Grab(_stage._in) is RecordBatch batch)
            {
                Take(batch);
            }

            Go();
        }

        public override void OnPull() => Go();

        public override void OnUpstreamFinish()
        {
            CloseAll();
            Go();
        }

        private void Take(RecordBatch batch)
        {
            var lineage = batch.Lineage;
            if (!_partitions.TryGetValue((lineage.Source, lineage.Partition), out var partition))
            {
                partition = _partitions[(lineage.Source, lineage.Partition)] = new PartitionProgress(lineage.Source, lineage.Partition);
            }

            var mark = partition.Begin(lineage.LastOffset);
            DayCut.Split(batch, (day, part) => Fill(partition, mark, day, part));
            Tell(partition);
        }

        private void Fill(PartitionProgress partition, Mark mark, long day, BlockPart part)
        {
            while (part.Count > 0)
            {
                if (!partition.Open.TryGetValue(day, out var block))
                {
                    block = partition.Open[day] = new Block(partition, day, _time.GetTimestamp());
                    _open.Add(block);
                    Arm();
                }

                var count = Math.Min(part.Count, _limits.BlockRows - block.Rows);
                block.Add(part with { Count = count }, mark);
                part = part with { Start = part.Start + count, Count = part.Count - count };
                if (block.Rows >= _limits.BlockRows)
                {
                    Close(block);
                    _open.Remove(block);
                }
            }
        }

        private void Close(Block block)
        {
            block.Partition.Open.Remove(block.Day);
            block.Number = _next++;
            _ready.Enqueue(block);
        }

        private void CloseAll()
        {
            _open.ForEach(Close);
            _open.Clear();
        }

        private void Arm()
        {
            if (!_isArmed && _open.Count > 0)
            {
                _isArmed = true;
                var left = Wait() - _time.GetElapsedTime(_open[0].Opened);
                _timer!.Change(left < TimeSpan.FromMilliseconds(10) ? TimeSpan.FromMilliseconds(10) : left, Timeout.InfiniteTimeSpan);
            }
        }

        // Many partitions must not flood the store with parts: ten blocks per second and table.
        private TimeSpan Wait() => TimeSpan.FromSeconds(Math.Max(_limits.Flush.TotalSeconds, _open.Count / 10.0));

        private void OnTick()
        {
            _isArmed = false;
            var wait = Wait();
            var due = 0;
            while (due < _open.Count && _time.GetElapsedTime(_open[due].Opened) >= wait)
            {
                Close(_open[due++]);
            }

            _open.RemoveRange(0, due);
            Arm();
            Go();
        }

        private void OnDone((Block? Block, Exception? Error) result)
        {
            if (result.Error is { } error)
            {
                FailStage(error);
                return;
            }

            if (result.Block is null)
            {
                _hasTable = true;
                Go();
                return;
            }

            _flying--;
            result.Block.Marks.ForEach(m => m.Pending--);
            Tell(result.Block.Partition);
            Go();
        }

        private void Tell(PartitionProgress partition)
        {
            if (partition.Advance() && !partition.IsDirty)
            {
                partition.IsDirty = true;
                _dirty.Enqueue(partition);
            }
        }

        private void Go()
        {
            while (_hasTable && _ready.Count > 0 && _flying < _limits.Pending)
            {
                _flying++;
                Run(_ready.Dequeue());
            }

            if (_dirty.Count > 0 && IsAvailable(_stage._out))
            {
                var partition = _dirty.Dequeue();
                partition.IsDirty = false;
                Push(_stage._out, new Confirmation(partition.Source, partition.Partition, partition.Confirmed));
            }

            if (!IsClosed(_stage._in))
            {
                if (_ready.Count + _flying < _limits.Pending && !HasBeenPulled(_stage._in))
                {
                    Pull(_stage._in);
                }
            }
            else if (_open.Count + _ready.Count + _flying + _dirty.Count == 0)
            {
                CompleteStage();
            }
        }

        private void Run(Block? block)
        {
            var cancel = _stop.Token;
            _ = Task.Run(
                async () =>
                {
                    try
                    {
                        await (block is null ? _writer.EnsureTableAsync(cancel) : _writer.WriteAsync(block, cancel));
                        _done((block, null));
                    }
                    catch (Exception e)
                    {
                        _done((block, e));
                    }
                },
                CancellationToken.None);
        }
    }
}
