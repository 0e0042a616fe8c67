using BkBase.Flows.Connectors.ClickHouse;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

/// <summary>A store for tests against the real engine: the one that BKBASE_CLICKHOUSE=http://host:port names.</summary>
public sealed class ClickHouseFixture : IAsyncLifetime
{
    public Uri? Address { get; private set; }

    public async ValueTask InitializeAsync()
    {
        Address = Environment.GetEnvironmentVariable("BKBASE_CLICKHOUSE") is { Length: > 0 } given ? new Uri(given) : await StartStoreAsync();
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public ClickHouseConnector Connect(string database)
    {
        Assert.SkipWhen(Address is null, "no store: set BKBASE_CLICKHOUSE=http://host:port");
        return new ClickHouseConnector(ClickHouseOptions.At(Address!) with { Database = database }, TimeProvider.System);
    }

    // The one place to start the store as a child process and give its address.
    private static Task<Uri?> StartStoreAsync() => Task.FromResult<Uri?>(null);
}
