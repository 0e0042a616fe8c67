using System.Text.Json;
using Spectre.Console;

namespace BkBase.Host;

/// <summary>Shows the flows until told to end: a live table on a terminal, plain lines otherwise, JSON lines for machines.</summary>
internal sealed class UpProgress
{
    private readonly FlowSet _flows;
    private readonly bool _json;
    private readonly bool _live;
    private readonly Lock _lock = new();

    public UpProgress(FlowSet flows, bool json)
    {
        (_flows, _json) = (flows, json);
        _live = !json && !Console.IsErrorRedirected && !Console.IsOutputRedirected && AnsiConsole.Profile.Capabilities.Interactive;
        foreach (var runner in flows.Runners)
        {
            runner.Changed += (_, change) => Tell(change);
        }
    }

    /// <summary>Shows changes at once, and figures now and then.</summary>
    public async Task ShowAsync(CancellationToken stop)
    {
        if (_live)
        {
            await AnsiConsole.Live(Table()).StartAsync(async context =>
            {
                using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(500), TimeProvider.System);
                while (await TickAsync(timer, stop))
                {
                    context.UpdateTarget(Table());
                }
            });
            return;
        }

        using var slow = new PeriodicTimer(TimeSpan.FromSeconds(10), TimeProvider.System);
        while (await TickAsync(slow, stop))
        {
            foreach (var line in _flows.Runners.Select(Figures.Of))
            {
                Write(_json ? JsonSerializer.Serialize(new { @event = "progress", line.Flow, line.State, line.Records, line.Rows, line.Rejected, line.Lag }, UpServer.Json) : line.ToString());
            }
        }
    }

    /// <summary>One line, whatever the form.</summary>
    public void Say(string @event, string text, object? fields = null) =>
        Write(_json ? JsonSerializer.Serialize(new { @event, text, fields }, UpServer.Json) : text);

    private static async Task<bool> TickAsync(PeriodicTimer timer, CancellationToken stop)
    {
        try
        {
            return await timer.WaitForNextTickAsync(stop);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private void Tell(FlowChangedEventArgs change)
    {
        if (!_live)
        {
            Write(_json
                ? JsonSerializer.Serialize(new { @event = "flow", change.Flow, change.State, change.Message }, UpServer.Json)
                : $"flow {change.Flow}: {change.State.ToString().ToLowerInvariant()}{(change.Message is { } m ? ": " + m : "")}");
        }
    }

    private void Write(string line)
    {
        lock (_lock)
        {
            Console.Out.WriteLine(line);
        }
    }

    private Table Table()
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumns("flow", "state", "records", "rows", "rejected", "lag", "restarts", "last error");
        foreach (var runner in _flows.Runners)
        {
            var line = Figures.Of(runner);
            var color = line.State switch { FlowState.Running or FlowState.Finished => "green", FlowState.Failed => "red", _ => "yellow" };
            table.AddRow(
                Markup.Escape(line.Flow),
                $"[{color}]{line.State.ToString().ToLowerInvariant()}[/]",
                FormattableString.Invariant($"{line.Records:N0}"),
                FormattableString.Invariant($"{line.Rows:N0}"),
                FormattableString.Invariant($"{line.Rejected:N0}"),
                line.Lag is { } lag ? FormattableString.Invariant($"{lag:N0}") : "?",
                FormattableString.Invariant($"{runner.Restarts}"),
                Markup.Escape(runner.Error ?? ""));
        }

        return table;
    }

    /// <summary>Counters of a flow's present run.</summary>
    private sealed record Figures(string Flow, FlowState State, long Records, long Rows, long Rejected, long? Lag)
    {
        public static Figures Of(FlowRunner runner)
        {
            var nodes = runner.Handle?.Nodes ?? [];
            var sources = runner.Flow.Sources.Count;
            var lags = runner.Flow.Sources.Select(s => runner.LagOf(s.Name)).ToList();
            return new Figures(
                runner.Flow.Name,
                runner.State,
                nodes.Take(sources).Sum(n => n.In),
                nodes.Take(sources).Sum(n => n.Out),
                nodes.Sum(n => n.Rejected),
                lags.Contains(null) ? null : lags.Sum());
        }

        public override string ToString() => FormattableString.Invariant(
            $"{Flow,-24} {State.ToString().ToLowerInvariant(),-9} {Records:N0} records  {Rows:N0} rows  {Rejected:N0} rejected  lag {(Lag is { } lag ? lag.ToString("N0", System.Globalization.CultureInfo.InvariantCulture) : "?")}");
    }
}
