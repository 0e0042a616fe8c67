using BkBase.Flows.Definition;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Tests.Operators;

public sealed class StatelessTests
{
    private static readonly Hosts Loader = new();

    [Fact]
    public void FilterKeepsTrueRowsAndCountsTheOthers()
    {
        var output = Run("filter", "where: n >= 0 and zone != ''", Batches.Three);
        var (port, batch) = Assert.Single(output.Batches);
        Assert.Equal(("", 1, 2L, Batches.Three.Lineage), (port, batch.Count, output.FilteredRows, batch.Lineage));
    }

    [Fact]
    public void FilterPassesTheSameBatchWhenAllRowsPass() =>
        Assert.Same(Batches.Three, Run("filter", "where: true", Batches.Three).Batches[0].Batch);

    [Fact]
    public void EveryNodeEmitsAnEmptyBatchForAnEmptyBatch()
    {
        var empty = Batches.Of(Batches.Schema);
        foreach (var (type, yaml) in new[] { ("filter", "where: ok"), ("derive", "columns: { a: n + 1 }"), ("merge", "{}"), ("enrich", Enrichment) })
        {
            var (_, batch) = Assert.Single(Run(type, yaml, empty).Batches);
            Assert.Equal((0, empty.Lineage), (batch.Count, batch.Lineage));
        }
    }

    [Fact]
    public void DeriveAddsReplacesAndDrops()
    {
        var batch = Run("derive", "columns: { n: n + 1, area: zone }\ndrop: [cpu, line]\ndimensions: [area]", Batches.Three).Batches[0].Batch;
        Assert.Equal(-1, batch.Schema.IndexOf("cpu"));
        Assert.Equal(8L, batch["n"].GetValue(0));
        Assert.Equal("", batch["area"].GetValue(1));
        Assert.Equal(FieldRole.Dimension, batch.Schema[batch.Schema.IndexOf("area")].Role);
    }

    [Fact]
    public void SplitSendsEachRowToOnePort()
    {
        var output = Run("split", "routes: { many: n > 5, set: n is not null }", Batches.Three);
        Assert.Equal(["many", "set", "rest"], output.Batches.Select(b => b.Port));
        Assert.Equal([1, 1, 1], output.Batches.Select(b => b.Batch.Count));
        Assert.All(output.Batches, b => Assert.Equal(Batches.Three.Lineage, b.Batch.Lineage));
    }

    [Fact]
    public void MergeNamesTheColumnThatDiffers()
    {
        var bag = new DiagnosticBag("f.yaml");
        Assert.Null(new MergeSettings().Resolve([Batches.Schema, new Schema(Schema.Time)], bag));
        Assert.All(bag.Sorted(), d => Assert.Equal("BKF020", d.Code));
    }

    [Fact]
    public void EnrichAddsColumnsAndReloads()
    {
        var time = new FakeTimeProvider();
        var loader = new Hosts();
        var settings = EnrichSettings.Read(Section(Enrichment, EnrichSettings.Keys, new DiagnosticBag("f.yaml")), loader, time);
        var node = settings.Create([Batches.Schema]);
        var output = new RecordedOutput();
        node.OnBatch(Batches.Three, 0, output);
        Assert.Equal("ann", output.Batches[0].Batch["owner"].GetValue(0));
        Assert.Null(output.Batches[0].Batch["owner"].GetValue(2));
        loader.Owner = "bob";
        time.Advance(TimeSpan.FromMinutes(6));
        node.OnBatch(Batches.Three, 0, output);
        node.OnBatch(Batches.Three, 0, output);
        Assert.Equal("bob", output.Batches[2].Batch["owner"].GetValue(0));
    }

    [Fact]
    public void CatalogueEntriesAreDescribedAndTheirExamplesRead()
    {
        foreach (var entry in OperatorCatalog.All(Loader, TimeProvider.System))
        {
            Assert.Matches("^[a-z][a-z0-9_]*$", entry.Name);
            Assert.NotEmpty(entry.Description);
            Assert.StartsWith($"type: {entry.Name}\n", entry.Example, StringComparison.Ordinal);
            var bag = new DiagnosticBag("f.yaml");
            entry.Read(Section(entry.Example, [new Key("type", KeyKind.Name, "type"), .. entry.Keys], bag));
            Assert.Empty(bag.Sorted());
        }
    }

    private const string Enrichment = "table: { file: hosts.csv }\non: { host: name }\ncolumns: [owner]\nreload: 5m";

    private static RecordedOutput Run(string type, string yaml, RecordBatch batch)
    {
        var bag = new DiagnosticBag("f.yaml");
        var entry = OperatorCatalog.All(Loader, TimeProvider.System).Single(e => e.Name == type);
        var settings = entry.Read(Section(yaml, entry.Keys, bag));
        var schema = settings.Resolve([batch.Schema], bag);
        Assert.Empty(bag.Sorted());
        var output = new RecordedOutput();
        settings.Create([batch.Schema]).OnBatch(batch, 0, output);
        Assert.All(output.Batches, b => Assert.Equal(schema, b.Batch.Schema));
        return output;
    }

    private static Section Section(string yaml, IReadOnlyList<Key> keys, DiagnosticBag bag)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        return new Section((YamlMappingNode)stream.Documents[0].RootNode, keys, bag, "node 'x'");
    }

    private sealed class Hosts : ILookupLoader
    {
        public string Owner { get; set; } = "ann";

        public LookupTable Load(LookupSource source) => new(["name", "owner"], [["web-1", Owner]]);

        public Task<LookupTable> LoadAsync(LookupSource source, CancellationToken cancellation) => Task.FromResult(Load(source));
    }
}
