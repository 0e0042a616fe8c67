using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Store;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

/// <summary>A store for tests against the real engine: the server that BKBASE_CLICKHOUSE=http://host:port names, else the embedded store.</summary>
public sealed class ClickHouseFixture : IAsyncLifetime
{
    private StoreProcess? _store;
    private string? _directory;
    private string _missing = "";
    private Uri? _address;

    public async ValueTask InitializeAsync()
    {
        if (Environment.GetEnvironmentVariable("BKBASE_CLICKHOUSE") is { Length: > 0 } given)
        {
            _address = new Uri(given);
            return;
        }

        _directory = Directory.CreateTempSubdirectory("bkbase-connector-").FullName;
        try
        {
            _store = await StoreProcess.StartAsync(
                new StoreOptions(_directory) { MaxServerMemoryBytes = 2L << 30 },
                ["dotnet", typeof(ClickHouseFixture).Assembly.Location, "store"],
                TimeProvider.System,
                TestContext.Current.CancellationToken);
            _address = new Uri(_store.Address);
        }
        catch (InvalidOperationException e) when (e.Message.Contains("libchdb", StringComparison.Ordinal))
        {
            _missing = e.Message;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        if (_directory is not null)
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    /// <summary>Address of the store.</summary>
    public Uri Address
    {
        get
        {
            Assert.SkipWhen(_address is null, $"no store: {_missing}");
            return _address!;
        }
    }

    public ClickHouseConnector Connect(string database)
    {
        Assert.SkipWhen(_address is null, $"no store: {_missing}");
        return new ClickHouseConnector(ClickHouseOptions.At(_address!) with { Database = database }, TimeProvider.System);
    }
}
