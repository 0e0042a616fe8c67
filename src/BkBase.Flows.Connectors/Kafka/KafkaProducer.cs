using BkBase.Flows.Records;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>The producer of all sinks of a process: idempotent, acks=all, in order, waiting out outages.</summary>
internal sealed class KafkaProducer : IDisposable
{
    private static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(5);
    private static readonly Action<DeliveryReport<byte[]?, SentRow>> Report = static report => report.Message.Value.Batch.Reported(report.Message.Value.Row, report.Error, report.Message.Value.Json);
    private readonly IProducer<byte[]?, SentRow> _client;
    private volatile bool _isFatal;

    /// <exception cref="KafkaFailureException">A setting cannot be used.</exception>
    public KafkaProducer(KafkaOptions options)
    {
        Trouble = new ClientTrouble(options);
        _client = options.Build(() => new ProducerBuilder<byte[]?, SentRow>(options.Producer())
            .SetKeySerializer(Serializers.ByteArray!)
            .SetValueSerializer(new RowBytes())
            .SetErrorHandler((_, e) =>
            {
                _isFatal |= e.IsFatal;
                Trouble.Add(e);
            })
            .SetLogHandler((_, _) => { })
            .Build());
    }

    public ClientTrouble Trouble { get; }

    /// <summary>Whether it can send no more.</summary>
    public bool IsFatal => _isFatal;

    /// <summary>Takes a row; false when its queue is full.</summary>
    /// <exception cref="KafkaException">It will never take this row.</exception>
    public bool TrySend(string topic, byte[]? key, SentRow row)
    {
        try
        {
            _client.Produce(topic, new Message<byte[]?, SentRow> { Key = key!, Value = row }, Report);
            return true;
        }
        catch (KafkaException e) when (e.Error.Code == ErrorCode.Local_QueueFull)
        {
            return false;
        }
    }

    /// <summary>What is still under way is given a few seconds.</summary>
    public void Dispose()
    {
        _client.Flush(_isFatal ? TimeSpan.Zero : FlushTimeout);
        _client.Dispose();
    }

    private sealed class RowBytes : ISerializer<SentRow>
    {
        public byte[] Serialize(SentRow data, SerializationContext context) => data.Json;
    }
}

/// <summary>One row on its way; comes back with its delivery report.</summary>
internal readonly record struct SentRow(SentBatch Batch, int Row, byte[] Json);

/// <summary>A batch of which not all rows are reported yet.</summary>
internal sealed class SentBatch(RecordBatch batch, Action<SentBatch> done)
{
    private int _left = batch.Count;
    private List<(int Row, Error Error, byte[] Json)>? _failed;

    public RecordBatch Batch { get; } = batch;

    /// <summary>Rows that did not arrive, once <see cref="IsDone"/>.</summary>
    public IReadOnlyList<(int Row, Error Error, byte[] Json)> Failed => _failed ?? [];

    public bool IsDone => Volatile.Read(ref _left) == 0;

    /// <summary>The next row to send.</summary>
    public int Next { get; set; }

    /// <summary>Called from the client's thread, or the stage's for rows that the client does not take.</summary>
    public void Reported(int row, Error error, byte[] json)
    {
        if (error.IsError)
        {
            lock (Batch)
            {
                (_failed ??= []).Add((row, error, json));
            }
        }

        if (Interlocked.Decrement(ref _left) == 0)
        {
            done(this);
        }
    }
}
