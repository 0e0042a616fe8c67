using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Operators;

namespace BkBase.Host;

/// <summary>The explicit list of everything that a flow may name.</summary>
internal static class HostCatalog
{
    /// <summary>For reading and checking: opens nothing.</summary>
    public static FlowCatalog Offline() => Create(new ClickHouseConnector(new ClickHouseOptions(), TimeProvider.System), new LogConnector(null!), new FileConnector("."), new KafkaConnector(new KafkaOptions("localhost:9092"), TimeProvider.System));

    /// <summary>With the connectors of a running platform.</summary>
    public static FlowCatalog Create(ClickHouseConnector clickHouse, LogConnector log, FileConnector files, KafkaConnector kafka) => new(
        [files.Source, log.Source, kafka.Source],
        EtlCatalog.All,
        OperatorCatalog.All(new LookupLoader(clickHouse), TimeProvider.System),
        [clickHouse.SinkEntry(), kafka.Sink, files.Sink]);
}
