using ClickHouse.Driver;

namespace BkBase.Store.Tests;

/// <summary>What analysts can and cannot do.</summary>
public sealed class AnalystTests(SharedStore store)
{
    [Fact]
    public async Task Reads_with_the_drivers_defaults()
    {
        using var client = TestStore.Client(store.Address, StoreOptions.AnalystUser);
        Assert.Equal("45", (await client.ExecuteScalarAsync("SELECT toString(sum(number)) FROM numbers(10)")).ToString());
        using var reader = await client.ExecuteReaderAsync("SHOW DATABASES");
        Assert.True(reader.Read());
    }

    [Theory]
    [InlineData("SELECT 1 INTO OUTFILE '{0}'")]
    [InlineData("SYSTEM FLUSH LOGS")]
    [InlineData("SYSTEM STOP MERGES")]
    [InlineData("KILL QUERY WHERE 1")]
    [InlineData("SELECT * FROM file('/etc/passwd', 'LineAsString')")]
    [InlineData("SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')")]
    [InlineData("CREATE DATABASE nothing")]
    [InlineData("CREATE TEMPORARY TABLE tt (a Int32)")]
    [InlineData("INSERT INTO FUNCTION file('{0}', 'TSV', 'a Int32') SELECT 1")]
    [InlineData("INSERT INTO t FORMAT TSV\n1\n")]
    [InlineData("SET max_threads = 100")]
    [InlineData("SELECT 1 SETTINGS readonly = 0")]
    [InlineData("SELECT 1 SETTINGS max_memory_usage = 0")]
    [InlineData("SELECT 1; DROP DATABASE default")]
    public async Task Writes_nothing_and_controls_nothing(string sql)
    {
        using var client = TestStore.Client(store.Address, StoreOptions.AnalystUser);
        var file = Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("N"));
        await Assert.ThrowsAsync<ClickHouseServerException>(() => client.ExecuteNonQueryAsync(sql.Replace("{0}", file, StringComparison.Ordinal)));
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task Is_held_to_the_limits_and_may_only_lower_them()
    {
        using var client = TestStore.Client(store.Address, StoreOptions.AnalystUser);
        var error = await Assert.ThrowsAsync<ClickHouseServerException>(() => client.ExecuteScalarAsync("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"));
        Assert.Equal(159, error.ErrorCode);
        Assert.Equal("1,2", await client.ExecuteScalarAsync(
            "SELECT concat(toString(getSetting('max_threads')), ',', toString(toUInt64(getSetting('max_execution_time'))))",
            null,
            new QueryOptions { CustomSettings = new Dictionary<string, object> { ["max_threads"] = 1, ["max_execution_time"] = 1000 } }));
        error = await Assert.ThrowsAsync<ClickHouseServerException>(async () =>
        {
            using var reader = await client.ExecuteReaderAsync("SELECT number FROM numbers(2000000)");
            while (reader.Read())
            {
            }
        });
        Assert.Equal(396, error.ErrorCode);
    }

    [Theory]
    [InlineData("path")]
    [InlineData("readonly")]
    [InlineData("allow_ddl")]
    public async Task Cannot_reach_other_options_through_settings(string name)
    {
        using var client = TestStore.Client(store.Address, StoreOptions.AnalystUser);
        var options = new QueryOptions { CustomSettings = new Dictionary<string, object> { [name] = "0" } };
        await Assert.ThrowsAsync<ClickHouseServerException>(() => client.ExecuteScalarAsync("SELECT 1", null, options));
    }
}
