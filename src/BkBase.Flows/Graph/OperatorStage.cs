using System.Buffers;
using System.Collections.Immutable;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Delivery;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Graph;

/// <summary>
/// The one stage that drives any <see cref="IOperator"/>: n inputs, one output per port, one for refusals. It pulls
/// when everything emitted so far is taken, counts rows, and merges watermarks of several inputs by minimum. A barrier
/// goes on when it has come on all inputs; one that has it already waits for the others, and the operator's state is
/// taken in between.
/// </summary>
internal sealed class OperatorStage : GraphStage<AmorphousShape>
{
    private readonly IOperator _operator;
    private readonly NodeCounters _counters;
    private readonly ImmutableArray<Inlet<StreamElement>> _inlets;
    private readonly ImmutableArray<Outlet<StreamElement>> _outlets;
    private readonly ImmutableArray<string> _ports;

    private readonly string _node;
    private readonly BarrierLedger? _barriers;

    /// <param name="barriers">Keeps the operator's state; null for one without.</param>
    public OperatorStage(string node, int inputs, IReadOnlyList<string> ports, IOperator @operator, NodeCounters counters, BarrierLedger? barriers = null)
    {
        (_node, _operator, _counters, _barriers) = (node, @operator, counters, barriers);
        _ports = ["", .. ports];
        _inlets = [.. Enumerable.Range(0, inputs).Select(i => new Inlet<StreamElement>($"{node}.in{i}"))];
        _outlets = [.. _ports.Select(p => new Outlet<StreamElement>($"{node}.{p}")), new Outlet<StreamElement>($"{node}.rejections")];
        Shape = new AmorphousShape([.. _inlets.Cast<Inlet>()], [.. _outlets.Cast<Outlet>()]);
    }

    public override AmorphousShape Shape { get; }

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this);

    private sealed class Logic : GraphStageLogic
    {
        private readonly OperatorStage _stage;
        private readonly Queue<StreamElement>[] _queues;
        private readonly long[] _watermarks;
        private readonly StageOutput _output;
        private long _merged = long.MinValue;
        private readonly bool[] _aligned;
        private StreamBarrier? _barrier;
        private bool _isReady = true;
        private int _open;

        public Logic(OperatorStage stage)
            : base(stage.Shape)
        {
            _stage = stage;
            _open = stage._inlets.Length;
            _watermarks = new long[_open];
            _aligned = new bool[_open];
            Array.Fill(_watermarks, long.MinValue);
            _queues = [.. stage._outlets.Select(_ => new Queue<StreamElement>())];
            _output = new StageOutput(this);
            for (var i = 0; i < stage._inlets.Length; i++)
            {
                var input = i;
                SetHandler(stage._inlets[i], onPush: () => OnPush(input), onUpstreamFinish: OnFinish);
            }

            for (var i = 0; i < stage._outlets.Length; i++)
            {
                var port = i;
                SetHandler(stage._outlets[i], onPull: () => OnPull(port));
            }
        }

        public override void PreStart()
        {
            if (_stage._barriers is not { } barriers)
            {
                return;
            }

            // Nothing comes in before the state of the run before is there.
            _isReady = false;
            var opened = GetAsyncCallback<Task>(task =>
            {
                if (task.Exception?.GetBaseException() is { } e)
                {
                    FailStage(e);
                    return;
                }

                Restore(barriers.StateOf(_stage._node));
                _isReady = true;
                Flush();
            });
            _ = barriers.OpenAsync().ContinueWith(opened, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        private void Restore(NodeState? state)
        {
            if (state is null)
            {
                return;
            }

            var snapshot = (ISnapshot)_stage._operator;
            if (state.Version > snapshot.SnapshotVersion)
            {
                throw new CheckpointException($"the state of node '{_stage._node}' has version {state.Version}; this program reads up to {snapshot.SnapshotVersion}: run the program that wrote it, or a newer one");
            }

            snapshot.Restore(state.Bytes.Span, state.Version);
        }

        private byte[] Snapshot()
        {
            var state = new ArrayBufferWriter<byte>();
            ((ISnapshot)_stage._operator).Snapshot(state);
            return state.WrittenSpan.ToArray();
        }

        // An input that has ended stands behind every barrier.
        private void Align()
        {
            if (_barrier is not { } barrier)
            {
                return;
            }

            for (var i = 0; i < _aligned.Length; i++)
            {
                if (!_aligned[i] && !IsClosed(_stage._inlets[i]))
                {
                    return;
                }
            }

            _barrier = null;
            Array.Clear(_aligned);
            _stage._barriers?.AnswerNode(_stage._node, barrier.Number, ((ISnapshot)_stage._operator).SnapshotVersion, Snapshot());
            foreach (var queue in _queues)
            {
                queue.Enqueue(barrier);
            }
        }

        private void OnPush(int input)
        {
            switch (Grab(_stage._inlets[input]))
            {
                case RecordBatch batch:
                    _stage._counters.AddIn(batch.Count);
                    _stage._operator.OnBatch(batch, input, _output);
                    _queues[^1].Enqueue(new RejectionBatch(batch.Lineage, _output.TakeRejections()));
                    break;
                case Watermark watermark:
                    OnWatermark(input, watermark);
                    break;
                case StreamBarrier barrier:
                    _barrier = barrier;
                    _aligned[input] = true;
                    Align();
                    break;
            }

            Flush();
        }

        private void OnWatermark(int input, Watermark watermark)
        {
            _watermarks[input] = Math.Max(_watermarks[input], watermark.Time);
            var merged = _watermarks.Min();
            if (merged > _merged)
            {
                _merged = merged;
                _stage._operator.OnWatermark(merged == long.MaxValue ? Watermark.Final : new Watermark(merged), _output);
            }
        }

        private void OnPull(int port)
        {
            if (_queues[port].TryDequeue(out var element))
            {
                Push(_stage._outlets[port], element);
            }

            Flush();
        }

        private void Flush()
        {
            var empty = true;
            for (var i = 0; i < _queues.Length; i++)
            {
                if (_queues[i].Count > 0 && IsAvailable(_stage._outlets[i]))
                {
                    Push(_stage._outlets[i], _queues[i].Dequeue());
                }

                empty &= _queues[i].Count == 0;
            }

            if (empty && _open == 0 && _isReady)
            {
                _stage._barriers?.EndNode(_stage._node, ((ISnapshot)_stage._operator).SnapshotVersion, Snapshot());
                CompleteStage();
            }
            else if (empty && _isReady && AllDemanded())
            {
                for (var i = 0; i < _aligned.Length; i++)
                {
                    var inlet = _stage._inlets[i];
                    if (!_aligned[i] && !IsClosed(inlet) && !HasBeenPulled(inlet))
                    {
                        Pull(inlet);
                    }
                }
            }
        }

        private bool AllDemanded()
        {
            foreach (var outlet in _stage._outlets)
            {
                if (!IsAvailable(outlet))
                {
                    return false;
                }
            }

            return true;
        }

        private void OnFinish()
        {
            _open--;
            Align();
            Flush();
        }

        private sealed class StageOutput(Logic logic) : Output
        {
            private readonly List<Rejection> _rejections = [];

            public override void Emit(RecordBatch batch, string port = "")
            {
                logic._stage._counters.AddOut(batch.Count);
                logic._queues[logic._stage._ports.IndexOf(port)].Enqueue(batch);
            }

            public override void Emit(Watermark watermark)
            {
                for (var i = 0; i < logic._queues.Length - 1; i++)
                {
                    logic._queues[i].Enqueue(watermark);
                }
            }

            public override void Filtered(long rows) => logic._stage._counters.AddFiltered(rows);

            public override void Made(long rows) => logic._stage._counters.AddMade(rows);

            public override void Reject(Rejection rejection)
            {
                logic._stage._counters.AddRejected(1);
                _rejections.Add(rejection);
            }

            public override void Trouble(string? message) => logic._stage._counters.Tell(message);

            public Rejection[] TakeRejections()
            {
                Rejection[] taken = [.. _rejections];
                _rejections.Clear();
                return taken;
            }
        }
    }
}
