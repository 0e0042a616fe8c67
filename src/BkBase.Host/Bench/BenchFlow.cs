using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host.Bench;

/// <summary>The benchmark's flow: a Kafka topic of standard metrics into one metric table.</summary>
internal static class BenchFlow
{
    public const int Biz = 1;

    /// <summary>Reads the flow as a file of a user is read.</summary>
    public static FlowDefinition Read(FlowCatalog catalog, string topic, string table, string dimensions = "bcs_cluster_id, namespace, pod")
    {
        var reading = new FlowReader(catalog).Read("bench.yaml", Text(topic, table, dimensions));
        return reading.Flow ?? throw new InvalidOperationException(string.Join('\n', reading.Diagnostics));
    }

    public static string Text(string topic, string table, string dimensions = "bcs_cluster_id, namespace, pod") =>
        $$"""
        flow: {{table}}
        biz: {{Biz}}
        sources:
          - { name: metrics, type: kafka, topic: {{topic}}, start: head, etl: { type: bk_standard_v2_time_series, dimensions: [{{dimensions}}] } }
        sinks:
          - { type: clickhouse, from: metrics, table: {{table}}, ttl: 30d }

        """;

    /// <summary>The table that the flow's sink writes.</summary>
    public static TableSchema Table(FlowDefinition flow, ClickHouseConnector store) =>
        new(flow.Sinks[0].Schema, store.Options.Database, TableName(flow), ClickHouseConnector.TtlDefault);

    public static string TableName(FlowDefinition flow) => $"{Biz}_{flow.Name}";

    /// <summary>
    /// Runs the flow until so many records were read and all their rows are in the table, or until nothing has moved for a
    /// while: then records are lost, and the caller sees it from the count.
    /// </summary>
    public static async Task<long> RunAsync(Platform platform, FlowDefinition flow, long records, ISource? source = null)
    {
        var sources = new Dictionary<string, ISource>(StringComparer.Ordinal);
        if (source is not null)
        {
            sources.Add("metrics", source);
        }

        var handle = await platform.StartAsync(flow, sources, CancellationToken.None);
        await Watch.UntilAsync(() => handle.Nodes[0].In, records, handle.Completion);
        handle.Stop();
        await handle.Completion;
        return handle.Nodes[0].In;
    }
}

/// <summary>Waits for a count.</summary>
internal static class Watch
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Returns when the count has reached its target, has not moved for ten seconds, or the task has ended.</summary>
    public static async Task UntilAsync(Func<long> count, long target, Task end)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        var (last, since) = (0L, TimeProvider.System.GetTimestamp());
        while (count() is var now && now < target && !end.IsCompleted)
        {
            if (now != last)
            {
                (last, since) = (now, TimeProvider.System.GetTimestamp());
            }
            else if (TimeProvider.System.GetElapsedTime(since) > Patience)
            {
                return;
            }

            await timer.WaitForNextTickAsync();
        }
    }
}
