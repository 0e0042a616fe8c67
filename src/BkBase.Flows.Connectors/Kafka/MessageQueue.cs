using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>
/// The messages of a consumer, taken many at a time straight from librdkafka's memory: Confluent.Kafka makes several
/// objects of each message, which costs more than all that is done with it afterwards. It keeps assignment, positions and
/// callbacks; its own Consume must not be called beside this. One thread.
/// </summary>
internal sealed unsafe class MessageQueue : IDisposable
{
    private const int MessagesMax = 512;
    private readonly nint[] _messages = new nint[MessagesMax];
    private readonly nint _queue;

    /// <exception cref="KafkaException">The client is no consumer.</exception>
    public MessageQueue(IClient client)
    {
        // No public way leads from a client to its handle.
        var handle = (SafeHandle)typeof(Handle).GetProperty("LibrdkafkaHandle", BindingFlags.Instance | BindingFlags.NonPublic)!.GetValue(client.Handle)!;
        _queue = Native.GetConsumerQueue(handle.DangerousGetHandle());
        if (_queue == 0)
        {
            throw new KafkaException(ErrorCode.Local_UnknownGroup);
        }
    }

    /// <summary>A message as librdkafka lays it out.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal readonly struct Message
    {
        private readonly int _error;
        private readonly nint _topic;
        private readonly int _partition;
        private readonly nint _payload;
        private readonly nuint _length;
        private readonly nint _key;
        private readonly nuint _keyLength;
        private readonly long _offset;

        public bool IsError => _error != 0;

        /// <summary>A number that two messages of one <see cref="Take"/> share when they are of one topic.</summary>
        public nint TopicId => _topic;

        public string Topic => _topic == 0 ? "" : Marshal.PtrToStringUTF8(Native.TopicName(_topic))!;

        public int Partition => _partition;

        public long Offset => _offset;

        /// <summary>The payload; of an error its text.</summary>
        public ReadOnlySpan<byte> Payload => new((void*)_payload, checked((int)_length));

        /// <summary>The error as the consumer's own Consume would throw it.</summary>
        public ConsumeException Exception() => new(
            new ConsumeResult<byte[], byte[]> { Topic = Topic, Partition = _partition, Offset = _offset },
            new Error((ErrorCode)_error, _payload == 0 ? null : System.Text.Encoding.UTF8.GetString(Payload)));
    }

    /// <summary>Takes what is there, waiting for the first message; gives each to <paramref name="take"/>.</summary>
    /// <returns>How many there were.</returns>
    /// <exception cref="ConsumeException">The first error among them, after all messages were given.</exception>
    public int Take(TimeSpan wait, MessageTaker take)
    {
        int count;
        fixed (nint* messages = _messages)
        {
            count = (int)Native.ConsumeBatch(_queue, (int)wait.TotalMilliseconds, messages, MessagesMax);
        }

        ConsumeException? error = null;
        for (var i = 0; i < count; i++)
        {
            ref readonly var message = ref *(Message*)_messages[i];
            if (message.IsError)
            {
                error ??= message.Exception();
            }
            else
            {
                int type;
                take(message, Native.Timestamp(_messages[i], &type));
            }

            Native.Destroy(_messages[i]);
        }

        return error is null ? Math.Max(0, count) : throw error;
    }

    public void Dispose() => Native.DestroyQueue(_queue);

    // Confluent.Kafka chooses one of several builds of the library: these are of the one it really loaded.
    private static class Native
    {
        public static readonly delegate* unmanaged<nint, nint> GetConsumerQueue;
        public static readonly delegate* unmanaged<nint, int, nint*, nuint, nint> ConsumeBatch;
        public static readonly delegate* unmanaged<nint, int*, long> Timestamp;
        public static readonly delegate* unmanaged<nint, nint> TopicName;
        public static readonly delegate* unmanaged<nint, void> Destroy;
        public static readonly delegate* unmanaged<nint, void> DestroyQueue;

        static Native()
        {
            Library.Load();
            using var process = Process.GetCurrentProcess();
            var module = process.Modules.Cast<ProcessModule>().First(m => m.ModuleName.Contains("rdkafka", StringComparison.Ordinal));
            var library = NativeLibrary.Load(module.FileName);
            nint Export(string name) => NativeLibrary.GetExport(library, "rd_kafka_" + name);
            GetConsumerQueue = (delegate* unmanaged<nint, nint>)Export("queue_get_consumer");
            ConsumeBatch = (delegate* unmanaged<nint, int, nint*, nuint, nint>)Export("consume_batch_queue");
            Timestamp = (delegate* unmanaged<nint, int*, long>)Export("message_timestamp");
            TopicName = (delegate* unmanaged<nint, nint>)Export("topic_name");
            Destroy = (delegate* unmanaged<nint, void>)Export("message_destroy");
            DestroyQueue = (delegate* unmanaged<nint, void>)Export("queue_destroy");
        }
    }
}

/// <param name="message">A message, valid during the call.</param>
/// <param name="time">Its timestamp, Unix milliseconds; -1 when it has none.</param>
internal delegate void MessageTaker(in MessageQueue.Message message, long time);
