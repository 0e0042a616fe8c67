using System.Globalization;
using System.Text;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;

namespace BkBase.Flows.Tests.Etl;

/// <summary>All formats under damaged messages: none throws, no item is lost, and where batches are cut changes nothing.</summary>
public sealed class FormatFuzzTests(ITestOutputHelper log)
{
    private static readonly Dictionary<string, (string List, string[] Messages)> Samples = new(StringComparer.Ordinal)
    {
        ["bk_standard_v2_event"] = ("data",
        [
            """{"data_id":1,"data":[{"event_name":"OOM","target":"k","event":{"content":"c\n","count":2,"x":{"y":1}},"dimension":{"kind":"Pod","n":1},"timestamp":1558774691000},{"event_name":"é","target":"k","event":{"content":"\ud83d\ude00"},"timestamp":1558774691}]}""",
            """{"data":[]}""",
        ]),
        ["bk_flat_batch"] = ("items",
        [
            """{"ip":"10.0.0.1","cloudid":0,"utctime":"2019-11-21 13:07:01","filename":"/a.log","gseindex":794,"ext":{"a":1},"items":[{"data":"level=info cost=1.5","iterationindex":0},{"data":"oops \u00e9"}]}""",
            """{"time":1574341621,"items":[{"data":""},{"data":"level=a","time":0}]}""",
        ]),
        ["otlp_span"] = ("items",
        [
            """{"items":[{"trace_id":"a","span_id":"b","span_name":"n","kind":3,"start_time":1696733860659202,"end_time":1696733860660293,"elapsed_time":1091,"status":{"code":2,"message":"m"},"resource":{"service.name":"web"},"attributes":{"a":[1]},"bk_biz_id":2},{"trace_id":"a","span_id":"c","start_time":1696733860659202}]}""",
        ]),
        ["json"] = ("",
        [
            """{"ts":1700000000,"meta":{"host":"h"},"level":"info","v":1.5,"list":[1,2]}""",
        ]),
        ["bk_standard"] = ("",
        [
            """{"time":1700000000,"metrics":{"a":1,"b":2.5e3},"dimensions":{"x":"y","z":1},"ip":"10.0.0.1","bk_biz_id":2}""",
        ]),
        ["bk_exporter"] = ("",
        [
            """{"@timestamp":"2024-01-01T00:00:00Z","ip":"1.1.1.1","prometheus":{"collector":{"metrics":[{"key":"consul_catalog_nodes_up","labels":{"ip":"x","n":1},"value":1,"timestamp":1700000000},{"key":"consul_catalog_nodes_up","labels":{},"value":2}]}}}""",
        ]),
        ["text"] = ("", ["level=info cost=1.5 a=\"b c\"", "GET / 200 12"]),
    };

    [Fact]
    public void Damaged_messages_are_rows_refusals_or_filtered()
    {
        var seed = int.TryParse(Environment.GetEnvironmentVariable("BKBASE_FUZZ_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out var given) ? given : 7;
        log.WriteLine($"BKBASE_FUZZ_SEED={seed}");
        foreach (var entry in EtlCatalog.All)
        {
            var random = new Random(seed);
            var mutator = new JsonMutator(random);
            var (list, messages) = Samples.TryGetValue(entry.Name, out var sample) ? sample : ("", [mutator.Message()]);
            var settings = EtlTests.Settings(entry.Example, new DiagnosticBag("f"));
            byte[][] payloads = [.. Enumerable.Range(0, 2000).Select(i => mutator.Mutate(messages[i % messages.Length]))];
            var (whole, counts) = Read(settings, payloads, _ => false, 1 << 26);
            var (split, splitCounts) = Read(settings, payloads, _ => random.Next(3) == 0, 1 << 12);
            Assert.Equal(whole, split);
            Assert.Equal(counts, splitCounts);
            for (var i = 0; i < payloads.Length; i++)
            {
                var (rows, refused, filtered) = counts[i];
                Assert.True(Accounts(list, payloads[i], rows, refused, filtered), $"BKBASE_FUZZ_SEED={seed} {entry.Name}: {rows} rows, {refused} refused, {filtered} filtered of {Encoding.UTF8.GetString(payloads[i])}");
            }
        }
    }

    // A record of a list leaves a row per item, or a refusal, or both where only an optional field is bad; any record leaves something.
    private static bool Accounts(string list, byte[] payload, int rows, int refused, long filtered)
    {
        if (list.Length == 0 || PlainJson.Read(payload).Root is not { IsObject: true } root || root[list] is not { IsArray: true } items)
        {
            return rows + refused + filtered > 0 && (filtered == 0 || rows + refused == 0);
        }

        return items.Elements.Count == 0 ? (rows, refused, filtered) is (0, 0, 1) : rows <= items.Elements.Count && rows + refused >= items.Elements.Count && filtered == 0;
    }

    private static (List<string> Dump, List<(int Rows, int Refused, long Filtered)> Counts) Read(IEtlSettings settings, byte[][] payloads, Func<int, bool> cut, long dictionary)
    {
        var etl = settings.Create();
        var output = new EtlOutput(etl.Schema, dictionary);
        var (rows, refused, counts) = (new List<string>(), new List<string>(), new List<(int, int, long)>());
        for (var i = 0; i < payloads.Length; i++)
        {
            var before = (output.Rows.Count, output.Rejections.Count, output.Filtered);
            output.BeginRecord(i, i, 1_700_000_000_000);
            etl.Parse(payloads[i], output);
            counts.Add((output.Rows.Count - before.Item1, output.Rejections.Count - before.Item2, output.Filtered - before.Filtered));
            if (cut(i) || i == payloads.Length - 1)
            {
                var batch = output.Rows.Build(default);
                rows.AddRange(Enumerable.Range(0, batch.Count).Select(r => $"{batch.Origins![r]}: {string.Join('|', batch.Columns.Select(c => Value(c.GetValue(r))))}"));
                refused.AddRange(output.TakeRejections().Select(r => $"{r.Offset}: {r.Reason} {r.Path} {r.EventTime} {Convert.ToHexString(r.Sample.Span)}"));
            }
        }

        return ([.. rows, .. refused], counts);
    }

    private static string Value(object? value) =>
        value is IDictionary<string, string> map ? string.Join(',', map) : Convert.ToString(value, CultureInfo.InvariantCulture) ?? "null";
}
