using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Store;
using ClickHouse.Driver;
using Spectre.Console;

namespace BkBase.Host.Letters;

/// <summary>
/// <c>bkbase dead-letters</c>: what was refused, in groups of one flow, node, reason, path and shape of message, with
/// digits and quoted parts folded, so that a million refusals of one cause are one line.
/// </summary>
internal static class DeadLettersCommand
{
    private const int GroupsMax = 1000;
    private const int SampleShown = 120;

    public static Command Create()
    {
        var flow = new Option<string?>("--flow") { Description = "only this flow" };
        var (node, reason, since) = LetterFilter.Options();
        var samples = new Option<int>("--samples") { Description = "samples shown per group", DefaultValueFactory = _ => 1 };
        var store = CommonOptions.Store();
        var clickHouse = CommonOptions.ClickHouse();
        var json = CommonOptions.Json();
        var command = new Verb(
            "dead-letters",
            "Show what flows refused, in groups of one cause: flow, node, reason, path, message with digits and quoted parts folded; how many, when, and samples. 'bkbase replay' takes them up again.",
            "bkbase dead-letters --store data",
            "bkbase dead-letters --flow k8s_events --reason not_json --since 1h --samples 3 --store data",
            "bkbase dead-letters --store data --json") { flow, node, reason, since, samples, store, clickHouse, json };
        command.SetAction((parsed, stop) => Guard.RunAsync(() => RunAsync(
            LetterFilter.Of(parsed.GetValue(flow), parsed.GetValue(node), parsed.GetValue(reason), parsed.GetValue(since)),
            parsed.GetValue(samples), parsed.GetValue(store)!, parsed.GetValue(clickHouse), parsed.GetValue(json), stop)));
        return command;
    }

    private static async Task<int> RunAsync(LetterFilter filter, int samples, string directory, string? clickHouse, bool json, CancellationToken stop)
    {
        if (samples is < 0 or > 100)
        {
            throw new InvalidSettingException($"--samples {samples}: write a number from 0 to 100");
        }

        await using var store = clickHouse is { Length: > 0 } ? null : await StoreProcess.AttachOrStartAsync(
            new StoreOptions(Path.GetFullPath(directory)) { ParentPid = Environment.ProcessId }, SelfCommand.Of("store"), TimeProvider.System, stop);
        using var session = new ClickHouseSession(store is null ? Platform.Address(clickHouse!) : ClickHouseOptions.At(new Uri(store.Address)), TimeProvider.System);
        try
        {
            var groups = await GroupsAsync(session, filter, samples, stop);
            if (json)
            {
                Console.Out.WriteLine(JsonSerializer.Serialize(new { groups, letters = groups.Sum(g => g.Count) }, CommonOptions.JsonForm));
            }
            else if (groups.Count == 0)
            {
                Console.Out.WriteLine($"no dead letters{filter.Words}: nothing was refused, or it is older than {DeadLetters.Ttl.TotalDays:0} days");
            }
            else if (Console.IsOutputRedirected)
            {
                Lines(groups);
            }
            else
            {
                Show(groups);
            }
        }
        catch (Exception e) when (e is ClickHouseServerException or HttpRequestException or TimeoutException)
        {
            await Console.Error.WriteLineAsync($"bkbase: {session.Explain(e)}");
            return ExitCodes.Failed;
        }

        return ExitCodes.Good;
    }

    private static async Task<IReadOnlyList<LetterGroup>> GroupsAsync(ClickHouseSession session, LetterFilter filter, int samples, CancellationToken stop)
    {
        if (!await LetterFilter.HasTableAsync(session, DeadLetters.Table, stop))
        {
            return [];
        }

        // The newest of each group stands for it; samples are of different records where there are some.
        var rows = await session.QueryAsync(string.Create(CultureInfo.InvariantCulture, $$"""
            SELECT flow, node, reason,
                   replaceRegexpAll(path, '[0-9]+', 'N') AS path_shape,
                   replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(message, '\'[^\']*\'', '\'…\''), '"[^"]*"', '"…"'), '[0-9]+', 'N') AS shape,
                   count() AS letters, min(time), max(time), argMax(message, time), argMax(path, time),
                   toJSONString(groupUniqArray({{Math.Max(1, samples)}})(toValidUTF8(sample)))
            FROM {{session.Options.Database}}.{{DeadLetters.Table}} WHERE {{filter.Where}}
            GROUP BY flow, node, reason, path_shape, shape ORDER BY letters DESC, flow, node, reason, path_shape, shape LIMIT {{GroupsMax}}
            """), stop);
        return [.. rows.Select(r => new LetterGroup(
            r[0]!, r[1]!, r[2]!, r[3]!, r[4]!, long.Parse(r[5]!, CultureInfo.InvariantCulture), Iso(r[6]!), Iso(r[7]!), r[8]!, r[9]!,
            samples == 0 ? [] : JsonSerializer.Deserialize<string[]>(r[10]!)!))];
    }

    private static string Iso(string time) => time.Replace(' ', 'T') + "Z";

    private static void Lines(IReadOnlyList<LetterGroup> groups)
    {
        foreach (var g in groups)
        {
            Console.Out.WriteLine($"{g.Flow}/{g.Node} {g.Reason}{(g.Path.Length == 0 ? "" : $" at {g.Path}")}: {g.Count} from {g.First} to {g.Last}: {Flat(g.Message)}");
            foreach (var sample in g.Samples)
            {
                Console.Out.WriteLine($"  {Flat(sample)}");
            }
        }

        SayMore(groups);
    }

    private static void Show(IReadOnlyList<LetterGroup> groups)
    {
        var table = new Table().Border(TableBorder.Rounded);
        foreach (var name in new[] { "flow", "node", "reason", "path", "count", "first", "last", "message", "sample" })
        {
            table.AddColumn(new Spectre.Console.TableColumn(name));
        }

        foreach (var g in groups)
        {
            table.AddRow([.. new[]
            {
                g.Flow, g.Node, g.Reason, g.Path, g.Count.ToString("N0", CultureInfo.InvariantCulture), g.First, g.Last, g.Message, string.Join('\n', g.Samples.Select(Flat)),
            }.Select(Markup.Escape)]);
        }

        AnsiConsole.Write(table);
        SayMore(groups);
    }

    private static void SayMore(IReadOnlyList<LetterGroup> groups)
    {
        if (groups.Count == GroupsMax)
        {
            Console.Error.WriteLine($"bkbase: the {GroupsMax} largest groups are shown; narrow them down with --flow, --node, --reason or --since");
        }
    }

    private static string Flat(string text)
    {
        var line = string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
        return line.Length <= SampleShown ? line : string.Concat(line.AsSpan(0, SampleShown), "…");
    }

    /// <summary>Refusals of one cause.</summary>
    /// <param name="Path">Path in the record, digits folded to N.</param>
    /// <param name="Shape">The message, digits folded to N and quoted parts to ….</param>
    /// <param name="First">Append time of the oldest record, UTC.</param>
    /// <param name="Message">Message of the newest.</param>
    /// <param name="NewestPath">Path of the newest.</param>
    private sealed record LetterGroup(
        string Flow, string Node, string Reason, string Path, string Shape, long Count, string First, string Last, string Message, string NewestPath, IReadOnlyList<string> Samples);
}
