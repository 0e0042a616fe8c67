using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace BkBase.Flows.Runtime.Tests;

/// <summary>
/// A PostgreSQL server for tests: the one that BKBASE_POSTGRES names by its connection string, else one of Debian's
/// package, started in a folder of its own (.ci/run installs the package).
/// </summary>
public sealed class PostgresFixture : IAsyncLifetime
{
    private string? _folder;
    private string? _missing;
    private string _connection = "";

    /// <summary>Npgsql's connection string. Skips the test where there is no server; CI has one.</summary>
    public string Connection
    {
        get
        {
            Assert.SkipWhen(_missing is not null, _missing ?? "");
            return _connection;
        }
    }

    public async ValueTask InitializeAsync()
    {
        if (Environment.GetEnvironmentVariable("BKBASE_POSTGRES") is { Length: > 0 } given)
        {
            _connection = given;
            return;
        }

        var bin = Directory.Exists("/usr/lib/postgresql")
            ? Directory.EnumerateDirectories("/usr/lib/postgresql").Select(d => Path.Combine(d, "bin")).Where(d => File.Exists(Path.Combine(d, "initdb"))).Order(StringComparer.Ordinal).LastOrDefault()
            : null;
        if (bin is null)
        {
            _missing = "no PostgreSQL server: install Debian's package 'postgresql', or name a server in BKBASE_POSTGRES";
            Assert.True(Environment.GetEnvironmentVariable("CI") is null, _missing);
            return;
        }

        _folder = Directory.CreateTempSubdirectory("bkbase-postgres-").FullName;
        var port = FreePort();
        var asRoot = Environment.UserName == "root";
        if (asRoot)
        {
            // The server refuses to run as root.
            await RunAsync("chown", "postgres", _folder);
        }

        await AsServerAsync(asRoot, $"{bin}/initdb -D {_folder}/data -U bkbase -A trust --no-sync > {_folder}/initdb.log 2>&1");
        await AsServerAsync(asRoot, string.Create(CultureInfo.InvariantCulture, $"{bin}/pg_ctl -D {_folder}/data -w -o '-p {port} -k {_folder} -c listen_addresses=127.0.0.1 -c fsync=off' -l {_folder}/log start > /dev/null"));
        _stop = () => AsServerAsync(asRoot, $"{bin}/pg_ctl -D {_folder}/data -m immediate stop > /dev/null");
        _connection = new NpgsqlConnectionStringBuilder { Host = "127.0.0.1", Port = port, Username = "bkbase", Database = "postgres" }.ConnectionString;
    }

    public async ValueTask DisposeAsync()
    {
        if (_folder is not null)
        {
            await _stop();
            Directory.Delete(_folder, recursive: true);
        }
    }

    private Func<Task> _stop = () => Task.CompletedTask;

    private static Task AsServerAsync(bool asRoot, string command) =>
        asRoot ? RunAsync("su", "postgres", "-s", "/bin/sh", "-c", command) : RunAsync("/bin/sh", "-c", command);

    private static async Task RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardError = true, WorkingDirectory = "/" })!;
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Assert.True(process.ExitCode == 0, $"{program} {string.Join(' ', arguments)}: {error}");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
