using System.Diagnostics.CodeAnalysis;
using Akka.Streams;
using Akka.Streams.Stage;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>
/// Hands rows to the producer and confirms batches, in order, when all their rows are reported. A full queue of the
/// producer (the brokers are away) holds back the source.
/// </summary>
internal sealed class KafkaSinkStage : GraphStage<FanOutShape<StreamElement, Confirmation, StreamElement>>
{
    private const int BatchesMax = 16;
    private readonly KafkaSinkSettings _settings;
    private readonly SinkContext _context;

    public KafkaSinkStage(KafkaSinkSettings settings, SinkContext context)
    {
        (_settings, _context) = (settings, context);
        Shape = new(new Inlet<StreamElement>("kafka.in"), new Outlet<Confirmation>("kafka.out"), new Outlet<StreamElement>("kafka.refused"));
    }

    public override FanOutShape<StreamElement, Confirmation, StreamElement> Shape { get; }

    protected override GraphStageLogic CreateLogic(Attributes inheritedAttributes) => new Logic(this);

    [SuppressMessage("Design", "CA1001", Justification = "PostStop disposes what the stage holds")]
    private sealed class Logic : GraphStageLogic
    {
        private static readonly TimeSpan FullWait = TimeSpan.FromMilliseconds(20);
        private static readonly TimeSpan RetryMax = TimeSpan.FromSeconds(15);
        private readonly KafkaSinkStage _stage;
        private readonly KafkaConnector _connector;
        private readonly string _topic;
        private readonly int _key;
        private readonly JsonRowWriter _json;
        private readonly CancellationTokenSource _stop = new();
        private readonly Queue<SentBatch> _sent = new();
        private readonly Queue<Confirmation> _confirmed = new();
        private readonly Queue<RejectionBatch> _refused = new();
        private readonly Action<SentBatch> _reported;
        private readonly Action<SentBatch> _done;
        private readonly Action _retry;
        private readonly Action<(KafkaProducer? Producer, Exception? Error)> _ready;
        private KafkaProducer? _producer;
        private ITimer? _timer;
        private SentBatch? _sending;

        public Logic(KafkaSinkStage stage)
            : base(stage.Shape)
        {
            _stage = stage;
            (_connector, _topic) = (stage._settings.Connector, stage._settings.Topic);
            _key = stage._settings.Key is { } key ? stage._context.Schema.IndexOf(key.Text) : -1;
            _json = new JsonRowWriter(stage._context.Schema);
            _reported = GetAsyncCallback<SentBatch>(_ => Go());
            _done = batch => _reported(batch);
            _retry = GetAsyncCallback(Go);
            _ready = GetAsyncCallback<(KafkaProducer?, Exception?)>(OnReady);
            SetHandler(stage.Shape.In, onPush: OnPush, onUpstreamFinish: Go);
            SetHandler(stage.Shape.Out0, onPull: Go);
            SetHandler(stage.Shape.Out1, onPull: Go);
        }

        public override void PreStart()
        {
            _timer = _stage._context.Time.CreateTimer(static retry => ((Action)retry!)(), _retry, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _ = Task.Run(PrepareAsync, CancellationToken.None);
            Pull(_stage.Shape.In);
        }

        public override void PostStop()
        {
            _timer?.Dispose();
            _stop.Cancel();
            _stop.Dispose();
        }

        // Looks whether the topic is there; waits for brokers, and fails for what no waiting heals.
        private async Task PrepareAsync()
        {
            var stop = _stop.Token;
            for (var wait = TimeSpan.FromMilliseconds(100); !stop.IsCancellationRequested; wait = wait * 2 < RetryMax ? wait * 2 : RetryMax)
            {
                try
                {
                    var producer = _connector.Producer; // first: its complaints are the sinks' status
                    if (await _connector.Admin.PartitionsAsync(_topic) is null)
                    {
                        throw new KafkaFailureException($"topic {_topic} does not exist at {_connector.Options.BootstrapServers}; create it, a sink does not");
                    }

                    producer.Trouble.Clear();
                    _ready((producer, null));
                    return;
                }
                catch (KafkaException e)
                {
                    if (_connector.Producer.Trouble.Error is { Code: ErrorCode.Local_Authentication or ErrorCode.SaslAuthenticationFailed } refused)
                    {
                        _ready((null, new KafkaFailureException(KafkaErrors.Explain(refused, _connector.Options), e)));
                        return;
                    }

                    _connector.Producer.Trouble.Add(e.Error);
                    await Task.Delay(wait, _stage._context.Time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
                catch (Exception e)
                {
                    _ready((null, e as KafkaFailureException ?? new KafkaFailureException($"writing topic {_topic} ended: {e.Message}", e)));
                    return;
                }
            }
        }

        private void OnReady((KafkaProducer? Producer, Exception? Error) result)
        {
            if (result.Error is { } error)
            {
                FailStage(error);
                return;
            }

            _producer = result.Producer;
            Go();
        }

        private void OnPush()
        {
            if (Grab(_stage.Shape.In) is RecordBatch batch)
            {
                _sending = new SentBatch(batch, _done);
                _sent.Enqueue(_sending);
            }

            Go();
        }

        private void Go()
        {
            if (_producer is not null && _sending is not null && Send(_sending))
            {
                _sending = null;
            }

            while (_sent.TryPeek(out var first) && first.IsDone)
            {
                if (!Settle(_sent.Dequeue()))
                {
                    return;
                }
            }

            if (_confirmed.Count > 0 && IsAvailable(_stage.Shape.Out0))
            {
                Push(_stage.Shape.Out0, _confirmed.Dequeue());
            }

            if (_refused.Count > 0 && IsAvailable(_stage.Shape.Out1))
            {
                Push(_stage.Shape.Out1, _refused.Dequeue());
            }

            if (!IsClosed(_stage.Shape.In))
            {
                if (_sending is null && _sent.Count + _refused.Count < BatchesMax && !HasBeenPulled(_stage.Shape.In))
                {
                    Pull(_stage.Shape.In);
                }
            }
            else if (_sent.Count + _confirmed.Count + _refused.Count == 0)
            {
                CompleteStage();
            }
        }

        /// <summary>False when the producer takes no more for now.</summary>
        private bool Send(SentBatch sent)
        {
            for (; sent.Next < sent.Batch.Count; sent.Next++)
            {
                _json.Clear();
                _json.Write(sent.Batch, sent.Next);
                var json = _json.Written.ToArray();
                try
                {
                    if (!_producer!.TrySend(_topic, KeyOf(sent.Batch, sent.Next), new SentRow(sent, sent.Next, json)))
                    {
                        _timer!.Change(FullWait, Timeout.InfiniteTimeSpan);
                        return false;
                    }
                }
                catch (KafkaException e)
                {
                    sent.Reported(sent.Next, e.Error, json);
                }
            }

            return true;
        }

        private byte[]? KeyOf(RecordBatch batch, int row)
        {
            if (_key < 0 || batch[_key].IsNull(row))
            {
                return null;
            }

            _json.Clear();
            _json.WriteValue(batch, _key, row);
            return _json.Written.ToArray();
        }

        /// <summary>False when the stage has failed.</summary>
        private bool Settle(SentBatch sent)
        {
            var lineage = sent.Batch.Lineage;
            var refused = new List<Rejection>(sent.Failed.Count);
            foreach (var (row, error, json) in sent.Failed)
            {
                if (error.Code is not (ErrorCode.MsgSizeTooLarge or ErrorCode.InvalidMsg or ErrorCode.InvalidRecord or ErrorCode.RecordListTooLarge or ErrorCode.InvalidMsgSize))
                {
                    FailStage(new KafkaFailureException(KafkaErrors.IsUnknownTopic(error)
                        ? $"topic {_topic} does not exist at {_connector.Options.BootstrapServers} any more"
                        : $"writing topic {_topic}: {KafkaErrors.Explain(error, _connector.Options)}"));
                    return false;
                }

                var isLarge = error.Code is not (ErrorCode.InvalidMsg or ErrorCode.InvalidRecord);
                refused.Add(Rejection.Create(
                    isLarge ? RejectReason.TooLarge : RejectReason.RefusedByStore,
                    "",
                    isLarge ? $"a row of {json.Length} bytes is too large for topic {_topic}; raise message.max.bytes here and max.message.bytes of the topic, or send less ({error.Reason})"
                        : $"topic {_topic} refuses the row: {error.Reason}",
                    sent.Batch.Origins is { } origins ? lineage.FirstOffset + origins[row] : lineage.LastOffset,
                    sent.Batch.Times[row],
                    json));
            }

            if (sent.Failed.Count < sent.Batch.Count)
            {
                _producer?.Trouble.Clear();
            }

            refused.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
            _refused.Enqueue(new RejectionBatch(lineage, refused));
            _confirmed.Enqueue(new Confirmation(lineage.Source, lineage.Partition, lineage.LastOffset));
            return true;
        }
    }
}
