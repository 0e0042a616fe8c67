using System.Buffers.Text;
using System.Text;

namespace BkBase.Lab;

/// <summary>
/// The standard metric record of benchmarks: about 280 bytes, two metrics, 4 clusters, 8 namespaces, 500 pods, 4096
/// instances, 8 modes; 4096 payloads made once and sent in turn, only the timestamp moving.
/// </summary>
public sealed class BenchmarkStream : LabStream
{
    /// <summary>The distinct payloads.</summary>
    public const int Payloads = 4096;

    private static readonly string[] Modes = ["idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal"];

    private readonly byte[][] _payloads = new byte[Payloads][];
    private readonly int[] _stamps = new int[Payloads];
    private readonly ulong[] _keys = new ulong[Payloads];
    private readonly long _start;
    private readonly int _step;
    private long _messages;

    /// <summary>The payloads of the options' seed, start, step and mixed shapes.</summary>
    public BenchmarkStream(LabOptions options)
        : base(LabTopic.Metrics)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        _start = options.Start;
        _step = options.Step;
        Records = 1;
        for (var i = 0; i < Payloads; i++)
        {
            var dice = LabHash.Mix(options.Seed, 0xBEu, (ulong)i);
            _payloads[i] = Encoding.UTF8.GetBytes(Payload(i, dice, options.Start, options.MixedShapes ? i % 5 : 0));
            _stamps[i] = _payloads[i].AsSpan().IndexOf("\"timestamp\":"u8) + 12;
            _keys[i] = dice;
        }

        NextTime = _start;
    }

    private protected override void Compose()
    {
        var i = (int)(_messages++ % Payloads);
        Utf8Formatter.TryFormat(NextTime, _payloads[i].AsSpan(_stamps[i]), out _);
        Pen.Raw(_payloads[i]);
        KeyHash = _keys[i];
        NextTime = _start + (_messages / Payloads * _step) + (_messages % Payloads * _step / Payloads);
    }

    private static string Payload(int i, ulong dice, long at, int shape)
    {
        var busy = 10_000 + LabHash.Below(dice, 80_000);
        var used = 10_000 + LabHash.Below(LabHash.Mix(dice), 80_000);
        var metrics = FormattableString.Invariant($"\"metrics\":{{\"cpu_usage\":{busy / 1000}.{busy % 1000:000},\"mem_usage\":{used / 1000}.{used % 1000:000}}}");
        var target = FormattableString.Invariant($"\"target\":\"10.0.{i / 256}.{i % 256}\"");
        var labels = FormattableString.Invariant($"\"dimension\":{{\"bcs_cluster_id\":\"BCS-K8S-{i % 4:00000}\",\"bk_biz_id\":\"2\",\"namespace\":\"ns-{i % 8}\",\"pod\":\"pod-{i % 500:000}\",\"instance\":\"10.0.{i / 256}.{i % 256}:9100\",\"mode\":\"{Modes[i / 8 % 8]}\"}}");
        var stamp = FormattableString.Invariant($"\"timestamp\":{at}");
        var item = shape switch
        {
            1 => $"{metrics},{target},{stamp},{labels}",
            2 => $"{labels},{metrics},{stamp}",
            3 => $"{stamp},{target},{labels},{metrics}",
            4 => $"{metrics},{target},{labels},{stamp},\"exemplar\":{{\"bk_trace_id\":\"{dice:x16}{dice:x16}\",\"bk_span_id\":\"{dice:x16}\",\"bk_trace_timestamp\":{at},\"bk_trace_value\":1}}",
            _ => $"{metrics},{target},{labels},{stamp}",
        };
        return $"{{\"dataid\":1572865,\"version\":\"1.0.0\",\"data\":[{{{item}}}]}}";
    }
}
