using BkBase.Flows.Graph;
using Spectre.Console;

namespace BkBase.Host;

/// <summary>A live line on a terminal, a plain line every five seconds otherwise, until the flows end. On standard error.</summary>
internal static class Progress
{
    private const int PlainEvery = 5;

    /// <summary>Whether a live line is being shown just now.</summary>
    public static bool IsLive { get; private set; }

    public static async Task ShowAsync(IReadOnlyList<FlowHandle> flows, bool quiet)
    {
        var done = Task.WhenAll(flows.Select(f => f.Completion));
        var start = TimeProvider.System.GetTimestamp();
        var live = !quiet && !Console.IsErrorRedirected && AnsiConsole.Profile.Capabilities.Interactive;
        var said = new Dictionary<string, string>(StringComparer.Ordinal);
        IsLive = live;
        using var timer = new PeriodicTimer(live ? TimeSpan.FromMilliseconds(250) : TimeSpan.FromSeconds(1));
        for (var ticks = 1; !done.IsCompleted; ticks++)
        {
            var tick = timer.WaitForNextTickAsync().AsTask();
            if (await Task.WhenAny(done, tick) == done)
            {
                break;
            }

            Notices.SayChanges(flows, said);
            if (!quiet && (live || ticks % PlainEvery == 0))
            {
                await Console.Error.WriteAsync(live ? $"\r{Line(flows, start)}\u001b[K" : Line(flows, start) + "\n");
            }
        }

        IsLive = false;
        Notices.SayChanges(flows, said);
        if (!quiet)
        {
            await Console.Error.WriteAsync(live ? $"\r{Line(flows, start)}\u001b[K\n" : Line(flows, start) + "\n");
        }

        await done;
    }

    private static string Line(IReadOnlyList<FlowHandle> flows, long start)
    {
        var seconds = Math.Max(0.001, TimeProvider.System.GetElapsedTime(start).TotalSeconds);
        long records = 0, rows = 0, rejected = 0;
        foreach (var flow in flows)
        {
            var sources = flow.Flow.Sources.Count;
            for (var i = 0; i < flow.Nodes.Count; i++)
            {
                records += i < sources ? flow.Nodes[i].In : 0;
                rows += i < sources ? flow.Nodes[i].Out : 0;
                rejected += flow.Nodes[i].Rejected;
            }
        }

        return FormattableString.Invariant($"{seconds,7:0.0} s  {records:N0} records  {rows:N0} rows  {rejected:N0} rejected  {records / seconds:N0} records/s");
    }
}
