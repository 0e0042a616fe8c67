using System.Text.Json;
using System.Text.Json.Serialization;
using BkBase.Flows.Connectors.ClickHouse;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;
using Confluent.Kafka;

namespace BkBase.Host.Bench;

/// <summary>
/// What one would write first: an array per message, System.Text.Json into objects by generated code, rows as arrays of
/// objects, the driver's binary insert. The yardstick of the whole pipeline; kept correct and reasonably set, not slowed.
/// </summary>
internal sealed class NaivePipeline(string bootstrap, ClickHouseOptions store, PositionBoard? board)
{
    private const int RowsPerInsert = 100_000;
    private static readonly HashSet<string> Promoted = new(StringComparer.Ordinal) { "bcs_cluster_id", "namespace", "pod" };
    private static readonly string[] Columns = ["time", "metric", "target", "bcs_cluster_id", "namespace", "pod", "dimensions", "value"];
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Takes so many messages into a table that exists; returns how many there were.</summary>
    public async Task<long> RunAsync(string topic, string table, long records, CancellationToken stop)
    {
        using var client = new ClickHouseClient(new ClickHouseClientSettings { Host = store.Host, Port = store.Port, Protocol = store.Protocol, Username = store.User, Password = store.Password, Database = store.Database });
        var config = new ConsumerConfig { BootstrapServers = bootstrap, GroupId = "naive", EnableAutoCommit = false, AutoOffsetReset = AutoOffsetReset.Earliest };
        config.Set("fetch.queue.backoff.ms", "5");
        using var consumer = new ConsumerBuilder<Ignore, byte[]>(config).SetLogHandler((_, _) => { }).Build();
        using var admin = new DependentAdminClientBuilder(consumer.Handle).Build();
        var partitions = admin.GetMetadata(topic, Patience).Topics[0].Partitions;
        consumer.Assign(partitions.Select(p => new TopicPartitionOffset(topic, p.PartitionId, Offset.Beginning)));
        var rows = new List<object[]>(RowsPerInsert);
        var read = 0L;
        while (read < records && consumer.Consume(Patience) is { } message)
        {
            read++;
            if (board is not null)
            {
                board[message.Partition.Value] = message.Offset.Value + 1;
            }

            Flatten(JsonSerializer.Deserialize(message.Message.Value, NaiveJson.Default.NaiveMessage)!, rows);
            if (rows.Count >= RowsPerInsert)
            {
                await InsertAsync(client, table, rows, stop);
                consumer.Commit();
            }
        }

        await InsertAsync(client, table, rows, stop);
        return read;
    }

    private static void Flatten(NaiveMessage message, List<object[]> rows)
    {
        foreach (var item in message.Data)
        {
            var time = DateTimeOffset.FromUnixTimeMilliseconds(item.Timestamp).UtcDateTime;
            var rest = item.Dimension.Where(d => !Promoted.Contains(d.Key)).ToDictionary(d => d.Key, d => d.Value, StringComparer.Ordinal);
            foreach (var metric in item.Metrics)
            {
                rows.Add(
                [
                    time, metric.Key, item.Target,
                    item.Dimension.GetValueOrDefault("bcs_cluster_id", ""), item.Dimension.GetValueOrDefault("namespace", ""), item.Dimension.GetValueOrDefault("pod", ""),
                    rest, metric.Value,
                ]);
            }
        }
    }

    private static async Task InsertAsync(ClickHouseClient client, string table, List<object[]> rows, CancellationToken stop)
    {
        if (rows.Count > 0)
        {
            await client.InsertBinaryAsync($"`{table}`", Columns, rows, cancellationToken: stop);
            rows.Clear();
        }
    }
}

/// <summary>A message of standard metrics.</summary>
internal sealed record NaiveMessage
{
    [JsonPropertyName("data")]
    public List<NaiveItem> Data { get; set; } = [];
}

/// <summary>One item of it.</summary>
internal sealed record NaiveItem
{
    [JsonPropertyName("metrics")]
    public Dictionary<string, double> Metrics { get; set; } = [];

    [JsonPropertyName("target")]
    public string Target { get; set; } = "";

    [JsonPropertyName("dimension")]
    public Dictionary<string, string> Dimension { get; set; } = [];

    [JsonPropertyName("timestamp")]
    public long Timestamp { get; set; }
}

[JsonSerializable(typeof(NaiveMessage))]
internal sealed partial class NaiveJson : JsonSerializerContext;
