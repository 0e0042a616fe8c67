using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Graph;

/// <summary>
/// Parses raw batches: one record batch and one batch of refusals (often empty) per raw batch, under its lineage.
/// The end of its input is a final watermark when the source is bounded and was not stopped. In a flow that holds state
/// it emits barriers between two batches, and says how far each partition was read before them.
/// </summary>
internal sealed class EtlStage : GraphStage<FanOutShape<RawBatch, StreamElement, StreamElement>>
{
    private readonly IEtl _etl;
    private readonly FlowLimits _limits;
    private readonly bool _isBounded;
    private readonly NodeCounters _counters;
    private readonly string _source;
    private readonly Func<bool> _isStopped;
    private readonly BarrierLedger? _barriers;

    public EtlStage(string source, IEtl etl, FlowLimits limits, bool isBounded, NodeCounters counters, Func<bool> isStopped, BarrierLedger? barriers = null)
    {
        (_source, _etl, _limits, _isBounded, _counters, _isStopped, _barriers) = (source, etl, limits, isBounded, counters, isStopped, barriers);
        Shape = new(new Inlet<RawBatch>($"{source}.raw"), new Outlet<StreamElement>($"{source}.rows"), new Outlet<StreamElement>($"{source}.rejections"));
    }

    public override FanOutShape<RawBatch, StreamElement, StreamElement> Shape { get; }

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this);

    private sealed class Logic : GraphStageLogic
    {
        private readonly EtlStage _stage;
        private readonly EtlOutput _output;
        private readonly RowGuard _guard;
        private readonly Dictionary<int, long> _cut = [];
        private RawBatch? _held;
        private long _barrier;
        private bool _isOpen = true;
        private bool _isEnded;

        public Logic(EtlStage stage)
            : base(stage.Shape)
        {
            _stage = stage;
            _output = new EtlOutput(stage._etl.Schema, stage._limits.Dictionary);
            _guard = new RowGuard(stage._limits.Future);
            SetHandler(stage.Shape.In, onPush: OnPush, onUpstreamFinish: OnFinish);
            SetHandler(stage.Shape.Out0, onPull: TryPull);
            SetHandler(stage.Shape.Out1, onPull: TryPull);
        }

        public override void PreStart()
        {
            if (_stage._barriers is not { } barriers)
            {
                return;
            }

            _isOpen = false;
            var opened = GetAsyncCallback<Task>(task =>
            {
                if (task.Exception?.GetBaseException() is { } e)
                {
                    FailStage(e);
                    return;
                }

                _isOpen = true;
                TryPull();
            });
            var trigger = GetAsyncCallback<long>(number =>
            {
                _barrier = number;
                TryPull();
            });
            barriers.Attach(_stage._source, trigger);
            _ = barriers.OpenAsync().ContinueWith(opened, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        private void TryPull()
        {
            if (!_isOpen || !IsAvailable(_stage.Shape.Out0) || !IsAvailable(_stage.Shape.Out1))
            {
                return;
            }

            if (_barrier != 0)
            {
                var barrier = new StreamBarrier(_barrier);
                _barrier = 0;
                _stage._barriers!.AnswerSource(_stage._source, barrier.Number, _cut);
                Push(_stage.Shape.Out0, barrier);
                Push(_stage.Shape.Out1, barrier);
            }
            else if (_held is { } held)
            {
                _held = null;
                Give(held);
            }
            else if (IsClosed(_stage.Shape.In))
            {
                End();
            }
            else if (!HasBeenPulled(_stage.Shape.In))
            {
                Pull(_stage.Shape.In);
            }
        }

        private void OnPush()
        {
            var raw = Grab(_stage.Shape.In);
            if (IsAvailable(_stage.Shape.Out0) && IsAvailable(_stage.Shape.Out1))
            {
                Give(raw);
            }
            else
            {
                // A barrier went out since the batch was asked for.
                _held = raw;
            }
        }

        private void Give(RawBatch raw)
        {
            if (_stage._barriers is { } barriers && raw.Count > 0)
            {
                _cut[raw.Partition] = raw.Offset(raw.Count - 1);
                barriers.Moved();
            }

            var (batch, rejections) = Parse(raw);
            Push(_stage.Shape.Out0, batch);
            Push(_stage.Shape.Out1, rejections);
        }

        private void OnFinish()
        {
            if (_isOpen && _held is null)
            {
                End();
            }
        }

        private void End()
        {
            if (_isEnded)
            {
                return;
            }

            _isEnded = true;
            _stage._barriers?.EndSource(_stage._source, _cut);
            if (_stage._isBounded && !_stage._isStopped())
            {
                Emit(_stage.Shape.Out0, Watermark.Final, CompleteStage);
            }
            else
            {
                CompleteStage();
            }
        }

        private (RecordBatch Batch, RejectionBatch Rejections) Parse(RawBatch raw)
        {
            using (raw)
            {
                long withRows = 0;
                long refused = 0;
                long made = 0;
                var lineage = raw.Lineage;
                for (var i = 0; i < raw.Count; i++)
                {
                    var rowsBefore = _output.Rows.Count;
                    var refusedBefore = _output.Rejections.Count;
                    _output.BeginRecord((int)(raw.Offset(i) - lineage.FirstOffset), raw.Offset(i), raw.AppendTime(i));
                    var payload = raw[i];
                    if (payload.Length > _stage._limits.Record)
                    {
                        _output.Reject(RejectReason.TooLarge, "", $"a record of {payload.Length} bytes; limits.record is {_stage._limits.Record}", payload);
                    }
                    else
                    {
                        _stage._etl.Parse(payload, _output);
                        _guard.Check(_output, rowsBefore, payload);
                    }

                    // The law in units of records at this node: a record is out, rejected, or filtered; rows and refusals beyond one are made.
                    var rows = _output.Rows.Count - rowsBefore;
                    var refusals = _output.Rejections.Count - refusedBefore;
                    withRows += rows;
                    refused += refusals;
                    made += Math.Max(0, rows + refusals - 1);
                }

                var counters = _stage._counters;
                counters.AddIn(raw.Count);
                counters.AddMade(made);
                counters.AddRejected(refused);
                counters.AddOut(withRows);
                counters.AddFiltered(raw.Count + made - withRows - refused);
                return (_output.Rows.Build(lineage), new RejectionBatch(lineage, _output.TakeRejections()));
            }
        }
    }
}
