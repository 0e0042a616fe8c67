using System.Globalization;
using System.Text;
using BkBase.Flows.Etl;

namespace BkBase.Flows.Tests.Etl;

/// <summary>
/// bk_standard_v2_time_series against a plain reader of the same format: on a parser that has seen much, on a new one, and by
/// the general way alone. BKBASE_FUZZ_SEED and BKBASE_FUZZ_CASES repeat or prolong a run; a failure prints the seed.
/// </summary>
public sealed class TimeSeriesFuzzTests(ITestOutputHelper log)
{
    private static readonly Dictionary<string, string> Nothing = [];

    private static readonly MetricOptions[] Options =
    [
        MetricOptions.None,
        new(["pod", "namespace"], [], Nothing, Nothing),
        new(["pod"], ["cpu", "mem", "ä", "old"], new Dictionary<string, string> { ["old"] = "cpu", ["ä"] = "ae" }, new Dictionary<string, string> { ["old"] = "pod", ["ip"] = "target" }, TimeUnit.Ms),
        new(["renamed"], [], new Dictionary<string, string> { ["cpu"] = "renamed" }, new Dictionary<string, string> { ["target"] = "renamed", ["é"] = "e" }, TimeUnit.S),
        new([], [], Nothing, Nothing, TimeUnit.Ns),
    ];

    [Fact]
    public void Every_way_reads_what_a_plain_reader_reads()
    {
        var seed = Setting("BKBASE_FUZZ_SEED", 20260101);
        var cases = Setting("BKBASE_FUZZ_CASES", 20_000);
        log.WriteLine($"BKBASE_FUZZ_SEED={seed} BKBASE_FUZZ_CASES={cases}");
        var random = new Random(seed);
        var mutator = new JsonMutator(random);
        var subjects = Options.Select(o => (Options: o, Plain: new PlainTimeSeries(o), Warm: new Subject(o, isGeneral: false), General: new Subject(o, isGeneral: true))).ToArray();
        var (withRows, withRefusals) = (0, 0);
        var message = mutator.Message();
        for (var n = 0; n < cases; n++)
        {
            // One message several times, each time with something else wrong.
            message = n % 4 == 0 ? mutator.Message() : message;
            var bytes = n % 4 == 0 ? Encoding.UTF8.GetBytes(message) : mutator.Mutate(message);
            var (options, plain, warm, general) = subjects[n / 4 % subjects.Length];
            var expected = plain.Read(bytes);
            withRows += expected.Contains("} ", StringComparison.Ordinal) ? 1 : 0;
            withRefusals += expected.Contains(" at ", StringComparison.Ordinal) ? 1 : 0;
            Same(expected, warm.Read(bytes), "a parser that has seen much");
            Same(expected, general.Read(bytes), "the general way");
            Same(expected, new Subject(options, isGeneral: false).Read(bytes), "a new parser");

            void Same(string want, string got, string who) =>
                Assert.True(want == got, $"BKBASE_FUZZ_SEED={seed}, case {n}, {who}:\n{Encoding.UTF8.GetString(bytes)}\n{Convert.ToHexString(bytes)}\nexpected:\n{want}\ngot:\n{got}");
        }

        // A fuzz that only ever sees rubbish proves little.
        Assert.InRange(withRows, cases / 5, cases);
        Assert.InRange(withRefusals, cases / 5, cases);
    }

    [Theory]
    [InlineData("{\"timestamp\":1700000000,\"data\":[{\"metrics\":{\"a\":1}},{\"metrics\":{\"a\":1},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001},{\"metrics\":{\"a\":1}}],\"timestamp\":1700000000,\"target\":\"t\"}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1},\"dimension\":{\"x\":\"y\",\"x\":null},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":\"x\",\"a\":2},\"dimension\":{\"x\":{},\"x\":\"y\"},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[],\"data\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"d\\u0061ta\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001}],\"x\":\"\\ud800\"}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001},{\"metrics\":{\"a\":1},\"x\":\"\\ud800\"}]}")]
    [InlineData("{\"data\":[{\"metrics\":{},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1},\"timestamp\":1700000000001},]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1,},\"timestamp\":1700000000001}]}")]
    [InlineData("{\"data\":[{\"metrics\":{\"a\":1}\"timestamp\":1700000000001}]}")]
    [InlineData("{}")]
    public void Corners_are_read_alike(string message)
    {
        var bytes = Encoding.UTF8.GetBytes(message);
        foreach (var options in Options)
        {
            var expected = new PlainTimeSeries(options).Read(bytes);
            var warm = new Subject(options, isGeneral: false);
            warm.Read("{\"data\":[{\"metrics\":{\"a\":1},\"dimension\":{\"x\":\"y\"},\"timestamp\":1700000000001}]}"u8.ToArray());
            Assert.Equal(expected, warm.Read(bytes));
            Assert.Equal(expected, warm.Read(bytes));
            Assert.Equal(expected, new Subject(options, isGeneral: true).Read(bytes));
        }
    }

    [Fact]
    public void Objects_of_many_names_are_read_in_linear_time()
    {
        var many = string.Join(',', Enumerable.Range(0, 60_000).Select(i => $"\"k{i % 50_000}\":{i}"));
        var bytes = Encoding.UTF8.GetBytes($"{{\"data\":[{{\"metrics\":{{{many}}},\"dimension\":{{{many}}},\"timestamp\":1700000000001}}]}}");
        var expected = 50_000;
        foreach (var isGeneral in new[] { false, true })
        {
            var etl = new TimeSeriesEtl(MetricOptions.None, isGeneral);
            var output = new EtlOutput(etl.Schema);
            etl.Parse(bytes, output);
            var batch = output.Rows.Build(default);
            Assert.Equal(expected, batch.Count);
            Assert.Equal("59999", ((IDictionary<string, string>)batch["dimensions"].GetValue(0)!)["k9999"]);
        }
    }

    private static int Setting(string name, int orElse) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out var value) ? value : orElse;

    /// <summary>A parser whose payloads stand between other bytes, as they do in a batch.</summary>
    private sealed class Subject(MetricOptions options, bool isGeneral)
    {
        private readonly TimeSeriesEtl _etl = new(options, isGeneral);

        // A small dictionary, so that generations change under way.
        private readonly EtlOutput _output = new(options.Schema, 1 << 16);
        private byte[] _around = new byte[4096];
        private int _reads;

        public string Read(byte[] payload)
        {
            const int Before = 3;
            Array.Resize(ref _around, Math.Max(_around.Length, payload.Length + 64));
            _around.AsSpan().Fill("\"1}]0,:x"u8[_reads++ % 8]);
            payload.CopyTo(_around, Before);
            var filtered = _output.Filtered;
            _etl.Parse(_around.AsSpan(Before, payload.Length), _output);
            var batch = _output.Rows.Build(default);
            var promoted = options.Dimensions.Count;
            var rows = Enumerable.Range(0, batch.Count).Select(r => PlainTimeSeries.Row(
                (long)batch[0].GetValue(r)!,
                (string)batch[1].GetValue(r)!,
                (string)batch[2].GetValue(r)!,
                Enumerable.Range(3, promoted).Select(c => (string)batch[c].GetValue(r)!),
                (IDictionary<string, string>)batch[3 + promoted].GetValue(r)!,
                (double)batch[4 + promoted].GetValue(r)!));
            return PlainTimeSeries.Describe(rows, _output.TakeRejections().Select(x => $"{x.Reason} at {x.Path}"), _output.Filtered > filtered);
        }
    }
}
