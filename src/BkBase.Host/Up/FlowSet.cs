using System.Text.Json.Serialization;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>State of one source of a flow.</summary>
/// <param name="Records">Records not yet confirmed; null when not known.</param>
/// <param name="Seconds">Age of the oldest of them; null when not known.</param>
/// <param name="Waiting">What it waits for; null when all is well.</param>
/// <param name="Paused">Whether it reads nothing more because too much of it was refused (limits.rejected).</param>
internal sealed record SourceHealth(string Source, string Reads, long? Records, double? Seconds, string? Waiting, bool Paused);

/// <summary>State of one flow, or of a file that is none.</summary>
internal sealed record FlowHealth(string Flow, string File, FlowState State, string? Error, int Restarts, IReadOnlyList<SourceHealth> Sources)
{
    /// <summary>Whether it does what it should.</summary>
    [JsonIgnore]
    public bool IsWell => State is FlowState.Running or FlowState.Finished && !Sources.Any(s => s.Paused);
}

/// <summary>The flows of a folder: those that run, and the files that cannot.</summary>
internal sealed class FlowSet(IReadOnlyList<FlowRunner> runners, IReadOnlyList<FlowHealth> invalid) : IDisposable
{
    public IReadOnlyList<FlowRunner> Runners { get; } = runners;

    /// <summary>Reads the flows of a folder; a file with errors stands aside and does not hold back the others.</summary>
    public static (IReadOnlyList<FlowDefinition> Flows, IReadOnlyList<FlowHealth> Invalid, IReadOnlyList<Diagnostic> Diagnostics) Read(FlowCatalog catalog, string folder)
    {
        var diagnostics = new List<Diagnostic>();
        var files = FlowFiles.Find([folder], diagnostics);
        var readings = FlowFiles.ReadAll(catalog, files, diagnostics);
        diagnostics.Sort();
        var flows = new List<FlowDefinition>();
        var invalid = new List<FlowHealth>();
        for (var i = 0; i < files.Count; i++)
        {
            if (diagnostics.Find(d => d.File == files[i] && d.Severity == Severity.Error) is { File: not null } error)
            {
                invalid.Add(new FlowHealth(Path.GetFileNameWithoutExtension(files[i]), files[i], FlowState.Invalid, error.ToString(), 0, []));
            }
            else
            {
                flows.Add(readings[i].Flow!);
            }
        }

        return (flows, invalid, diagnostics);
    }

    public void Start()
    {
        foreach (var runner in Runners)
        {
            runner.Start();
        }
    }

    /// <summary>Drains all flows at the same time; names of those that were not done within the bound.</summary>
    public async Task<IReadOnlyList<string>> StopAsync(TimeSpan bound)
    {
        var done = await Task.WhenAll(Runners.Select(r => r.StopAsync(bound)));
        return [.. Runners.Where((_, i) => !done[i]).Select(r => r.Flow.Name)];
    }

    public long? LagOf(TopicReader reader) => Runners.FirstOrDefault(r => r.Flow.Name == reader.Flow)?.LagOf(reader.Source);

    public IReadOnlyList<FlowHealth> Health() => [.. Runners.Select(Of), .. invalid];

    public void Dispose()
    {
        foreach (var runner in Runners)
        {
            runner.Dispose();
        }
    }

    private static FlowHealth Of(FlowRunner runner)
    {
        var handle = runner.Handle;
        var lags = handle?.Lag();
        return new FlowHealth(runner.Flow.Name, runner.Flow.File, runner.State, runner.Error, runner.Restarts, [.. runner.Flow.Sources.Select(s =>
        {
            var lag = lags?.GetValueOrDefault(s.Name) ?? [];
            var paused = handle?.Nodes.FirstOrDefault(n => n.Node == s.Name)?.Trouble;
            return new SourceHealth(
                s.Name,
                s.Settings.Describe,
                lag.Count == 0 || lag.Any(p => p.Records < 0) ? null : lag.Sum(p => p.Records),
                lag.Count == 0 || lag.Any(p => p.Seconds < 0) ? null : lag.Max(p => p.Seconds),
                (handle?.Sources.GetValueOrDefault(s.Name) as ISourceStatus)?.Status ?? paused,
                paused is not null);
        })]);
    }
}
