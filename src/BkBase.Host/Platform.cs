using Akka.Actor;
using Akka.Streams;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Kafka;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Runtime;
using BkBase.Flows.Runtime.Checkpoints;
using BkBase.Flows.Telemetry;
using BkBase.Store;

namespace BkBase.Host;

/// <summary>What a process needs to run flows: the store, the embedded log, Kafka, and the actor system.</summary>
internal sealed class Platform : IAsyncDisposable
{
    private readonly StoreProcess? _store;
    private readonly ActorSystem _system;
    private readonly KafkaConnector _kafka;
    private readonly EmbeddedLog? _log;

    private Platform(StoreProcess? store, ClickHouseConnector clickHouse, EmbeddedLog? log, KafkaConnector kafka, ICheckpointStore checkpoints)
    {
        _store = store;
        Checkpoints = checkpoints;
        _kafka = kafka;
        _log = log;
        ClickHouse = clickHouse;
        Catalog = HostCatalog.Create(clickHouse, new LogConnector(log!), Files, kafka);
        _system = ActorSystem.Create("bkbase", "akka.loglevel = WARNING\nakka.stdout-loglevel = OFF\nakka.coordinated-shutdown.run-by-clr-shutdown-hook = off");
        Materializer = _system.Materializer();
    }

    public ClickHouseConnector ClickHouse { get; }

    /// <summary>The embedded log, when it was asked for.</summary>
    public EmbeddedLog Log => _log ?? throw new InvalidOperationException("the embedded log is not open here");

    public FileConnector Files { get; } = new(".");

    /// <summary>Where each flow's records say how far its tables are.</summary>
    public ICheckpointStore Checkpoints { get; }

    public FlowCatalog Catalog { get; }

    public IMaterializer Materializer { get; }

    public FlowMetrics Metrics { get; } = new();

    /// <summary>Opens the store (a server when one is named, else the embedded engine as a child process) and the log.</summary>
    /// <param name="withLog">False for flows that do not read the log: one process at a time may have it open.</param>
    public static Task<Platform> OpenAsync(string directory, string? clickHouse, string kafka, CancellationToken stop, bool withLog = true) =>
        OpenAsync(new PlatformOptions(directory) { ClickHouse = clickHouse, Kafka = new KafkaOptions(kafka), WithLog = withLog }, stop);

    /// <summary>Opens the store (a server when one is named, else the embedded engine as a child process) and the log.</summary>
    public static async Task<Platform> OpenAsync(PlatformOptions settings, CancellationToken stop)
    {
        var (directory, clickHouse) = (settings.Directory, settings.ClickHouse);
        StoreProcess? store = null;
        ClickHouseOptions options;
        if (clickHouse is { Length: > 0 })
        {
            options = Address(clickHouse) with { Fsync = false };
        }
        else
        {
            store = await StoreProcess.AttachOrStartAsync(
                new StoreOptions(Path.GetFullPath(directory)) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
            options = ClickHouseOptions.At(new Uri(store.Address));
            store.Died += (_, died) => Notices.Say($"the store's process ended ({died.Reason}); it is started again, nothing is lost");
        }

        var address = $"{options.Host}:{options.Port}";
        options = options with
        {
            Retrying = retry =>
            {
                Notices.Retrying(address, retry);
                settings.Retrying?.Invoke(retry);
            },
        };

        EmbeddedLog? log = null;
        try
        {
            log = !settings.WithLog ? null : EmbeddedLog.Open(settings.Log(new EmbeddedLogOptions(Path.Combine(Path.GetFullPath(directory), "log"))), TimeProvider.System);
            return new Platform(store, new ClickHouseConnector(options, TimeProvider.System), log, new KafkaConnector(settings.Kafka, TimeProvider.System), new DirectoryCheckpointStore(Path.Combine(directory, "checkpoints")));
        }
        catch
        {
            if (store is not null)
            {
                await store.DisposeAsync();
            }

            throw;
        }
    }

    /// <summary>Connection settings of <c>http://user:password@host:port/database</c>.</summary>
    public static ClickHouseOptions Address(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https"))
        {
            throw new InvalidSettingException("--clickhouse is not of the form http://user:password@host:port/database; user, password and database may be left out");
        }

        var user = uri.UserInfo.Split(':', 2).Select(Uri.UnescapeDataString).ToArray();
        var at = ClickHouseOptions.At(uri);
        at = uri.AbsolutePath.Trim('/') is { Length: > 0 } database ? at with { Database = Uri.UnescapeDataString(database) } : at;
        return user[0].Length == 0 ? at : at with { User = user[0], Password = user.Length > 1 ? user[1] : "" };
    }

    /// <summary>Starts a flow, whose sources may be replaced, where its tables end.</summary>
    public Task<FlowHandle> StartAsync(FlowDefinition flow, IReadOnlyDictionary<string, ISource> sources, CancellationToken stop) =>
        new FlowLauncher(Checkpoints, new FlowReader(Catalog)) { Verify = new TableAudit(ClickHouse, TimeProvider.System).EnsureNotBehindAsync }.StartAsync(flow, new FlowEnvironment(TimeProvider.System, new DeadLetterSink(ClickHouse)) { Sources = sources }, Materializer, stop);

    public async ValueTask DisposeAsync()
    {
        await _system.Terminate();
        _kafka.Dispose();
        ClickHouse.Dispose();
        if (_log is not null)
        {
            await _log.DisposeAsync();
        }

        Metrics.Dispose();
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }
    }
}

/// <summary>How a <see cref="Platform"/> is opened.</summary>
/// <param name="Directory">Data directory.</param>
internal sealed record PlatformOptions(string Directory)
{
    /// <summary>Address of a ClickHouse server in place of the embedded store.</summary>
    public string? ClickHouse { get; init; }

    public KafkaOptions Kafka { get; init; } = new("localhost:9092");

    /// <summary>Changes to the embedded log's defaults.</summary>
    public Func<EmbeddedLogOptions, EmbeddedLogOptions> Log { get; init; } = log => log;

    /// <summary>False for flows that do not read the log: one process at a time may have it open.</summary>
    public bool WithLog { get; init; } = true;

    /// <summary>Told of each failure of the store that is tried again.</summary>
    public Action<ClickHouseRetry>? Retrying { get; init; }
}

/// <summary>A setting that cannot be used; the message says which and what would be right.</summary>
internal sealed class InvalidSettingException(string message) : Exception(message);

/// <summary>The command that runs another verb of this program in a child process.</summary>
internal static class SelfCommand
{
    public static string[] Of(string verb)
    {
        var program = Environment.ProcessPath ?? "dotnet";
        var assembly = Path.Combine(AppContext.BaseDirectory, "bkbase.dll");
        return Path.GetFileNameWithoutExtension(program) == "dotnet" || !File.Exists(Path.Combine(AppContext.BaseDirectory, "bkbase"))
            ? ["dotnet", assembly, verb]
            : [program, verb];
    }
}
