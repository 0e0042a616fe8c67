namespace BkBase.Lab;

/// <summary>node-exporter of one node.</summary>
internal sealed class NodeExporterTarget : MetricTarget
{
    private static readonly string[] Modes = ["idle", "user", "system", "iowait", "irq", "nice", "softirq", "steal"];
    private static readonly double[] Shares = [0.75, 0.12, 0.06, 0.03, 0.005, 0.005, 0.01, 0.02];

    private readonly MetricSeries[] _cpu;
    private readonly MetricSeries[] _rest;

    internal NodeExporterTarget(LabNode node, int step)
        : base(node, "node-exporter", "node-exporter", "bkmonitor-operator", step)
    {
        _cpu = new MetricSeries[node.Cpus * Modes.Length];
        for (var i = 0; i < _cpu.Length; i++)
        {
            _cpu[i] = Series("node_cpu_seconds_total", $",\"cpu\":\"{i / Modes.Length}\",\"mode\":\"{Modes[i % Modes.Length]}\"");
        }

        const string disk = ",\"device\":\"/dev/vda1\",\"fstype\":\"ext4\",\"mountpoint\":\"/\"";
        const string card = ",\"device\":\"eth0\"";
        _rest =
        [
            Series("node_memory_MemTotal_bytes", ""),
            Series("node_memory_MemAvailable_bytes", ""),
            Series("node_load1", ""),
            Series("node_load5", ""),
            Series("node_filesystem_size_bytes", disk),
            Series("node_filesystem_avail_bytes", disk),
            Series("node_network_receive_bytes_total", card),
            Series("node_network_transmit_bytes_total", card),
            Series("node_disk_read_bytes_total", ",\"device\":\"vda\""),
            Series("node_disk_written_bytes_total", ",\"device\":\"vda\""),
            Series("node_boot_time_seconds", ""),
            Series("up", ""),
        ];
    }

    internal override int Count => _cpu.Length + _rest.Length;

    internal override MetricSeries Sample(int index, long at, out double value)
    {
        if (index < _cpu.Length)
        {
            value = Cpu(_cpu[index].Key, index % Modes.Length, at);
            return _cpu[index];
        }

        var series = _rest[index - _cpu.Length];
        var seed = series.Key;
        var hot = Node.Hot(at);
        value = (index - _cpu.Length) switch
        {
            0 => Node.Memory,
            1 => Math.Floor(MetricValues.Gauge(seed, Node.Memory * 0.55, 0.15, at)),
            2 => MetricValues.Gauge(seed, hot ? Node.Cpus * 4 : Node.Cpus * 0.3, 0.3, at),
            3 => MetricValues.Gauge(seed, hot ? Node.Cpus * 3 : Node.Cpus * 0.28, 0.25, at),
            4 => 100L << 30,
            5 => Math.Floor(MetricValues.Gauge(seed, (100L << 30) * 0.6, 0.05, at)),
            6 => Math.Floor(MetricValues.Counter(seed, 2e6, Node.Boot, at, Step)),
            7 => Math.Floor(MetricValues.Counter(seed, 1.5e6, Node.Boot, at, Step)),
            8 => Math.Floor(MetricValues.Counter(seed, 3e5, Node.Boot, at, Step)),
            9 => Math.Floor(MetricValues.Counter(seed, 8e5, Node.Boot, at, Step)),
            10 => Node.Boot / 1000,
            _ => 1,
        };
        return series;
    }

    /// <summary>Saturation slows the idle clock to a tenth and gives its time to user and system.</summary>
    private double Cpu(ulong seed, int mode, long at)
    {
        var hot = Node.HotSeconds(at);
        if (mode == 0)
        {
            var seconds = ((at - Node.Boot) / 1000.0) - (0.9 * hot);
            return Shares[0] * (seconds + (0.02 * Step / 1000.0 * LabHash.Unit(LabHash.Mix(seed, (ulong)(at / Step)))));
        }

        var extra = mode switch { 1 => 0.5, 2 => 0.175, _ => 0 };
        return MetricValues.Counter(seed, Shares[mode], Node.Boot, at, Step) + (extra * hot);
    }
}
