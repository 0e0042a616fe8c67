using System.Diagnostics.CodeAnalysis;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>
/// Cuts batches into blocks by partition and day, records them, sends them, and confirms offsets in order. A block's
/// rows are fixed before it is sent: after a crash the same rows become the same block again.
/// </summary>
internal sealed class ClickHouseStage(BlockWriter writer, FlowLimits limits, TimeProvider time, EdgeLedger ledger) : GraphStage<FlowShape<StreamElement, Confirmation>>
{
    private readonly Inlet<StreamElement> _in = new("clickhouse.in");
    private readonly Outlet<Confirmation> _out = new("clickhouse.out");

    public override FlowShape<StreamElement, Confirmation> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, writer, limits, time, ledger);

    [SuppressMessage("Design", "CA1001", Justification = "PostStop disposes what the stage holds")]
    private sealed class Logic : InAndOutGraphStageLogic
    {
        private readonly ClickHouseStage _stage;
        private readonly BlockWriter _writer;
        private readonly FlowLimits _limits;
        private readonly TimeProvider _time;
        private readonly EdgeLedger _ledger;
        private readonly CancellationTokenSource _stop = new();
        private readonly Dictionary<(string, int), PartitionBlocks> _partitions = [];
        private readonly List<Block> _open = [];
        private readonly Dictionary<ulong, Block> _rebuilding = [];
        private readonly List<ulong> _whole = [];
        private readonly List<Block> _closed = [];
        private readonly Queue<Block> _ready = new();
        private readonly Queue<PartitionBlocks> _dirty = new();
        private readonly Action<Action> _back;
        private readonly Action _tick;
        private ITimer? _timer;
        private RecordBatch? _held;
        private int _recording;
        private int _flying;
        private bool _hasTable;
        private bool _isArmed;

        public Logic(ClickHouseStage stage, BlockWriter writer, FlowLimits limits, TimeProvider time, EdgeLedger ledger)
            : base(stage.Shape)
        {
            (_stage, _writer, _limits, _time, _ledger) = (stage, writer, limits, time, ledger);
            _back = GetAsyncCallback<Action>(action => action());
            _tick = GetAsyncCallback(OnTick);
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            _timer = _time.CreateTimer(static tick => ((Action)tick!)(), _tick, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            Run(_writer.EnsureTableAsync, () => _hasTable = true);
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
            if (_held is null)
            {
                CloseAll();
            }

            Go();
        }

        private void Take(RecordBatch batch)
        {
            var lineage = batch.Lineage;
            if (!_partitions.TryGetValue((lineage.Source, lineage.Partition), out var partition))
            {
                partition = new PartitionBlocks(lineage.Source, lineage.Partition, _writer.TableName, _ledger.Of(lineage.Source, lineage.Partition));
                _partitions[(lineage.Source, lineage.Partition)] = partition;
                if (partition.Recovery is { Unsettled.Count: > 0 } recovery)
                {
                    _held = batch;
                    IReadOnlyDictionary<ulong, long> found = new Dictionary<ulong, long>();
                    Run(
                        async cancel => found = await _writer.CountAsync(recovery.Unsettled, cancel),
                        () =>
                        {
                            recovery.Settle(found, _writer.Table);
                            var held = _held;
                            _held = null;
                            Take(held, partition);
                            if (IsClosed(_stage._in))
                            {
                                CloseAll();
                            }
                        });
                    return;
                }
            }

            Take(batch, partition);
        }

        private void Take(RecordBatch batch, PartitionBlocks partition)
        {
            var mark = partition.Begin(batch.Lineage.LastOffset);
            DayCut.Split(batch, (day, part) => Fill(partition, mark, day, part));
            if (partition.Recovery is { } recovery)
            {
                if (recovery.Pass(batch.Lineage.LastOffset, partition.Confirmed, _whole))
                {
                    partition.EndRecovery();
                }

                foreach (var number in _whole)
                {
                    // It stands in the record already: it may be sent.
                    _rebuilding.Remove(number, out var block);
                    partition.Record(block!);
                    _ready.Enqueue(block!);
                }

                _whole.Clear();
            }

            Tell(partition);
        }

        private void Fill(PartitionBlocks partition, Mark mark, long day, BlockPart part)
        {
            if (partition.Recovery is { } recovery)
            {
                var known = recovery.Take(day, part, (block, rows) => Rebuild(partition, mark, block, rows));
                part = part.Slice(known, part.Count - known);
            }

            while (part.Count > 0)
            {
                if (!partition.Open.TryGetValue(day, out var block))
                {
                    block = partition.Open[day] = new Block(partition, day, _time.GetTimestamp());
                    _open.Add(block);
                    Arm();
                }

                var count = Math.Min(part.Count, _limits.BlockRows - block.Rows);
                while (count < part.Count && part.OffsetOf(count) == part.OffsetOf(count - 1))
                {
                    // Rows of one record stay together: a block is a range of offsets.
                    count++;
                }

                block.Add(part.Slice(0, count), mark);
                part = part.Slice(count, part.Count - count);
                if (block.Rows >= _limits.BlockRows)
                {
                    Close(block);
                    _open.Remove(block);
                }
            }
        }

        private void Rebuild(PartitionBlocks partition, Mark mark, RecordedBlock recorded, BlockPart rows)
        {
            if (!_rebuilding.TryGetValue(recorded.Number, out var block))
            {
                block = new Block(partition, recorded.Day, _time.GetTimestamp()) { Number = recorded.Number, Attempt = recorded.Attempt, IsRebuilt = true };
                _rebuilding[recorded.Number] = block;
            }

            block.Add(rows, mark);
        }

        private void Close(Block block)
        {
            block.Partition.Open.Remove(block.Day);
            block.Number = _ledger.NextBlock();
            _closed.Add(block);
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

        private void Tell(PartitionBlocks partition)
        {
            if (partition.Advance() && !partition.IsDirty)
            {
                partition.IsDirty = true;
                _dirty.Enqueue(partition);
            }
        }

        private void Go()
        {
            if (_hasTable && _closed.Count > 0 && _recording == 0)
            {
                Record();
            }

            while (_hasTable && _ready.Count > 0 && _flying < _limits.Pending)
            {
                Send(_ready.Dequeue());
            }

            if (_dirty.Count > 0 && IsAvailable(_stage._out))
            {
                var partition = _dirty.Dequeue();
                partition.IsDirty = false;
                Push(_stage._out, new Confirmation(partition.Source, partition.Partition, partition.Confirmed));
            }

            if (!IsClosed(_stage._in))
            {
                if (_held is null && _closed.Count + _recording + _ready.Count + _flying < _limits.Pending && !HasBeenPulled(_stage._in))
                {
                    Pull(_stage._in);
                }
            }
            else if (_held is null && _open.Count + _closed.Count + _recording + _ready.Count + _flying + _dirty.Count == 0)
            {
                CompleteStage();
            }
        }

        // A block is recorded before it is sent; all that closed meanwhile go into the next record together.
        private void Record()
        {
            _recording = _closed.Count;
            Block[] blocks = [.. _closed];
            _closed.Clear();
            foreach (var block in blocks)
            {
                block.Partition.Record(block);
            }

            var recorded = Task.WhenAll(blocks.Select(b => b.Partition).Distinct().Select(p => _ledger.RecordAsync(p.Source, p.Partition, p.Progress())));
            Run(_ => recorded, () =>
            {
                _recording = 0;
                foreach (var block in blocks)
                {
                    _ready.Enqueue(block);
                }
            });
        }

        private void Send(Block block)
        {
            _flying++;
            Run(
                cancel => _writer.WriteAsync(block, Resend, cancel),
                () =>
                {
                    _flying--;
                    block.Partition.Confirm(block);
                    block.Marks.ForEach(m => m.Pending--);
                    Tell(block.Partition);
                    _ledger.Note(block.Partition.Source, block.Partition.Partition, block.Partition.Progress());
                });
        }

        // The new attempt stands in the record before it is sent. Called from the writer's thread.
        private Task Resend(Block block)
        {
            var recorded = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _back(() =>
            {
                block.Attempt++;
                var partition = block.Partition;
                _ = _ledger.RecordAsync(partition.Source, partition.Partition, partition.Progress())
                    .ContinueWith(t => recorded.TrySetFromTask(t), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            });
            return recorded.Task.WaitAsync(_stop.Token);
        }

        private void Run(Func<CancellationToken, Task> work, Action then)
        {
            var cancel = _stop.Token;
            _ = Task.Run(
                async () =>
                {
                    try
                    {
                        await work(cancel);
                        _back(() =>
                        {
                            then();
                            Go();
                        });
                    }
                    catch (Exception e)
                    {
                        _back(() => FailStage(e));
                    }
                },
                CancellationToken.None);
        }
    }
}
