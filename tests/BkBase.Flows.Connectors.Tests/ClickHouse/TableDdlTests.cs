using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using YamlDotNet.RepresentationModel;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

public sealed class TableDdlTests
{
    [Fact]
    public void MetricTable()
    {
        var sql = TableDdl.CreateTable(new TableSchema(Rows.Metric, "bkbase", "2_cpu", TimeSpan.FromDays(30)), fsync: true);
        Assert.StartsWith("CREATE TABLE IF NOT EXISTS `bkbase`.`2_cpu`\n(\n    `time` DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),\n    `metric` LowCardinality(String) CODEC(ZSTD(1))", sql, StringComparison.Ordinal);
        Assert.Contains("ORDER BY (`metric`, `target`, `time`)\nTTL toDateTime(`time`) + INTERVAL 30 DAY\nSETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1", sql, StringComparison.Ordinal);
        Assert.Contains("'%Y-%m-%d %H:%i:%S', 'Asia/Shanghai'", sql, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("LowCardinality(String)", "String", true)]
    [InlineData("String", "LowCardinality(String)", true)]
    [InlineData("Nullable(Float64)", "Float64", true)]
    [InlineData("Float64", "Nullable(Float64)", false)]
    [InlineData("Int64", "Int32", true)]
    [InlineData("Int32", "Int64", false)]
    [InlineData("DateTime64(3,'UTC')", "DateTime64(3, 'UTC')", true)]
    public void Fits(string has, string wants, bool fits) => Assert.Equal(fits, TableManager.Fits(has, wants));

    [Fact]
    public void SinkEntryReadsItsExample()
    {
        using var connector = new ClickHouseConnector(new ClickHouseOptions(), TimeProvider.System);
        var entry = connector.SinkEntry();
        var yaml = new YamlStream();
        yaml.Load(new StringReader(entry.Example));
        var bag = new DiagnosticBag("f.yaml");
        var settings = entry.Read(new Section((YamlMappingNode)yaml.Documents[0].RootNode, [new Key("type", KeyKind.Name, "type"), .. entry.Keys], bag, "sink"));
        Assert.Empty(bag.Sorted());
        Assert.Equal("table pod_cpu_1m", settings.Describe);
    }
}
