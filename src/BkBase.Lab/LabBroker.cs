using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Confluent.Kafka;

namespace BkBase.Lab;

/// <summary>
/// A Kafka broker for benchmarks and tests: librdkafka's mock cluster, one broker, in this process. It keeps 5 MiB per
/// partition and drops older records without a word, so whoever produces more paces himself: <see cref="LabBrokerFeed"/>.
/// </summary>
public sealed partial class LabBroker : IDisposable
{
    /// <summary>Bytes that a partition keeps.</summary>
    public const int PartitionBytesMax = 5 << 20;

    private const int Producer = 0;
    private readonly nint _client;
    private readonly nint _cluster;

    /// <summary>Starts the broker on a free port of loopback.</summary>
    /// <exception cref="IOException">librdkafka refused.</exception>
    public LabBroker()
    {
        var error = new byte[512];
        _client = Native.rd_kafka_new(Producer, Native.rd_kafka_conf_new(), error, (nuint)error.Length);
        _cluster = _client == 0 ? 0 : Native.rd_kafka_mock_cluster_new(_client, 1);
        if (_cluster == 0)
        {
            throw new IOException("librdkafka could not start its mock cluster");
        }

        Bootstrap = Marshal.PtrToStringUTF8(Native.rd_kafka_mock_cluster_bootstraps(_cluster))!;
    }

    /// <summary>host:port of the broker.</summary>
    public string Bootstrap { get; }

    /// <summary>Makes a topic.</summary>
    /// <exception cref="IOException">librdkafka refused.</exception>
    public void Create(string topic, int partitions)
    {
        if (Native.rd_kafka_mock_topic_create(_cluster, topic, partitions, 1) is var code and not 0)
        {
            throw new IOException($"topic {topic} could not be made: librdkafka's error {code}");
        }
    }

    /// <summary>Stops the broker; its records are gone.</summary>
    public void Dispose()
    {
        Native.rd_kafka_mock_cluster_destroy(_cluster);
        Native.rd_kafka_destroy(_client);
    }

    [SuppressMessage("Style", "IDE1006", Justification = "The names of the C interface.")]
    [SuppressMessage("Security", "CA5392", Justification = "The library is the one that Confluent.Kafka loaded.")]
    private static partial class Native
    {
        private const string Lib = "librdkafka-mock";

        // Confluent.Kafka chooses one of several builds for this machine: bind to the one it really mapped.
        static Native() => NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, static (name, _, _) =>
        {
            if (name != Lib)
            {
                return 0;
            }

            Library.Load();
            var line = File.ReadLines("/proc/self/maps").First(l => l.Contains("librdkafka", StringComparison.Ordinal));
            return NativeLibrary.Load(line[line.IndexOf('/', StringComparison.Ordinal)..]);
        });

        [LibraryImport(Lib)] public static partial nint rd_kafka_conf_new();
        [LibraryImport(Lib)] public static partial nint rd_kafka_new(int type, nint conf, byte[] error, nuint size);
        [LibraryImport(Lib)] public static partial void rd_kafka_destroy(nint client);
        [LibraryImport(Lib)] public static partial nint rd_kafka_mock_cluster_new(nint client, int brokers);
        [LibraryImport(Lib)] public static partial void rd_kafka_mock_cluster_destroy(nint cluster);
        [LibraryImport(Lib)] public static partial nint rd_kafka_mock_cluster_bootstraps(nint cluster);
        [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial int rd_kafka_mock_topic_create(nint cluster, string topic, int partitions, int replicas);
    }
}
