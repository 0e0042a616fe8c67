using System.Runtime.InteropServices;
using System.Text;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>
/// The messages of a consumer, taken many at a time straight from librdkafka's memory: Confluent.Kafka makes several
/// objects of each message, which costs more than all that is done with it afterwards. It keeps assignment, positions and
/// callbacks, which run inside <see cref="Take"/>; its own Consume must not be called beside this. One thread, and the
/// client outlives the queue.
/// </summary>
internal sealed unsafe class MessageQueue : IDisposable
{
    private const int MessagesMax = 512;
    private readonly NativeMessages _native = NativeMessages.Instance;
    private readonly nint[] _messages = new nint[MessagesMax];
    private nint _queue;
    private nint _current;
    private int _next;
    private int _count;

    /// <exception cref="KafkaFailureException">The version of Confluent.Kafka is one that hides what is needed.</exception>
    public MessageQueue(IClient client)
    {
        _queue = _native.ConsumerQueue(NativeMessages.Pointer(client.Handle));
        if (_queue == 0)
        {
            throw new ArgumentException("the client is no consumer", nameof(client));
        }
    }

    /// <summary>Whether messages were taken that <see cref="TryNext"/> did not give yet.</summary>
    public bool HasTaken => _next < _count;

    /// <summary>Takes messages from librdkafka, once all that were taken before are given.</summary>
    /// <param name="wait">How long to gather; it ends sooner only when as many as may be are there.</param>
    /// <param name="max">How many may be taken; never more than 512 are.</param>
    /// <returns>Whether there are any.</returns>
    public bool Take(TimeSpan wait, int max)
    {
        ObjectDisposedException.ThrowIf(_queue == 0, this);
        if (HasTaken)
        {
            throw new InvalidOperationException("messages that were taken before are not given yet");
        }

        Release();
        (_next, _count) = (0, 0);
        fixed (nint* messages = _messages)
        {
            // Less than none says that librdkafka refuses: there is nothing then.
            _count = Math.Max(0, (int)_native.Take(_queue, (int)wait.TotalMilliseconds, messages, (nuint)Math.Clamp(max, 1, MessagesMax)));
        }

        return HasTaken;
    }

    /// <summary>The next message that was taken; it is valid until the queue is called again.</summary>
    public bool TryNext(out KafkaMessage message)
    {
        Release();
        if (!HasTaken)
        {
            message = default;
            return false;
        }

        _current = _messages[_next++];
        message = new KafkaMessage(_current, _native);
        return true;
    }

    /// <summary>Gives librdkafka back what it lent: the client cannot be closed before.</summary>
    public void Dispose()
    {
        while (TryNext(out _))
        {
            // Each goes back as the next one comes.
        }

        if (_queue != 0)
        {
            _native.DestroyQueue(_queue);
            _queue = 0;
        }
    }

    private void Release()
    {
        if (_current != 0)
        {
            _native.Destroy(_current);
            _current = 0;
        }
    }
}

/// <summary>A message, or an error, in librdkafka's memory.</summary>
internal readonly unsafe ref struct KafkaMessage(nint message, NativeMessages native)
{
    private readonly Layout* _message = (Layout*)message;

    public ErrorCode Error => _message->Error;

    /// <summary>A number that two messages of one <see cref="MessageQueue.Take"/> share when they are of one topic.</summary>
    public nint TopicId => _message->Topic;

    public string Topic => _message->Topic == 0 ? "" : Marshal.PtrToStringUTF8(native.TopicName(_message->Topic))!;

    public int Partition => _message->Partition;

    public long Offset => _message->Offset;

    /// <summary>The payload; of an error its text.</summary>
    public ReadOnlySpan<byte> Payload => new((void*)_message->Payload, checked((int)_message->Length));

    /// <summary>Unix milliseconds; -1 when there is none.</summary>
    public long Time
    {
        get
        {
            int kind;
            return native.Timestamp(message, &kind);
        }
    }

    /// <summary>The error as the consumer's own Consume would throw it.</summary>
    public ConsumeException Exception() => new(
        new ConsumeResult<byte[], byte[]> { Topic = Topic, Partition = Partition, Offset = Offset },
        new Error(Error, Payload.IsEmpty ? null : Encoding.UTF8.GetString(Payload), Error == ErrorCode.Local_Fatal));

    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Layout
    {
        public readonly ErrorCode Error;
        public readonly nint Topic;
        public readonly int Partition;
        public readonly nint Payload;
        public readonly nuint Length;
        public readonly nint Key;
        public readonly nuint KeyLength;
        public readonly long Offset;
    }
}
