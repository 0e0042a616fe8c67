using System.Text;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;
using ClickHouse.Driver.ADO.Parameters;
using ClickHouse.Driver.Utility;

namespace BkBase.Store.Tests;

/// <summary>The ordinary operations of ClickHouse.Driver.</summary>
public sealed class DriverTests(SharedStore store)
{
    private const string Table =
        "CREATE TABLE t (time DateTime64(3, 'UTC'), host LowCardinality(String), dims Map(LowCardinality(String), String), value Float64) " +
        "ENGINE = MergeTree ORDER BY (host, time) SETTINGS non_replicated_deduplication_window = 100";

    private static readonly string[] Columns = ["time", "host", "dims", "value"];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Ping_scalar_ddl_and_types(bool compression)
    {
        using var client = await store.NewDatabaseAsync(compression);
        Assert.True(await client.PingAsync());
        await client.ExecuteNonQueryAsync(Table);
        Assert.Equal(0UL, await client.ExecuteScalarAsync("SELECT count() FROM t"));
        using var reader = await client.ExecuteReaderAsync(
            "SELECT 1::UInt8, -5::Int64, 1.5, 'x', toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC'), map('a', 1), [1, 2], (1, 'z'), null::Nullable(Int8), " +
            "toLowCardinality('lc'), toDecimal64(1.25, 2), toUUID('00000000-0000-0000-0000-000000000001'), '{\"a\":1}'::JSON");
        Assert.True(reader.Read());
        Assert.Equal((byte)1, reader.GetValue(0));
        Assert.Equal(-5L, reader.GetValue(1));
        Assert.Equal("x", reader.GetValue(3));
        Assert.Equal(new DateTime(2026, 1, 2, 3, 4, 5, 678), reader.GetDateTime(4));
        Assert.Equal(DBNull.Value, reader.GetValue(8));
        Assert.Equal("lc", reader.GetValue(9));
        Assert.False(reader.Read());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Parameters_in_the_address_and_in_the_form(bool form)
    {
        using var client = TestStore.Client(store.Address, change: s => new ClickHouseClientSettings(s) { UseFormDataParameters = form });
        var parameters = new ClickHouseParameterCollection();
        parameters.AddParameter("a", 42);
        parameters.AddParameter("s", "it's \"x\"\n\t\\");
        parameters.AddParameter("l", new[] { 1, 2, 3 });
        using var reader = await client.ExecuteReaderAsync("SELECT {a:Int32}, {s:String}, {l:Array(Int32)}", parameters);
        Assert.True(reader.Read());
        Assert.Equal(42, reader.GetValue(0));
        Assert.Equal("it's \"x\"\n\t\\", reader.GetValue(1));
        Assert.Equal([1, 2, 3], (int[])reader.GetValue(2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_reader_of_many_chunks_sees_every_row_once(bool compression)
    {
        using var client = await store.NewDatabaseAsync(compression);
        using var reader = await client.ExecuteReaderAsync("SELECT number, toString(number) AS s FROM numbers(500000)");
        var expected = 0UL;
        while (reader.Read())
        {
            Assert.Equal(expected++, reader.GetValue(0));
        }

        Assert.Equal(500_000UL, expected);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Binary_inserts_arrive_intact_with_the_drivers_own_compression(bool compression)
    {
        using var client = await store.NewDatabaseAsync(compression);
        await client.ExecuteNonQueryAsync(Table);
        Assert.Equal(50_000, await client.InsertBinaryAsync("t", Columns, Rows(50_000)));
        using var reader = await client.ExecuteReaderAsync("SELECT count(), sum(value), countIf(dims['k'] = 'a\\n;b') FROM t");
        Assert.True(reader.Read());
        Assert.Equal(50_000UL, reader.GetValue(0));
        Assert.Equal(49_999.0 * 25_000, reader.GetValue(1));
        Assert.Equal(50_000UL, reader.GetValue(2));
    }

    [Fact]
    public async Task Raw_streams_go_in()
    {
        using var client = await store.NewDatabaseAsync();
        await client.ExecuteNonQueryAsync("CREATE TABLE t (a UInt8, s String) ENGINE = MergeTree ORDER BY a");
        using var json = new MemoryStream("{\"a\":1,\"s\":\"x\"}\n{\"a\":2,\"s\":\"y\"}\n"u8.ToArray());
        using (await client.InsertRawStreamAsync("t", json, "JSONEachRow", ["a", "s"], useCompression: true))
        {
        }

        using var native = new MemoryStream([2, 1, 1, (byte)'a', 5, .. "UInt8"u8, 3, 1, (byte)'s', 6, .. "String"u8, 1, (byte)'z']);
        using (await client.InsertRawStreamAsync("t", native, "Native", ["a", "s"], useCompression: false))
        {
        }

        Assert.Equal("xyz", await client.ExecuteScalarAsync("SELECT arrayStringConcat(groupArray(s)) FROM (SELECT s FROM t ORDER BY a)"));
    }

    [Fact]
    public async Task Values_with_semicolons_and_line_ends_go_in()
    {
        using var client = await store.NewDatabaseAsync();
        await client.ExecuteNonQueryAsync(Table);
        await client.ExecuteNonQueryAsync("INSERT INTO t (time, host, value) VALUES ('2026-01-01 00:00:00', 'a;b\nc', 1), ('2026-01-01 00:00:01', 'x''y', 2)");
        Assert.Equal("a;b\nc|x'y", await client.ExecuteScalarAsync("SELECT arrayStringConcat(groupArray(host), '|') FROM (SELECT host FROM t ORDER BY time)"));
    }

    [Fact]
    public async Task A_repeated_token_inserts_once()
    {
        using var client = await store.NewDatabaseAsync();
        await client.ExecuteNonQueryAsync(Table);
        var options = new InsertOptions { CustomSettings = new Dictionary<string, object> { ["insert_deduplication_token"] = "one" } };
        await client.InsertBinaryAsync("t", Columns, Rows(10), options);
        await client.InsertBinaryAsync("t", Columns, Rows(10), options);
        Assert.Equal(10UL, await client.ExecuteScalarAsync("SELECT count() FROM t"));
    }

    [Fact]
    public async Task Settings_last_for_one_statement()
    {
        using var client = TestStore.Client(store.Address);
        const string Sql = "SELECT toString(getSetting('max_memory_usage'))";
        var before = await client.ExecuteScalarAsync(Sql);
        Assert.Equal("123456789", await client.ExecuteScalarAsync(Sql, null, new QueryOptions { CustomSettings = new Dictionary<string, object> { ["max_memory_usage"] = 123456789 } }));
        Assert.Equal(before, await client.ExecuteScalarAsync(Sql));
        await client.ExecuteNonQueryAsync("SET max_memory_usage = 987654321");
        Assert.Equal(before, await client.ExecuteScalarAsync(Sql));
    }

    [Fact]
    public async Task A_session_keeps_its_temporary_table_even_after_an_error()
    {
        using var client = TestStore.Client(store.Address, change: s => new ClickHouseClientSettings(s) { UseSession = true, SessionId = "s1" });
        await client.ExecuteNonQueryAsync("CREATE TEMPORARY TABLE tt (a Int32)");
        await client.ExecuteNonQueryAsync("INSERT INTO tt VALUES (1), (2)");
        await Assert.ThrowsAnyAsync<Exception>(() => client.ExecuteScalarAsync("SELECT throwIf(number = 10) FROM numbers(20)"));
        Assert.Equal(3L, await client.ExecuteScalarAsync("SELECT sum(a) FROM tt"));
    }

    [Theory]
    [InlineData("selec t from", 62)]
    [InlineData("SELECT * FROM nope", 60)]
    [InlineData("SELECT nope", 47)]
    [InlineData("SELECT 1; SELECT 2", 62)]
    public async Task Errors_carry_the_servers_code(string sql, int code)
    {
        using var client = TestStore.Client(store.Address);
        Assert.Equal(code, (await Assert.ThrowsAsync<ClickHouseServerException>(() => client.ExecuteScalarAsync(sql))).ErrorCode);
    }

    [Fact]
    public async Task A_long_statement_is_ended()
    {
        using var client = TestStore.Client(store.Address);
        var options = new QueryOptions { MaxExecutionTime = TimeSpan.FromSeconds(1) };
        var error = await Assert.ThrowsAsync<ClickHouseServerException>(() => client.ExecuteScalarAsync(Endless("limit"), null, options));
        Assert.Equal(159, error.ErrorCode);
    }

    [Fact]
    public async Task A_cancelled_statement_is_killed()
    {
        using var client = TestStore.Client(store.Address);
        using var cancel = new CancellationTokenSource();
        var running = client.ExecuteScalarAsync(Endless("cancelled"), null, null, cancel.Token);
        await TestStore.UntilAsync(async () => await RunningAsync(client, "cancelled") == 1);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        await TestStore.UntilAsync(async () => await RunningAsync(client, "cancelled") == 0);
    }

    [Fact]
    public async Task An_abandoned_reader_ends_its_statement()
    {
        using var client = TestStore.Client(store.Address);
        using (var reader = await client.ExecuteReaderAsync("SELECT number /* abandoned */ FROM numbers(100000000000)"))
        {
            Assert.True(reader.Read());
        }

        await TestStore.UntilAsync(async () => await RunningAsync(client, "abandoned") == 0);
    }

    [Fact]
    public async Task A_failed_query_leaves_nothing_to_the_next()
    {
        using var client = TestStore.Client(store.Address);
        for (var i = 0; i < 20; i++)
        {
            var error = await Assert.ThrowsAsync<ClickHouseServerException>(async () =>
            {
                using var reader = await client.ExecuteReaderAsync("SELECT throwIf(number = 1500000), number FROM numbers(2000000)");
                while (reader.Read())
                {
                }
            });
            Assert.Equal(395, error.ErrorCode);
            Assert.Equal((byte)7, await client.ExecuteScalarAsync("SELECT 7"));
        }
    }

    [Fact]
    public async Task Many_callers_get_their_own_answers()
    {
        using var client = TestStore.Client(store.Address);
        await Parallel.ForAsync(0, 100, new ParallelOptions { MaxDegreeOfParallelism = 32 }, async (i, token) =>
            Assert.Equal(4999950000UL + (ulong)i, Convert.ToUInt64(await client.ExecuteScalarAsync($"SELECT sum(number) + {i} FROM numbers(100000)", null, null, token))));
    }

    internal static IEnumerable<object[]> Rows(int count)
    {
        for (var i = 0; i < count; i++)
        {
            yield return [DateTime.UnixEpoch.AddSeconds(i), "host-" + (i % 50), new Dictionary<string, string> { ["k"] = "a\n;b", ["n"] = new StringBuilder().Append(i).ToString() }, (double)i];
        }
    }

    private static string Endless(string mark) => $"SELECT sum(sipHash64(number)) /* {mark} */ FROM numbers(1000000000000)";

    private static async Task<int> RunningAsync(ClickHouseClient client, string mark) =>
        Convert.ToInt32(await client.ExecuteScalarAsync($"SELECT count() FROM system.processes WHERE query LIKE '%/* {mark} */%' AND query NOT LIKE '%system.processes%' AND NOT is_cancelled"));
}
