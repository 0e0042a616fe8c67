using System.Diagnostics.CodeAnalysis;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>
/// Writes a table of a flow that holds state. Rows are gathered by day until a barrier; then they become blocks by value,
/// and these are sent when the checkpoint that holds them is published. What an earlier run recorded is read back first
/// and sent again where it is missing. Emits no confirmations: the checkpoint confirms.
/// </summary>
internal sealed class ClickHouseBarrierStage(BlockWriter writer, FlowLimits limits, BarrierEdge edge) : GraphStage<FlowShape<StreamElement, Confirmation>>
{
    private readonly Inlet<StreamElement> _in = new("clickhouse.in");
    private readonly Outlet<Confirmation> _out = new("clickhouse.out");

    public override FlowShape<StreamElement, Confirmation> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, writer, limits, edge);

    [SuppressMessage("Design", "CA1001", Justification = "PostStop disposes what the stage holds")]
    private sealed class Logic : InAndOutGraphStageLogic
    {
        // Blocks' worth of rows gathered before a checkpoint is asked for ahead of its time.
        private const int BlocksGathered = 4;

        private readonly ClickHouseBarrierStage _stage;
        private readonly BlockWriter _writer;
        private readonly FlowLimits _limits;
        private readonly BarrierEdge _edge;
        private readonly CancellationTokenSource _stop = new();
        private readonly Dictionary<long, Gathered> _open = [];
        private readonly List<Gathered> _full = [];
        private readonly Queue<(ValueBlock Block, bool IsRecovered)> _ready = new();
        private readonly Action<Action> _back;
        private Task _submitted = Task.CompletedTask;
        private long _rows;
        private int _handed;
        private int _flying;
        private bool _isOpen;
        private bool _isEnded;

        public Logic(ClickHouseBarrierStage stage, BlockWriter writer, FlowLimits limits, BarrierEdge edge)
            : base(stage.Shape)
        {
            (_stage, _writer, _limits, _edge) = (stage, writer, limits, edge);
            _back = GetAsyncCallback<Action>(action => action());
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart() => Run(
            async cancel =>
            {
                await _edge.OpenAsync();
                await _writer.EnsureTableAsync(cancel);
            },
            () =>
            {
                _isOpen = true;
                foreach (var block in _edge.Pending())
                {
                    _ready.Enqueue((block, true));
                }
            });

        public override void PostStop()
        {
            _stop.Cancel();
            _stop.Dispose();
        }

        public override void OnPush()
        {
            switch (Grab(_stage._in))
            {
                case RecordBatch batch:
                    DayCut.Split(batch, Gather);
                    break;
                case StreamBarrier barrier:
                    HandOver(blocks => _edge.AnswerAsync(barrier.Number, blocks));
                    break;
            }

            Go();
        }

        public override void OnPull() => Go();

        public override void OnUpstreamFinish() => Go();

        private void Gather(long day, BlockPart part)
        {
            _rows += part.Count;
            while (part.Count > 0)
            {
                if (!_open.TryGetValue(day, out var gathered))
                {
                    gathered = _open[day] = new Gathered(day);
                }

                var count = Math.Min(part.Count, _limits.BlockRows - gathered.Rows);
                gathered.Parts.Add(part.Slice(0, count));
                gathered.Rows += count;
                part = part.Slice(count, part.Count - count);
                if (gathered.Rows == _limits.BlockRows)
                {
                    _open.Remove(day);
                    _full.Add(gathered);
                }
            }
        }

        private void HandOver(Func<IReadOnlyList<ValueBlock>, Task> answer)
        {
            Gathered[] gathered = [.. _full, .. _open.Values];
            _full.Clear();
            _open.Clear();
            _rows = 0;
            _handed++;
            ValueBlock[] blocks = [];

            // In order: were the end to overtake the last barrier, it would answer in its place.
            var before = _submitted;
            var submitted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _submitted = submitted.Task;
            Run(
                async _ =>
                {
                    await before;
                    blocks = [.. gathered.Select(g => _writer.Encode(_edge.Name, _edge.NextBlock(), g.Day, g.Parts))];
                    var published = answer(blocks);
                    submitted.SetResult();
                    await published;
                },
                () =>
                {
                    _handed--;
                    foreach (var block in blocks)
                    {
                        _ready.Enqueue((block, false));
                    }
                });
        }

        private void Go()
        {
            while (_ready.Count > 0 && _flying < _limits.Pending)
            {
                var (block, isRecovered) = _ready.Dequeue();
                _flying++;
                Run(
                    cancel => _writer.WriteAsync(block, isRecovered, () => _edge.RaiseAttemptAsync(block.Number), cancel),
                    () =>
                    {
                        _flying--;
                        _edge.Sent(block.Number);
                    });
            }

            if (!_isOpen)
            {
                return;
            }

            if (IsClosed(_stage._in))
            {
                if (!_isEnded)
                {
                    _isEnded = true;
                    HandOver(_edge.EndAsync);
                }
                else if (_handed + _ready.Count + _flying == 0)
                {
                    CompleteStage();
                }
            }
            else if (!HasBeenPulled(_stage._in) && _ready.Count + _flying < _limits.Pending && HasRoom())
            {
                Pull(_stage._in);
            }
        }

        // Before its barrier has come the input must go on, or the barrier never comes.
        private bool HasRoom()
        {
            if (_rows < (long)_limits.BlockRows * BlocksGathered)
            {
                return true;
            }

            if (_handed > 0)
            {
                return false;
            }

            _edge.Request();
            return true;
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

        private sealed class Gathered(long day)
        {
            public long Day { get; } = day;

            public List<BlockPart> Parts { get; } = [];

            public int Rows { get; set; }
        }
    }
}
