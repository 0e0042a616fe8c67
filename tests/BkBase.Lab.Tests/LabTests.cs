using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace BkBase.Lab.Tests;

public sealed class LabTests
{
    private static readonly LabOptions Small = new()
    {
        Nodes = 3,
        PodsPerNode = 8,
        Step = 10_000,
        PodChurn = 2,
        MixedShapes = true,
        Script = LabScript.Demo,
    };

    [Fact]
    public void SameSeedSameBytes() => Assert.Equal(Bytes(Small, 5000), Bytes(Small with { }, 5000));

    [Fact]
    public void OtherSeedOtherBytes() => Assert.NotEqual(Bytes(Small, 500), Bytes(Small with { Seed = 2 }, 500));

    [Theory]
    [InlineData(false, 1)]
    [InlineData(true, 1)]
    [InlineData(true, 20)]
    public void EveryMessageHasItsFieldsInOrderOfTime(bool mixed, int items)
    {
        var last = long.MinValue;
        var topics = new HashSet<LabTopic>();
        foreach (var (record, json) in Play(Small with { MixedShapes = mixed, ItemsPerMessage = items }, TimeSpan.FromMinutes(14)))
        {
            Assert.True(record.EventTime >= last);
            last = record.EventTime;
            topics.Add(record.Topic);
            Assert.Equal(record.Topic.DataId(), json.GetProperty("dataid").GetInt32());
            Check(record, json, items);
        }

        Assert.Equal(4, topics.Count);
    }

    [Fact]
    public void CountersFallOnlyWhenTheContainerRestarted()
    {
        var seen = new Dictionary<string, double>(StringComparer.Ordinal);
        var falls = 0;
        foreach (var (_, json) in Play(Small with { Topics = LabTopics.Metrics }, TimeSpan.FromMinutes(25)))
        {
            var item = json.GetProperty("data")[0];
            var metric = item.GetProperty("metrics").EnumerateObject().Single();
            if (!metric.Name.EndsWith("_total", StringComparison.Ordinal))
            {
                continue;
            }

            var labels = item.GetProperty("dimension").EnumerateObject().ToDictionary(l => l.Name, l => l.Value.GetString()!, StringComparer.Ordinal);
            var key = metric.Name + string.Join(',', labels.Select(l => l.Value));
            var value = metric.Value.GetDouble();
            Assert.True(value >= 0);
            if (seen.TryGetValue(key, out var before) && value < before)
            {
                Assert.Equal("container_cpu_usage_seconds_total", metric.Name);
                falls++;
            }

            seen[key] = value;
        }

        Assert.True(falls > 0);
    }

    [Fact]
    public void WithoutIncidentsCountersNeverFall()
    {
        var seen = new Dictionary<ulong, double>();
        foreach (var (record, json) in Play(Small with { Topics = LabTopics.Metrics, Script = LabScript.Calm }, TimeSpan.FromMinutes(20)))
        {
            var metric = json.GetProperty("data")[0].GetProperty("metrics").EnumerateObject().Single();
            if (metric.Name.EndsWith("_total", StringComparison.Ordinal))
            {
                var value = metric.Value.GetDouble();
                Assert.True(value >= seen.GetValueOrDefault(record.KeyHash), metric.Name);
                seen[record.KeyHash] = value;
            }
        }
    }

    [Fact]
    public void IncidentsShow()
    {
        var events = new Dictionary<string, int>(StringComparer.Ordinal);
        var logs = new int[30];
        double load = 0, restarts = 0, full = 0;
        foreach (var (record, json) in Play(Small with { PodChurn = 0, MixedShapes = false }, TimeSpan.FromMinutes(25)))
        {
            if (record.Topic == LabTopic.Logs)
            {
                logs[(record.EventTime - Small.Start) / 60_000]++;
                continue;
            }

            if (record.Topic == LabTopic.Spans)
            {
                continue;
            }

            var item = json.GetProperty("data")[0];
            if (record.Topic == LabTopic.Events)
            {
                var name = item.GetProperty("event_name").GetString()!;
                events[name] = events.GetValueOrDefault(name) + 1;
                continue;
            }

            var metric = item.GetProperty("metrics").EnumerateObject().Single();
            var value = metric.Value.GetDouble();
            load = metric.Name == "node_load1" ? Math.Max(load, value) : load;
            restarts = metric.Name == "kube_pod_container_status_restarts_total" ? Math.Max(restarts, value) : restarts;
            full = metric.Name == "container_memory_working_set_bytes" ? Math.Max(full, value / (256 << 20)) : full;
        }

        Assert.True(load > 16);
        Assert.True(restarts >= 4);
        Assert.True(full > 0.9);
        Assert.True(events["BackOff"] > 50);
        Assert.True(events["OOMKilling"] > 1);
        Assert.True(logs[14] > logs[5] * 2);
    }

    [Fact]
    public void ChurnReplacesPods()
    {
        var world = new LabWorld(Small);
        var pods = world.Clusters[0].Pods;
        var before = pods.Select(p => p.Name).ToList();
        foreach (var pod in pods)
        {
            pod.SetAt(Small.Start + 3_600_000);
        }

        Assert.All(pods.Zip(before), p => Assert.NotEqual(p.Second, p.First.Name));
        Assert.All(pods.Zip(before), p => Assert.StartsWith(p.First.Workload.ReplicaSet, p.Second, StringComparison.Ordinal));
    }

    [Fact]
    public void CardinalityIsAsAsked()
    {
        var options = new LabOptions { Clusters = 3, Nodes = 4, PodsPerNode = 5, PodChurn = 0, Topics = LabTopics.Metrics };
        var keys = new HashSet<ulong>();
        var pods = new HashSet<string>(StringComparer.Ordinal);
        foreach (var (record, json) in Play(options, TimeSpan.FromMinutes(3)))
        {
            keys.Add(record.KeyHash);
            if (json.GetProperty("data")[0].GetProperty("dimension").TryGetProperty("pod", out var pod))
            {
                pods.Add(json.GetProperty("bk_biz_id").GetInt32().ToString(CultureInfo.InvariantCulture) + pod.GetString());
            }
        }

        Assert.Equal(60, pods.Count);
        Assert.Equal(new MetricStream(new LabWorld(options)).SeriesCount, keys.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void BenchmarkRecordsAreDistinctAndOfTheKnownSize(bool mixed)
    {
        var stream = new BenchmarkStream(new LabOptions { MixedShapes = mixed });
        var distinct = new HashSet<string>(StringComparer.Ordinal);
        var buffer = new ArrayBufferWriter<byte>();
        for (var i = 0; i < BenchmarkStream.Payloads * 2; i++)
        {
            buffer.ResetWrittenCount();
            var at = stream.NextTime;
            stream.Write(buffer);
            var item = JsonDocument.Parse(buffer.WrittenMemory).RootElement.GetProperty("data")[0];
            Assert.Equal(at, item.GetProperty("timestamp").GetInt64());
            Assert.Equal(2, item.GetProperty("metrics").EnumerateObject().Count());
            Assert.True(mixed || buffer.WrittenCount is > 265 and < 295, Encoding.UTF8.GetString(buffer.WrittenSpan));
            distinct.Add(item.GetProperty("dimension").GetProperty("instance").GetString()!);
            Assert.True(stream.NextTime >= at);
        }

        Assert.Equal(BenchmarkStream.Payloads, distinct.Count);
    }

    [Fact]
    public void MetricsAllocateNothingOnceWarm()
    {
        var generator = new LabGenerator(Small with { PodChurn = 0, Script = LabScript.Calm });
        var buffer = new ArrayBufferWriter<byte>(1 << 16);
        var before = 0L;
        for (var i = 0; i < 40_000; i++)
        {
            before = i == 20_000 ? GC.GetAllocatedBytesForCurrentThread() : before;
            buffer.ResetWrittenCount();
            generator.Next(out _, buffer);
        }

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 20_000);
    }

    private static void Check(LabRecord record, JsonElement json, int items)
    {
        switch (record.Topic)
        {
            case LabTopic.Metrics:
                Assert.InRange(record.Records, 1, items);
                foreach (var item in json.GetProperty("data").EnumerateArray())
                {
                    Assert.Equal(record.EventTime, item.GetProperty("timestamp").GetInt64());
                    Assert.Equal(JsonValueKind.Number, item.GetProperty("metrics").EnumerateObject().Single().Value.ValueKind);
                    Assert.StartsWith("BCS-K8S-", item.GetProperty("dimension").GetProperty("bcs_cluster_id").GetString(), StringComparison.Ordinal);
                    Assert.All(item.GetProperty("dimension").EnumerateObject(), d => Assert.Equal(JsonValueKind.String, d.Value.ValueKind));
                }

                break;
            case LabTopic.Events:
                var one = json.GetProperty("data")[0];
                Assert.NotEmpty(one.GetProperty("event_name").GetString()!);
                Assert.NotEmpty(one.GetProperty("target").GetString()!);
                Assert.NotEmpty(one.GetProperty("event").GetProperty("content").GetString()!);
                Assert.Equal(record.EventTime, one.GetProperty("timestamp").GetInt64());
                break;
            case LabTopic.Logs:
                Assert.Equal(record.EventTime / 1000, json.GetProperty("time").GetInt64());
                Assert.Equal(record.Records, json.GetProperty("items").GetArrayLength());
                Assert.All(json.GetProperty("items").EnumerateArray(), i => Assert.NotEmpty(i.GetProperty("data").GetString()!));
                break;
            default:
                Assert.InRange(record.Records, 3, 12);
                foreach (var span in json.GetProperty("items").EnumerateArray())
                {
                    Assert.Equal(32, span.GetProperty("trace_id").GetString()!.Length);
                    Assert.Equal(span.GetProperty("elapsed_time").GetInt64(), span.GetProperty("end_time").GetInt64() - span.GetProperty("start_time").GetInt64());
                    Assert.True(span.GetProperty("end_time").GetInt64() <= record.EventTime * 1000);
                }

                break;
        }
    }

    private static IEnumerable<(LabRecord Record, JsonElement Json)> Play(LabOptions options, TimeSpan time)
    {
        var generator = new LabGenerator(options);
        var buffer = new ArrayBufferWriter<byte>();
        while (generator.NextTime < options.Start + (long)time.TotalMilliseconds)
        {
            buffer.ResetWrittenCount();
            var record = generator.Next(buffer);
            Assert.Equal(buffer.WrittenCount, record.Bytes);
            using var document = JsonDocument.Parse(buffer.WrittenMemory);
            yield return (record, document.RootElement);
        }
    }

    private static byte[] Bytes(LabOptions options, int count)
    {
        var generator = new LabGenerator(options);
        var buffer = new ArrayBufferWriter<byte>();
        for (var i = 0; i < count; i++)
        {
            generator.Next(out _, buffer);
        }

        return buffer.WrittenSpan.ToArray();
    }
}
