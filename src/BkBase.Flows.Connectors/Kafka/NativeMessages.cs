using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>What <see cref="MessageQueue"/> calls in librdkafka, bound to the one of its builds that Confluent.Kafka really loaded.</summary>
internal sealed unsafe class NativeMessages
{
    public readonly delegate* unmanaged<nint, nint> ConsumerQueue;
    public readonly delegate* unmanaged<nint, int, nint*, nuint, nint> Take;
    public readonly delegate* unmanaged<nint, int*, long> Timestamp;
    public readonly delegate* unmanaged<nint, nint> TopicName;
    public readonly delegate* unmanaged<nint, void> Destroy;
    public readonly delegate* unmanaged<nint, void> DestroyQueue;
    private static readonly Lazy<NativeMessages> Loaded = new(() => new NativeMessages(LoadedLibrary()));

    /// <summary>Binds to a library.</summary>
    /// <exception cref="KafkaFailureException">It has no such functions.</exception>
    public NativeMessages(nint library)
    {
        ConsumerQueue = (delegate* unmanaged<nint, nint>)Export(library, "rd_kafka_queue_get_consumer");
        Take = (delegate* unmanaged<nint, int, nint*, nuint, nint>)Export(library, "rd_kafka_consume_batch_queue");
        Timestamp = (delegate* unmanaged<nint, int*, long>)Export(library, "rd_kafka_message_timestamp");
        TopicName = (delegate* unmanaged<nint, nint>)Export(library, "rd_kafka_topic_name");
        Destroy = (delegate* unmanaged<nint, void>)Export(library, "rd_kafka_message_destroy");
        DestroyQueue = (delegate* unmanaged<nint, void>)Export(library, "rd_kafka_queue_destroy");
    }

    /// <exception cref="KafkaFailureException">The library that is loaded is not the one this was written for.</exception>
    public static NativeMessages Instance => Loaded.Value;

    /// <summary>
    /// librdkafka's pointer to a client, of its <see cref="IClient.Handle"/>. Confluent.Kafka keeps it in a member that is
    /// not public, so another version may lack it: then this says so.
    /// </summary>
    /// <exception cref="KafkaFailureException">There is no such member.</exception>
    public static nint Pointer(object handle)
    {
        const string Member = "LibrdkafkaHandle";
        var property = handle.GetType().GetProperty(Member, BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public);
        return property?.GetValue(handle) is SafeHandle { IsInvalid: false, IsClosed: false } safe
            ? safe.DangerousGetHandle()
            : throw Unfit($"{handle.GetType().Name}.{Member} is no handle of librdkafka");
    }

    private static nint LoadedLibrary()
    {
        Library.Load();
        using var process = Process.GetCurrentProcess();
        var module = process.Modules.Cast<ProcessModule>().FirstOrDefault(m => m.ModuleName.Contains("rdkafka", StringComparison.Ordinal));

        // Not every system lists what is loaded; the name alone finds the build that is right for most of them.
        return NativeLibrary.TryLoad(module?.FileName ?? "librdkafka", typeof(Library).Assembly, null, out var library)
            ? library
            : throw Unfit("librdkafka is not found among what it loaded");
    }

    private static nint Export(nint library, string name) =>
        NativeLibrary.TryGetExport(library, name, out var address) ? address : throw Unfit($"librdkafka has no {name}");

    private static KafkaFailureException Unfit(string why) =>
        new($"this version of Confluent.Kafka ({typeof(Library).Assembly.GetName().Version}) cannot be read from: {why}; use the version that the program was built with");
}
