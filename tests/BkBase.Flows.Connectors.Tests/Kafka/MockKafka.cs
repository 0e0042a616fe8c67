using System.Runtime.InteropServices;
using System.Text;
using Confluent.Kafka;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>librdkafka's mock cluster; keeps 5 MiB per partition, so never test below that.</summary>
public sealed unsafe class MockKafka : IDisposable
{
    private readonly nint _client;
    private readonly nint _cluster;

    public MockKafka()
    {
        var error = stackalloc byte[512];
        var conf = Native.rd_kafka_conf_new();
        fixed (byte* name = "log_level"u8, value = "0"u8)
        {
            Assert.Equal(0, Native.rd_kafka_conf_set(conf, name, value, error, 512)); // it would fill the test log
        }

        _client = Native.rd_kafka_new(0, conf, error, 512);
        Assert.NotEqual(0, _client);
        _cluster = Native.rd_kafka_mock_cluster_new(_client, 1);
        Assert.NotEqual(0, _cluster);
        Bootstrap = Marshal.PtrToStringUTF8(Native.rd_kafka_mock_cluster_bootstraps(_cluster))!;
        Native.rd_kafka_mock_group_initial_rebalance_delay_ms(_cluster, 50);
    }

    public string Bootstrap { get; }

    public void Create(string topic, int partitions)
    {
        var name = Encoding.UTF8.GetBytes(topic + "\0");
        fixed (byte* p = name)
        {
            Assert.Equal(0, Native.rd_kafka_mock_topic_create(_cluster, p, partitions, 1));
        }
    }

    public void Down() => Assert.Equal(0, Native.rd_kafka_mock_broker_set_down(_cluster, 1));

    public void Up() => Assert.Equal(0, Native.rd_kafka_mock_broker_set_up(_cluster, 1));

    /// <summary>The next requests of a kind are answered with these errors. Kinds: 0 produce, 1 fetch, 2 offsets, 3 metadata, 8 commit.</summary>
    public void Inject(short request, params ReadOnlySpan<ErrorCode> errors)
    {
        var codes = new int[errors.Length];
        for (var i = 0; i < codes.Length; i++)
        {
            codes[i] = (int)errors[i];
        }

        Native.rd_kafka_mock_push_request_errors_array(_cluster, request, (nuint)codes.Length, codes);
    }

    public void Dispose()
    {
        Native.rd_kafka_mock_cluster_destroy(_cluster);
        Native.rd_kafka_destroy(_client);
    }

#pragma warning disable SYSLIB1054, CA5392, IDE1006, MA0091
    private static class Native
    {
        private const string L = "librdkafka-mock";

        // Confluent.Kafka loads one of several builds; bind to the one it really mapped.
        static Native() => NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, (name, _, _) =>
        {
            if (name != L)
            {
                return 0;
            }

            Library.Load();
            var line = File.ReadLines("/proc/self/maps").First(l => l.Contains("librdkafka", StringComparison.Ordinal));
            return NativeLibrary.Load(line[line.IndexOf('/', StringComparison.Ordinal)..]);
        });

        [DllImport(L)]
        public static extern nint rd_kafka_conf_new();

        [DllImport(L)]
        public static extern int rd_kafka_conf_set(nint conf, byte* name, byte* value, byte* error, nuint size);

        [DllImport(L)]
        public static extern nint rd_kafka_new(int type, nint conf, byte* error, nuint size);

        [DllImport(L)]
        public static extern void rd_kafka_destroy(nint client);

        [DllImport(L)]
        public static extern nint rd_kafka_mock_cluster_new(nint client, int brokers);

        [DllImport(L)]
        public static extern void rd_kafka_mock_cluster_destroy(nint cluster);

        [DllImport(L)]
        public static extern nint rd_kafka_mock_cluster_bootstraps(nint cluster);

        [DllImport(L)]
        public static extern int rd_kafka_mock_topic_create(nint cluster, byte* topic, int partitions, int replicas);

        [DllImport(L)]
        public static extern int rd_kafka_mock_broker_set_down(nint cluster, int broker);

        [DllImport(L)]
        public static extern int rd_kafka_mock_broker_set_up(nint cluster, int broker);

        [DllImport(L)]
        public static extern void rd_kafka_mock_push_request_errors_array(nint cluster, short request, nuint count, int[] errors);

        [DllImport(L)]
        public static extern void rd_kafka_mock_group_initial_rebalance_delay_ms(nint cluster, int delay);
    }
}
