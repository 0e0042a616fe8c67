using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary>What people should know while a flow runs: lines on standard error, said once, never one per row.</summary>
internal static class Notices
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);
    private static readonly Lock Gate = new();
    private static long _said;

    /// <summary>Writes one line; clears the live progress line first.</summary>
    public static void Say(string text) => Console.Error.WriteLine($"{(Progress.IsLive ? "\r\u001b[K" : "")}bkbase: {text}");

    /// <summary>The store failed and is tried again: the first failure is said, then one every ten seconds.</summary>
    public static void Retrying(string store, ClickHouseRetry retry)
    {
        lock (Gate)
        {
            if (_said != 0 && TimeProvider.System.GetElapsedTime(_said) < Pause)
            {
                return;
            }

            _said = TimeProvider.System.GetTimestamp();
        }

        Say($"the store at {store} does not take this now ({retry.What}): {retry.Message}; trying again until it does, Ctrl-C ends");
    }

    /// <summary>Says what sources wait for and what hinders nodes, when that changes.</summary>
    public static void SayChanges(IEnumerable<FlowHandle> flows, Dictionary<string, string> said)
    {
        foreach (var flow in flows)
        {
            var troubles = flow.Sources.Select(s => (Name: s.Key, Text: (s.Value as ISourceStatus)?.Status))
                .Concat(flow.Nodes.Select(n => (Name: n.Node + " ", Text: n.Trouble)));
            foreach (var (name, text) in troubles)
            {
                var key = $"{flow.Flow.Name}/{name}";
                if (said.GetValueOrDefault(key, "") != (text ?? ""))
                {
                    Say($"{flow.Flow.Name}/{name.Trim()}: {text ?? "all is well again"}");
                    said[key] = text ?? "";
                }
            }
        }
    }
}
