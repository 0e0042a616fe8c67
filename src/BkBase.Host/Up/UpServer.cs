using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using BkBase.Flows.Telemetry;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;

namespace BkBase.Host;

/// <summary>The HTTP side of <c>up</c>: <c>POST /ingest/{topic}</c>, <c>GET /metrics</c>, <c>GET /health</c>.</summary>
internal sealed class UpServer : IAsyncDisposable
{
    /// <summary>Form of all answers.</summary>
    public static JsonSerializerOptions Json { get; } = new(JsonSerializerDefaults.Web)
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    private readonly WebApplication _application;

    private UpServer(WebApplication application) =>
        (_application, Address) = (application, application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

    /// <summary>Where it listens.</summary>
    public string Address { get; }

    /// <summary>Binds the port and answers.</summary>
    /// <exception cref="InvalidSettingException">The address cannot be bound; the message says why.</exception>
    public static async Task<UpServer> StartAsync(HttpOptions options, Ingest ingest, Func<UpHealth> health)
    {
        var application = Build(options);
        application.Use(Gate(options));
        application.UseOpenTelemetryPrometheusScrapingEndpoint("/metrics");
        application.MapGet("/health", (RequestDelegate)(context => HealthAsync(context, health())));
        application.MapPost("/ingest/{topic}", (RequestDelegate)(context => IngestAsync(context, ingest)));
        application.MapFallback((RequestDelegate)(context => AnswerAsync(context, IngestAnswer.Error(404, $"there is no {context.Request.Method} {context.Request.Path}; there are POST /ingest/TOPIC, GET /metrics and GET /health"))));
        try
        {
            await application.StartAsync(CancellationToken.None);
            return new UpServer(application);
        }
        catch (Exception e) when (e is IOException or System.Net.Sockets.SocketException)
        {
            await application.DisposeAsync();
            throw new IOException(
                e.InnerException is AddressInUseException
                    ? $"port {options.Port} of {options.Listen} is in use: stop the program that listens there, or choose another port with --port (Http:Port; 0 takes any free one)"
                    : $"{options.Listen}:{options.Port} cannot be listened at (Http:Listen, Http:Port): {e.Message}",
                e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5), TimeProvider.System);
        await _application.StopAsync(patience.Token);
        await _application.DisposeAsync();
    }

    private static WebApplication Build(HttpOptions options)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton<IHostLifetime, NoLifetime>();
        builder.Services.AddRouting();
        builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .ConfigureResource(resource => resource.AddService("bkbase"))
            .AddMeter(FlowMetrics.MeterName, UpMetrics.MeterName, "System.Runtime")
            .AddView("bkbase.rows", new MetricStreamConfiguration { CardinalityLimit = 50_000 })
            .AddView("bkbase.flow.state", new MetricStreamConfiguration { CardinalityLimit = 20_000 })
            .AddPrometheusExporter());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = null; // Ingest bounds it, with a message
            kestrel.Limits.MaxConcurrentConnections = 1024;
            kestrel.Listen(options.Address, options.Port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        return builder.Build();
    }

    // With a token: whoever has it. Without: callers on this machine, but no web page that had its name resolved to it.
    private static Func<HttpContext, RequestDelegate, Task> Gate(HttpOptions options)
    {
        var token = options.Token is null ? null : SHA256.HashData(Encoding.UTF8.GetBytes("Bearer " + options.Token));
        return (context, next) =>
        {
            if (token is null)
            {
                var host = context.Request.Host.Host;
                return host is "localhost" || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address))
                    ? next(context)
                    : AnswerAsync(context, IngestAnswer.Error(421, $"'{host}' is not a name of this listener; use 127.0.0.1 or localhost"));
            }

            if (context.Request.Path == "/health"
                || CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(context.Request.Headers.Authorization.ToString())), token))
            {
                return next(context);
            }

            context.Response.Headers.WWWAuthenticate = "Bearer";
            return AnswerAsync(context, IngestAnswer.Error(401, "send the header 'Authorization: Bearer TOKEN' with the token of Http:Token"));
        };
    }

    private static Task HealthAsync(HttpContext context, UpHealth health) => AnswerAsync(context, new IngestAnswer(health.IsWell ? 200 : 503, health));

    private static async Task IngestAsync(HttpContext context, Ingest ingest)
    {
        var request = context.Request;
        try
        {
            await AnswerAsync(context, await ingest.TakeAsync(
                new IngestRequest((string)context.GetRouteValue("topic")!, request.ContentType, request.Headers.ContentEncoding, request.ContentLength, request.Body), context.RequestAborted));
        }
        catch (Microsoft.AspNetCore.Http.BadHttpRequestException e)
        {
            await AnswerAsync(context, IngestAnswer.Error(e.StatusCode, e.Message));
        }
        catch (Exception e) when (context.RequestAborted.IsCancellationRequested && e is OperationCanceledException or IOException)
        {
            // The caller is gone; it has no answer and posts again.
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            await AnswerAsync(context, IngestAnswer.Error(500, $"the records may not be stored, post them again: {e.GetType().Name}: {e.Message}"));
        }
    }

    private static Task AnswerAsync(HttpContext context, IngestAnswer answer)
    {
        context.Response.StatusCode = answer.Status;
        if (answer.RetryAfter is { } seconds)
        {
            context.Response.Headers.RetryAfter = FormattableString.Invariant($"{seconds}");
        }

        return context.Response.WriteAsJsonAsync(answer.Body, answer.Body.GetType(), Json);
    }

    // Signals belong to the verb.
    private sealed class NoLifetime : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

/// <summary>What <c>/health</c> says.</summary>
/// <param name="Status">well, or what is not.</param>
/// <param name="Store">What the store makes flows wait for; null when it answers.</param>
internal sealed record UpHealth(string Status, string? Store, IReadOnlyList<FlowHealth> Flows)
{
    /// <summary>Whether everything does what it should.</summary>
    [JsonIgnore]
    public bool IsWell => Status == "well";
}
