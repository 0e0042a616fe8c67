using System.Collections.Immutable;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Graph;

/// <summary>
/// The one stage that drives any <see cref="IOperator"/>: n inputs, one output per port, one for refusals. It pulls
/// when everything emitted so far is taken, counts rows, and merges watermarks of several inputs by minimum.
/// </summary>
internal sealed class OperatorStage : GraphStage<AmorphousShape>
{
    private readonly IOperator _operator;
    private readonly NodeCounters _counters;
    private readonly ImmutableArray<Inlet<StreamElement>> _inlets;
    private readonly ImmutableArray<Outlet<StreamElement>> _outlets;
    private readonly ImmutableArray<string> _ports;

    public OperatorStage(string node, int inputs, IReadOnlyList<string> ports, IOperator @operator, NodeCounters counters)
    {
        (_operator, _counters) = (@operator, counters);
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
        private int _open;

        public Logic(OperatorStage stage)
            : base(stage.Shape)
        {
            _stage = stage;
            _open = stage._inlets.Length;
            _watermarks = new long[_open];
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

            if (empty && _open == 0)
            {
                CompleteStage();
            }
            else if (empty && AllDemanded())
            {
                foreach (var inlet in _stage._inlets)
                {
                    if (!IsClosed(inlet) && !HasBeenPulled(inlet))
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
