using System.Globalization;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;
using BkBase.Flows.Telemetry;

namespace BkBase.Flows.Graph;

/// <summary>
/// Stands before a source's ETL and stops reading when too large a share of what it reads is refused: a flow that no
/// longer fits its data must not drain it into the dead letters. What was not read stays where it is; a flow that was
/// put right goes on there at its next start. Until then the source's counters say why it stands.
/// </summary>
/// <param name="limits">The share, <see cref="FlowLimits.Rejected"/>.</param>
/// <param name="counters">Counters of the ETL behind it.</param>
/// <param name="atStop">Takes what is to be called when the flow is stopped: a source that nobody asks never ends.</param>
internal sealed class RejectionBrake(FlowLimits limits, NodeCounters counters, Action<Action> atStop) : GraphStage<FlowShape<RawBatch, RawBatch>>
{
    /// <summary>Rows and refusals that are looked at together, at least.</summary>
    public const long Window = 1000;

    private readonly Inlet<RawBatch> _in = new("brake.in");
    private readonly Outlet<RawBatch> _out = new("brake.out");

    public override FlowShape<RawBatch, RawBatch> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, limits, counters, atStop);

    private sealed class Logic : InAndOutGraphStageLogic
    {
        private readonly RejectionBrake _stage;
        private readonly NodeCounters _counters;
        private readonly double _limit;
        private readonly Action<Action> _atStop;
        private long _total;
        private long _rejected;
        private bool _isPaused;
        private bool _isStopped;

        public Logic(RejectionBrake stage, FlowLimits limits, NodeCounters counters, Action<Action> atStop)
            : base(stage.Shape)
        {
            (_stage, _counters, _limit, _atStop) = (stage, counters, limits.Rejected, atStop);
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            var stop = GetAsyncCallback(() =>
            {
                _isStopped = true;
                if (_isPaused)
                {
                    CompleteStage();
                }
            });
            _atStop(stop);
        }

        public override void OnPush() => Push(_stage._out, Grab(_stage._in));

        // The batch before has been parsed when the next one is asked for.
        public override void OnPull()
        {
            var (total, rejected) = (_counters.In + _counters.Made, _counters.Rejected);
            if (total - _total >= Window && !_isStopped)
            {
                var share = (double)(rejected - _rejected) / (total - _total);
                if (share > _limit)
                {
                    _isPaused = true;
                    _counters.Tell(string.Create(
                        CultureInfo.InvariantCulture,
                        $"paused: {rejected - _rejected} of the last {total - _total} were refused, more than limits.rejected ({_limit:0.##}) allows; nothing more is read. See 'bkbase dead-letters', put the flow right, and start it again: it goes on here"));
                    return;
                }

                (_total, _rejected) = (total, rejected);
            }

            Pull(_stage._in);
        }
    }
}
