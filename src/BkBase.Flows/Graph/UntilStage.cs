using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>
/// Lets records through up to a last offset per partition, and ends when all of them have come. Records of partitions
/// without a last offset, and those behind it, are dropped: nobody may have written anything of them.
/// </summary>
/// <param name="last">Last offset by partition.</param>
internal sealed class UntilStage(IReadOnlyDictionary<int, long> last) : GraphStage<FlowShape<RawBatch, RawBatch>>
{
    private readonly Inlet<RawBatch> _in = new("until.in");
    private readonly Outlet<RawBatch> _out = new("until.out");

    public override FlowShape<RawBatch, RawBatch> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, last);

    private sealed class Logic : InAndOutGraphStageLogic
    {
        private readonly UntilStage _stage;
        private readonly Dictionary<int, long> _left;

        public Logic(UntilStage stage, IReadOnlyDictionary<int, long> last)
            : base(stage.Shape)
        {
            _stage = stage;
            _left = new Dictionary<int, long>(last);
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            if (_left.Count == 0)
            {
                CompleteStage();
            }
        }

        public override void OnPull() => Pull(_stage._in);

        public override void OnPush()
        {
            var batch = Grab(_stage._in);
            if (!_left.TryGetValue(batch.Partition, out var last) || batch.Count == 0 || batch.Offset(0) > last)
            {
                if (batch.Count > 0)
                {
                    // The partition stands behind its last offset already, or that offset is gone.
                    _left.Remove(batch.Partition);
                }

                batch.Dispose();
                if (_left.Count == 0)
                {
                    CompleteStage();
                }
                else
                {
                    Pull(_stage._in);
                }

                return;
            }

            batch.CutAfter(last);
            if (batch.Offset(batch.Count - 1) == last)
            {
                _left.Remove(batch.Partition);
            }

            Push(_stage._out, batch);
            if (_left.Count == 0)
            {
                CompleteStage();
            }
        }
    }
}
