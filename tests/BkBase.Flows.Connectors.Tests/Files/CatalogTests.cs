using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Connectors.Tests.Files;

public sealed class CatalogTests : StreamTest
{
    [Fact]
    public async Task ExamplesReadClean()
    {
        await using var log = EmbeddedLog.Open(new EmbeddedLogOptions(Path.Combine(Folder, "log")), TimeProvider.System);
        using var kafka = new KafkaConnector(new KafkaOptions("localhost:1"), TimeProvider.System);
        foreach (var entry in (CatalogEntry<ISourceSettings>[])[new FileConnector(Folder).Source, new LogConnector(log).Source, kafka.Source])
        {
            var yaml = new YamlStream();
            yaml.Load(new StringReader(entry.Example));
            var bag = new DiagnosticBag("example");
            Key[] common = [new Key("name", KeyKind.Name, "name"), new Key("type", KeyKind.Text, "type")];
            var settings = entry.Read(new Section((YamlMappingNode)yaml.Documents[0].RootNode, [.. common, .. entry.Keys], bag, "source"));
            Assert.Empty(bag.Sorted());
            Assert.NotEmpty(settings.Describe);
            Assert.NotNull(settings.Create());
        }

        foreach (var entry in (CatalogEntry<ISinkSettings>[])[new FileConnector(Folder).Sink, kafka.Sink])
        {
            var yaml = new YamlStream();
            yaml.Load(new StringReader(entry.Example));
            var bag = new DiagnosticBag("example");
            var settings = entry.Read(new Section((YamlMappingNode)yaml.Documents[0].RootNode, [.. FlowReader.SinkKeys, .. entry.Keys], bag, "sink"));
            Assert.Empty(bag.Sorted());
            Assert.NotEmpty(settings.Describe);
            Assert.NotNull(settings.Create());
        }
    }
}
