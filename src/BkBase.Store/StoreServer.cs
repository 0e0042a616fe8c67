using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;
using BkBase.Store.Engine;
using BkBase.Store.Http;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace BkBase.Store;

/// <summary>The store: the embedded engine behind ClickHouse's HTTP interface on loopback. One per process.</summary>
public static class StoreServer
{
    /// <summary>What the line on the output starts with once the store serves; the address follows.</summary>
    public const string ReadyPrefix = "store ready ";

    /// <summary>Serves until SIGTERM, Ctrl-C, cancellation or the end of the parent. Returns the exit code.</summary>
    public static async Task<int> RunAsync(StoreOptions options, TextWriter output, TextWriter error, CancellationToken cancellationToken)
    {
        if (LibraryLocator.Find() is not { } library)
        {
            await error.WriteLineAsync(LibraryLocator.Missing);
            return 1;
        }

        options = options with { DataDirectory = Path.GetFullPath(options.DataDirectory) };
        try
        {
            using var claim = StoreLock.TryTake(options.DataDirectory);
            if (claim is null)
            {
                await error.WriteLineAsync(InUse(options.DataDirectory));
                return 1;
            }

            claim.Announce("");
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var terminate = OnSignal(PosixSignal.SIGTERM, stop);
            // Ctrl-C reaches the whole process group: a store with an owner serves on while the owner drains.
            using var owned = new CancellationTokenSource();
            using var interrupt = OnSignal(PosixSignal.SIGINT, options.ParentPid is null ? stop : owned);
            ThreadPool.SetMinThreads(options.MaxConnections + options.MaxSessions + Environment.ProcessorCount, Environment.ProcessorCount);
            using var engine = new StoreEngine(options, library);
            await ServeAsync(options, engine, claim, output, stop);
            return 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or DllNotFoundException or BadImageFormatException or EngineException)
        {
            await error.WriteLineAsync($"the store could not be started: {e.Message}");
            return 1;
        }
    }

    private static async Task ServeAsync(StoreOptions options, StoreEngine engine, StoreLock claim, TextWriter output, CancellationTokenSource stop)
    {
        using var endpoint = new StoreEndpoint(engine, options, stop.Token);
        await using var application = Build(options);
        application.Run(endpoint.HandleAsync);
        await application.StartAsync(CancellationToken.None);
        var address = application.Services.GetRequiredService<Microsoft.AspNetCore.Hosting.Server.IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        claim.Announce(address);
        await output.WriteLineAsync(ReadyPrefix + address);
        await output.FlushAsync(CancellationToken.None);

        var parent = options.ParentPid is { } pid ? EndOfAsync(pid, stop.Token) : Task.Delay(Timeout.Infinite, stop.Token);
        await parent.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await stop.CancelAsync();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(15), options.Time);
        await application.StopAsync(patience.Token);
    }

    private static WebApplication Build(StoreOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Limits.MaxRequestLineSize = 1 << 20;
            kestrel.Limits.MaxRequestBufferSize = 4 << 20;
            kestrel.Limits.MaxConcurrentConnections = 1024;
            kestrel.Listen(IPAddress.Loopback, options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        return builder.Build();
    }

    private static string InUse(string directory) => StoreOwner.Read(directory) switch
    {
        { Address.Length: > 0 } owner => $"data directory '{directory}' is in use by process {owner.Pid} serving {owner.Address}; use that address or stop it",
        { } owner => $"data directory '{directory}' is in use by process {owner.Pid}, which is starting; wait for it or stop it",
        null => $"data directory '{directory}' is in use by another process; stop it",
    };

    private static PosixSignalRegistration OnSignal(PosixSignal signal, CancellationTokenSource stop) =>
        PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = true;
            stop.Cancel();
        });

    private static async Task EndOfAsync(int pid, CancellationToken cancellationToken)
    {
        try
        {
            using var process = Process.GetProcessById(pid);
            await process.WaitForExitAsync(cancellationToken);
        }
        catch (ArgumentException)
        {
            // It is gone already.
        }
    }

    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
