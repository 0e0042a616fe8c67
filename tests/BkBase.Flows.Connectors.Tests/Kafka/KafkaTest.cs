using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Tests.Files;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>Brokers for one test.</summary>
public abstract class KafkaTest : StreamTest
{
    protected TestKafka Kafka { get; } = new();

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Kafka.Dispose();
        GC.SuppressFinalize(this);
    }

    protected KafkaConnector Connector(Func<KafkaOptions, KafkaOptions>? with = null, Func<KafkaOptions, ITopicAdmin>? admin = null)
    {
        var options = new KafkaOptions(Kafka.Bootstrap) { Refresh = TimeSpan.FromMilliseconds(300) };
        options = with?.Invoke(options) ?? options;
        return new KafkaConnector(options, TimeProvider.System, admin is null ? null : () => admin(options));
    }

    protected static KafkaOptions Setting(KafkaOptions options, params ReadOnlySpan<(string Name, string Value)> settings)
    {
        var all = options.Settings.ToDictionary(StringComparer.Ordinal);
        foreach (var (name, value) in settings)
        {
            all[name] = value;
        }

        return options with { Settings = all };
    }
}
