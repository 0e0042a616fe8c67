using System.Buffers;
using System.Text;
using BkBase.Lab;

namespace BkBase.Benchmarks;

/// <summary>Messages that the parse benchmarks read; every corpus holds <see cref="Records"/> records (items).</summary>
public static class ParseCorpus
{
    /// <summary>Records of a corpus, and of one benchmark operation.</summary>
    public const int Records = 4096;

    /// <summary>Names of all corpora.</summary>
    public static IReadOnlyList<string> Names { get; } = ["same", "mixed", "lab", "hostile", "python", "churn"];

    /// <summary>The messages of a corpus. Those of 'churn' are never the same again: see <see cref="Churn"/>.</summary>
    public static byte[][] Make(string name) => name switch
    {
        // The standard metric record, one shape.
        "same" => Standard(mixed: false),

        // The standard metric record in the five shapes that platforms send.
        "mixed" => Standard(mixed: true),

        // A simulated platform: 8 items a message, hundreds of metric names, the fields of the GSE around them.
        "lab" => Lab(),

        // 500 key orders, names and extra fields; 4 items of differing shapes in each message.
        "hostile" => Hostile(),

        // The standard record as Python writes it, with a space after each comma and colon.
        "python" => [.. Standard(mixed: false).Select(Spaced)],
        "churn" => Standard(mixed: false),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "no such corpus"),
    };

    /// <summary>Makes a standard message one of a series, and with a metric, never seen before.</summary>
    public static void Churn(byte[] message, long number)
    {
        Digits(message, message.AsSpan().IndexOf("\"metrics\":{\""u8) + 12, 8, number);
        Digits(message, message.AsSpan().IndexOf("\"pod\":\""u8) + 7, 6, number);
    }

    private static void Digits(byte[] message, int at, int count, long number)
    {
        for (var i = at + count - 1; i >= at; i--)
        {
            message[i] = (byte)('a' + (number % 16));
            number /= 16;
        }
    }

    private static byte[][] Standard(bool mixed) => Take(new BenchmarkStream(new LabOptions { MixedShapes = mixed }), 1);

    private static byte[][] Lab() => Take(new MetricStream(new LabWorld(new LabOptions { MixedShapes = true, ItemsPerMessage = 8, Nodes = 20 })), 8);

    private static byte[][] Take(LabStream stream, int items)
    {
        var messages = new List<byte[]>();
        while (messages.Count * items < Records)
        {
            var into = new ArrayBufferWriter<byte>();
            stream.Write(into);
            if (stream.Records == items)
            {
                messages.Add(into.WrittenSpan.ToArray());
            }
        }

        return [.. messages];
    }

    private static byte[][] Hostile()
    {
        var random = new Random(5);
        var shapes = Enumerable.Range(0, 500).Select(_ => random.Next()).ToArray();
        var messages = new byte[Records / 4][];
        for (var i = 0; i < messages.Length; i++)
        {
            var items = Enumerable.Range(0, 4).Select(k => Item(shapes[random.Next(shapes.Length)], (i * 4) + k, random));
            messages[i] = Encoding.UTF8.GetBytes($"{{\"dataid\":1572865,\"version\":\"1.0.0\",\"data\":[{string.Join(',', items)}]}}");
        }

        return messages;
    }

    private static string Item(int shape, int number, Random random)
    {
        var order = new Random(shape);
        string[] names = ["cpu_usage", "mem_usage", "disk_free", "load", "net_in", "net_out"];
        order.Shuffle(names);
        var metrics = names.Take(1 + order.Next(3)).Select(n => FormattableString.Invariant($"\"{n}_{shape % 97}\":{random.Next(100_000) / 1000d}"));
        string[] labels = ["bcs_cluster_id\":\"BCS-K8S-0000" + (number % 4), "bk_biz_id\":\"2", "namespace\":\"ns-" + (number % 8), "pod\":\"pod-" + (number % 500), "instance\":\"10.0.0." + (number % 256), "mode\":\"idle"];
        order.Shuffle(labels);
        string[] parts =
        [
            $"\"metrics\":{{{string.Join(',', metrics)}}}",
            $"\"target\":\"10.0.{number % 16}.{number % 256}\"",
            $"\"dimension\":{{{string.Join(',', labels.Take(3 + order.Next(4)).Select(l => $"\"{l}\""))}}}",
            $"\"timestamp\":{1_767_225_600_000 + number}",
            order.Next(3) == 0 ? $"\"extra_{shape % 31}\":{{\"a\":[1,true,null],\"b\":\"x{number}\"}}" : $"\"seq\":{number}",
        ];
        order.Shuffle(parts);
        return $"{{{string.Join(',', parts)}}}";
    }

    private static byte[] Spaced(byte[] message) =>
        Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(message).Replace(",\"", ", \"", StringComparison.Ordinal).Replace("\":", "\": ", StringComparison.Ordinal));
}
