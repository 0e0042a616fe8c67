using System.Diagnostics.CodeAnalysis;
using Akka;
using Akka.Streams;
using Akka.Streams.Dsl;
using Akka.Streams.Stage;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Files;

/// <summary>Settings of a sink that writes a file of one JSON object per line.</summary>
/// <param name="Path">The file.</param>
/// <param name="Rotate">Bytes after which the file is put aside and a new one begun; null for never.</param>
public sealed record FileSinkSettings(FileConnector Connector, string Path, long? Rotate) : ISinkSettings
{
    /// <summary>Smallest size to rotate at.</summary>
    public const long RotateMin = 1 << 10;

    public string Describe => $"file {Path}";

    public void Resolve(Schema input, DiagnosticBag diagnostics)
    {
        // Any rows can be written.
    }

    public ISink Create() => new FileSink(Connector, Path, Rotate);

    internal static CatalogEntry<ISinkSettings> Entry(FileConnector connector) => new(
        "file",
        "Appends rows to a file of one JSON object per line; after a crash some rows may stand twice, none is missing.",
        """
        type: file
        path: out/errors.ndjson
        rotate: 256MiB
        """,
        [
            new Key("path", KeyKind.Text, "The file; relative to the data folder; its folder is made when missing", Required: true),
            new Key("rotate", KeyKind.Size, "Size at which the file is put aside as NAME.000001.EXT and a new one begun; never by default"),
        ],
        section =>
        {
            var path = section.Text("path", "");
            if (section.Has("path") && (path.Length == 0 || path.EndsWith('/') || path.Contains('\0', StringComparison.Ordinal)))
            {
                section.Error("path", DiagnosticCodes.BadName, $"'{path}' is not the path of a file");
            }

            var rotate = section.Size("rotate");
            if (rotate < RotateMin)
            {
                section.Error("rotate", DiagnosticCodes.OutOfRange, $"'rotate' is at least {RotateMin >> 10}KiB");
            }

            return new FileSinkSettings(connector, path, rotate);
        });
}

/// <summary>Appends rows to a file; confirms what is on disk.</summary>
internal sealed class FileSink(FileConnector connector, string path, long? rotate) : ISink
{
    public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context) =>
        Flow.FromGraph(new FileSinkStage(() => new NdjsonFile(connector, connector.PathOf(path), rotate, context.Schema), connector, context));
}

/// <summary>Writes batches in order, as many as wait with one fsync, and confirms them.</summary>
internal sealed class FileSinkStage(Func<NdjsonFile> open, FileConnector connector, SinkContext context) : GraphStage<FlowShape<StreamElement, Confirmation>>
{
    private const int WaitingMax = 16;
    private readonly Inlet<StreamElement> _in = new("file.in");
    private readonly Outlet<Confirmation> _out = new("file.out");

    public override FlowShape<StreamElement, Confirmation> Shape => new(_in, _out);

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this, open(), connector, context.Time);

    [SuppressMessage("Design", "CA1001", Justification = "PostStop disposes what the stage holds")]
    private sealed class Logic : InAndOutGraphStageLogic
    {
        private static readonly TimeSpan RetryMin = TimeSpan.FromMilliseconds(100);
        private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(15);
        private readonly FileSinkStage _stage;
        private readonly NdjsonFile _file;
        private readonly FileConnector _connector;
        private readonly TimeProvider _time;
        private readonly CancellationTokenSource _stop = new();
        private readonly Queue<Confirmation> _confirmed = new();
        private readonly Action<(List<RecordBatch>? Written, Exception? Error)> _done;
        private List<RecordBatch> _waiting = [];
        private Task _writing = Task.CompletedTask;
        private bool _isWriting;

        public Logic(FileSinkStage stage, NdjsonFile file, FileConnector connector, TimeProvider time)
            : base(stage.Shape)
        {
            (_stage, _file, _connector, _time) = (stage, file, connector, time);
            _done = GetAsyncCallback<(List<RecordBatch>?, Exception?)>(OnDone);
            SetHandler(stage._in, this);
            SetHandler(stage._out, this);
        }

        public override void PreStart()
        {
            Start([]); // opens the file, so that what is wrong with it is known before the first row
            Pull(_stage._in);
        }

        public override void PostStop()
        {
            _stop.Cancel();
            _ = CloseAsync();
        }

        public override void OnPush()
        {
            if (Grab(_stage._in) is RecordBatch batch)
            {
                _waiting.Add(batch);
            }

            Go();
        }

        public override void OnPull() => Go();

        public override void OnUpstreamFinish() => Go();

        private void Start(List<RecordBatch> batches)
        {
            _isWriting = true;
            _writing = Task.Run(() => WriteAsync(batches), CancellationToken.None);
        }

        private async Task WriteAsync(List<RecordBatch> batches)
        {
            for (var wait = RetryMin; !_stop.IsCancellationRequested; wait = wait * 2 < RetryMax ? wait * 2 : RetryMax)
            {
                try
                {
                    _file.Write(batches);
                    _connector.Heal(_file.Path);
                    _done((batches, null));
                    return;
                }
                catch (FileSinkException e)
                {
                    _done((null, e));
                    return;
                }
                catch (IOException e)
                {
                    _connector.Trouble(_file.Path, $"file {_file.Path} cannot be written: {e.Message}");
                    await Task.Delay(wait, _time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
                catch (Exception e)
                {
                    _done((null, new FileSinkException($"file {_file.Path} cannot be written: {e.Message}", e)));
                    return;
                }
            }
        }

        private void OnDone((List<RecordBatch>? Written, Exception? Error) result)
        {
            if (result.Error is { } error)
            {
                FailStage(error);
                return;
            }

            _isWriting = false;
            foreach (var batch in result.Written!)
            {
                _confirmed.Enqueue(new Confirmation(batch.Lineage.Source, batch.Lineage.Partition, batch.Lineage.LastOffset));
            }

            Go();
        }

        private void Go()
        {
            if (!_isWriting && _waiting.Count > 0)
            {
                Start(_waiting);
                _waiting = [];
            }

            if (_confirmed.Count > 0 && IsAvailable(_stage._out))
            {
                Push(_stage._out, _confirmed.Dequeue());
            }

            if (!IsClosed(_stage._in))
            {
                if (_waiting.Count + _confirmed.Count < WaitingMax && !HasBeenPulled(_stage._in))
                {
                    Pull(_stage._in);
                }
            }
            else if (!_isWriting && _waiting.Count + _confirmed.Count == 0)
            {
                CompleteStage();
            }
        }

        private async Task CloseAsync()
        {
            await _writing;
            _file.Dispose();
            _connector.Heal(_file.Path);
            _stop.Dispose();
        }
    }
}
