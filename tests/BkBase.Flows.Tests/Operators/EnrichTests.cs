using BkBase.Flows.Definition;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Tests.Operators;

public sealed class EnrichTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly Table _table = new();

    [Fact]
    public void A_key_that_is_not_there_gives_null_and_a_dimension_of_it_is_empty()
    {
        var batch = Run(Create("columns: [owner]"), Batches.Three).Batches[0].Batch;
        Assert.Equal(["ann", null, null], Enumerable.Range(0, 3).Select(i => batch["owner"].GetValue(i)));
        var bag = new DiagnosticBag("f.yaml");
        var derive = DeriveSettings.Entry.Read(Section("columns: { owner: owner }\ndimensions: [owner]", DeriveSettings.Keys, bag));
        var schema = derive.Resolve([batch.Schema], bag);
        Assert.Empty(bag.Sorted());
        Assert.Equal(FieldRole.Dimension, schema![schema.IndexOf("owner")].Role);
        var output = new RecordedOutput();
        derive.Create([batch.Schema]).OnBatch(batch, 0, output);
        Assert.Equal(["ann", "", ""], Enumerable.Range(0, 3).Select(i => output.Batches[0].Batch["owner"].GetValue(i)));
    }

    [Theory]
    [InlineData("columns: [ownr]", "f.yaml:4:11: error BKF014: the table has no column 'ownr'; it has name, owner. Did you mean 'owner'?")]
    [InlineData("columns: [owner]\non: { host: nam }", "f.yaml:5:13: error BKF014: the table has no column 'nam'; it has name, owner. Did you mean 'name'?")]
    public void A_column_that_the_table_lacks_is_found_while_the_flow_is_checked(string keys, string expected)
    {
        var bag = new DiagnosticBag("f.yaml");
        var text = "table: { file: hosts.csv }\n" + (keys.Contains("on:", StringComparison.Ordinal) ? "\n\n" : "on: { host: name }\n\n") + keys;
        Assert.Null(EnrichSettings.Read(Section(text, EnrichSettings.Keys, bag), _table, _time).Resolve([Batches.Schema], bag));
        Assert.Equal(expected, Assert.Single(bag.Sorted()).ToString());
    }

    [Fact]
    public void A_table_that_cannot_be_read_is_found_while_the_flow_is_checked()
    {
        _table.Failure = new FileNotFoundException("no file 'hosts.csv'");
        var bag = new DiagnosticBag("f.yaml");
        Assert.Null(EnrichSettings.Read(Section(Text, EnrichSettings.Keys, bag), _table, _time).Resolve([Batches.Schema], bag));
        Assert.Equal("f.yaml:1:8: error BKF023: the table cannot be read: no file 'hosts.csv'", Assert.Single(bag.Sorted()).ToString());
    }

    [Fact]
    public void The_file_stands_beside_the_flow()
    {
        var bag = new DiagnosticBag(Path.Combine("flows", "mine", "f.yaml"));
        EnrichSettings.Read(Section(Text, EnrichSettings.Keys, bag), _table, _time).Resolve([Batches.Schema], bag);
        Assert.Equal(Path.Combine("flows", "mine", "hosts.csv"), _table.Asked!.File);
    }

    [Fact]
    public void A_reload_that_fails_keeps_the_table_is_counted_and_said_and_the_next_one_heals()
    {
        var node = Create("columns: [owner]");
        var output = Run(node, Batches.Three);
        _table.Failure = new IOException("disk gone");
        Reload(node, output);
        Assert.Equal("ann", output.Batches[^1].Batch["owner"].GetValue(0));
        Assert.Equal(["the table was not read again, the one from before stays: disk gone"], output.Troubles);
        _table.Failure = null;
        _table.Owner = "bob";
        Reload(node, output);
        Assert.Equal("bob", output.Batches[^1].Batch["owner"].GetValue(0));
        Assert.Null(output.Troubles[^1]);
    }

    [Fact]
    public void The_clock_of_the_catalogue_tells_when_to_reload()
    {
        var entry = OperatorCatalog.All(_table, _time).Single(e => e.Name == "enrich");
        var node = entry.Read(Section(Text, entry.Keys, new DiagnosticBag("f.yaml"))).Create([Batches.Schema]);
        var output = Run(node, Batches.Three);
        _table.Owner = "bob";
        node.OnBatch(Batches.Three, 0, output);
        node.OnBatch(Batches.Three, 0, output);
        Assert.Equal("ann", output.Batches[^1].Batch["owner"].GetValue(0));
        Reload(node, output);
        Assert.Equal("bob", output.Batches[^1].Batch["owner"].GetValue(0));
    }

    private const string Text = "table: { file: hosts.csv }\non: { host: name }\ncolumns: [owner]\nreload: 5m";

    private void Reload(IOperator node, RecordedOutput output)
    {
        // The first batch behind the time starts the reload, which ends at once here; the second one sees it.
        _time.Advance(TimeSpan.FromMinutes(6));
        node.OnBatch(Batches.Three, 0, output);
        node.OnBatch(Batches.Three, 0, output);
    }

    private IOperator Create(string keys) => EnrichSettings
        .Read(Section("table: { file: hosts.csv }\non: { host: name }\nreload: 5m\n" + keys, EnrichSettings.Keys, new DiagnosticBag("f.yaml")), _table, _time)
        .Create([Batches.Schema]);

    private static RecordedOutput Run(IOperator node, RecordBatch batch)
    {
        var output = new RecordedOutput();
        node.OnBatch(batch, 0, output);
        return output;
    }

    private static Section Section(string yaml, IReadOnlyList<Key> keys, DiagnosticBag bag)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        return new Section((YamlMappingNode)stream.Documents[0].RootNode, keys, bag, "node 'x'");
    }

    private sealed class Table : ILookupLoader
    {
        public string Owner { get; set; } = "ann";

        public Exception? Failure { get; set; }

        public LookupSource? Asked { get; private set; }

        public LookupTable Load(LookupSource source)
        {
            Asked = source;
            return Failure is null ? new(["name", "owner"], [["web-1", Owner]]) : throw Failure;
        }

        public Task<LookupTable> LoadAsync(LookupSource source, CancellationToken cancellation) =>
            Failure is null ? Task.FromResult(Load(source)) : Task.FromException<LookupTable>(Failure);
    }
}
