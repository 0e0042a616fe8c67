using Akka;
using Akka.Streams;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>Settings of a sink that writes a Kafka topic.</summary>
/// <param name="Topic">The topic, which must exist.</param>
/// <param name="Key">Column whose value is the record's key; null for records without key.</param>
public sealed record KafkaSinkSettings(KafkaConnector Connector, string Topic, Located? Key) : ISinkSettings
{
    public string Describe => $"topic {Topic}";

    public void Resolve(Schema input, DiagnosticBag diagnostics)
    {
        if (Key is not { } key)
        {
            return;
        }

        var at = input.IndexOf(key.Text);
        if (at < 0)
        {
            var names = input.Fields.Select(f => f.Name).ToList();
            diagnostics.Error(key.At, DiagnosticCodes.UnknownColumn, $"no column '{key.Text}' to take keys from; columns are {string.Join(", ", names)}.{Suggestion.For(key.Text, names)}");
        }
        else if (input[at].Type is ColumnType.Map or ColumnType.Json or ColumnType.Float64)
        {
            diagnostics.Error(key.At, DiagnosticCodes.WrongType, $"column '{key.Text}' is a {input[at].Type.ToString().ToLowerInvariant()}; a key is a string, a whole number, a time or a bool");
        }
    }

    public ISink Create() => new KafkaSink(this);

    internal static CatalogEntry<ISinkSettings> Entry(KafkaConnector connector) => new(
        "kafka",
        "Writes each row as a JSON object to a Kafka topic; after a crash some rows may come twice, none is missing.",
        """
        type: kafka
        topic: pod_errors
        key: pod
        """,
        [
            new Key("topic", KeyKind.Text, "The topic; must exist", Required: true),
            new Key("key", KeyKind.Text, "Column whose value is the key of the record: rows of one key keep their order; none by default"),
        ],
        section => new KafkaSinkSettings(connector, KafkaConnector.TopicOf(section), section.Located("key")));
}

/// <summary>Sends rows as JSON objects; confirms what all in-sync replicas have.</summary>
internal sealed class KafkaSink(KafkaSinkSettings settings) : IRefusingSink
{
    public IGraph<FanOutShape<StreamElement, Confirmation, StreamElement>, NotUsed> CreateRefusing(SinkContext context) =>
        new KafkaSinkStage(settings, context);
}
