using System.Globalization;
using System.Text;
using BkBase.Flows.Etl;

namespace BkBase.Flows.Tests.Etl;

/// <summary>What parsing takes from the heap once it has seen its senders: nothing per record.</summary>
public sealed class AllocationTests
{
    private const int Records = 1000;
    private static readonly Dictionary<string, string> Renamed = new() { ["mem"] = "memory" };

    private static readonly string[] Shapes =
    [
        """{"dataid":1,"data":[{"metrics":{"cpu":1$.5,"mem":2e3},"target":"10.0.0.1","dimension":{"pod":"p$","n":1},"timestamp":170000000$}],"gseindex":$,"ip":"10.0.0.$"}""",
        """{"data":[{"dimension":{"pod":"p$"},"metrics":{"net_$":1,"x":null},"timestamp":170000000$},{"timestamp":170000000$,"metrics":{"cpu":0.25},"dimension":{"a":"b\u0026c"},"exemplar":{"id":"$","n":[1,true]}}]}""",
        """{"data": [{"metrics": {"cpu": 1, "mem": 2}, "target": "t\u00e9$", "dimension": {"pod": "é$"}, "timestamp": 170000000$}], "timestamp": 1}""",
        """{"timestamp":1700000000,"target":"root","data":[{"metrics":{"cpu":$},"dimension":{"pod":"p$","mode":"}"}}]}""",
    ];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Parsing_takes_nothing_per_record(bool isGeneral)
    {
        var etl = new TimeSeriesEtl(new MetricOptions(["pod"], ["cpu", "mem", "net_1", "net_2", "x"], Renamed, Renamed), isGeneral);
        var output = new EtlOutput(etl.Schema);
        byte[][] messages = [.. Enumerable.Range(0, Records).Select(i => Encoding.UTF8.GetBytes(Shapes[i % 4].Replace("$", (i % 10).ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)))];
        for (var n = 0; n < 3; n++)
        {
            Parse(etl, output, messages);
            output.Rows.Build(default);
        }

        // The runtime itself may take something now and then; what records take, all batches take.
        var (parsed, built, rows) = (long.MaxValue, long.MaxValue, 0);
        for (var n = 0; n < 5; n++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            Parse(etl, output, messages);
            var between = GC.GetAllocatedBytesForCurrentThread();
            rows = output.Rows.Build(default).Count;
            (parsed, built) = (Math.Min(parsed, between - before), Math.Min(built, GC.GetAllocatedBytesForCurrentThread() - between));
        }

        Assert.Empty(output.Rejections);
        Assert.True(rows >= Records);
        Assert.Equal(0, parsed);

        // The columns of a batch and its origins: time, metric, target, pod, dimensions, value; and a few objects around them.
        Assert.InRange(built, rows * (8 + 4 + 4 + 4 + 4 + 8 + 4), (rows * (8 + 4 + 4 + 4 + 4 + 8 + 4)) + 2048);
    }

    [Fact]
    public void Senders_that_never_repeat_themselves_hold_bounded_memory()
    {
        const long Dictionary = 1 << 20;
        var etl = new TimeSeriesEtl(MetricOptions.None);
        var output = new EtlOutput(etl.Schema, Dictionary);
        var most = 0L;
        for (var i = 0; i < 60_000; i++)
        {
            output.BeginRecord(i % 100, i, 0);
            etl.Parse(Encoding.UTF8.GetBytes($"{{\"k{i}\":1,\"data\":[{{\"metrics\":{{\"m{i}\":1}},\"x{i}\":2,\"dimension\":{{\"d{i % 7}\":\"{i}\",\"e\":\"{i % 9}\"}},\"timestamp\":1700000000}}]}}"), output);
            if (i % 100 == 99)
            {
                Assert.Equal(100, output.Rows.Build(default).Count);
                most = Math.Max(most, output.Rows.Strings.Bytes + output.Rows.Maps.Bytes);
            }
        }

        Assert.Empty(output.Rejections);
        Assert.InRange(output.Rows.Generation, 2, 60);
        Assert.InRange(most, Dictionary / 2, Dictionary * 3);
    }

    [Fact]
    public void Few_strings_that_make_many_maps_fill_a_generation()
    {
        var output = new EtlOutput(MetricOptions.None.Schema, 1 << 18);
        var etl = new TimeSeriesEtl(MetricOptions.None);
        for (var i = 0; i < 20_000; i++)
        {
            var labels = string.Join(',', Enumerable.Range(0, 15).Select(b => $"\"l{b}\":\"{(i >> b) & 1}\""));
            etl.Parse(Encoding.UTF8.GetBytes($"{{\"data\":[{{\"metrics\":{{\"m\":1}},\"dimension\":{{{labels}}},\"timestamp\":1700000000}}]}}"), output);
            output.Rows.Build(default);
            Assert.True(output.Rows.Maps.Count < 4000);
        }

        Assert.True(output.Rows.Generation > 2);
    }

    private static void Parse(TimeSeriesEtl etl, EtlOutput output, byte[][] messages)
    {
        for (var i = 0; i < messages.Length; i++)
        {
            output.BeginRecord(i, i, 0);
            etl.Parse(messages[i], output);
        }
    }
}
