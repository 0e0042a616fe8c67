using System.CommandLine;
using System.Globalization;
using System.Text.RegularExpressions;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Host.Letters;

/// <summary>Which rows of the dead letters are meant; null for all.</summary>
/// <param name="Flow">Name of a flow.</param>
/// <param name="Node">Name of the source or node that refused.</param>
/// <param name="Reason">A code of <see cref="RejectReason"/>.</param>
/// <param name="Since">Age of the oldest record meant.</param>
internal sealed partial record LetterFilter(string? Flow, string? Node, string? Reason, TimeSpan? Since)
{
    /// <summary>The condition in ClickHouse SQL.</summary>
    public string Where => string.Join(" AND ", new[]
    {
        Is("flow", Flow),
        Is("node", Node),
        Is("reason", Reason),
        Since is { } since ? string.Create(CultureInfo.InvariantCulture, $"time >= now64(3) - toIntervalMillisecond({(long)since.TotalMilliseconds})") : null,
    }.OfType<string>().DefaultIfEmpty("1"));

    /// <summary>What is meant, for messages: <c> of flow 'a', of node 'b'</c>; empty for all.</summary>
    public string Words => string.Join(",", new[]
    {
        Flow is null ? null : $" of flow '{Flow}'",
        Node is null ? null : $" of node '{Node}'",
        Reason is null ? null : $" with reason {Reason}",
        Since is { } since ? string.Create(CultureInfo.InvariantCulture, $" of the last {since.TotalHours:0.##} h") : null,
    }.OfType<string>());

    /// <summary>The options of both verbs but <c>--flow</c>.</summary>
    public static (Option<string?> Node, Option<string?> Reason, Option<string?> Since) Options() =>
        (new Option<string?>("--node") { Description = "only what this source or node refused" },
            new Option<string?>("--reason") { Description = $"only this reason: {string.Join(", ", RejectReason.All.Order(StringComparer.Ordinal))}" },
            new Option<string?>("--since") { Description = "only records appended within this time, such as 30m, 1h or 7d" });

    /// <summary>The filter of options as people wrote them.</summary>
    /// <exception cref="InvalidSettingException">One of them cannot be; the message says what would be right.</exception>
    public static LetterFilter Of(string? flow, string? node, string? reason, string? since)
    {
        if (reason is not null && !RejectReason.All.Contains(reason))
        {
            throw new InvalidSettingException($"--reason {reason}: no such reason; reasons are {string.Join(", ", RejectReason.All.Order(StringComparer.Ordinal))}.{Suggestion.For(reason, RejectReason.All)}");
        }

        return new LetterFilter(flow, node, reason, since is null ? null : Age(since));
    }

    /// <summary>Whether the store has dead letters at all: no table, no letters.</summary>
    public static async Task<bool> HasTableAsync(ClickHouseSession session, string table, CancellationToken stop) =>
        (await session.WithRetriesAsync(
            "the dead letters",
            (_, token) => session.QueryAsync($"SELECT 1 FROM system.tables WHERE database = {Quote(session.Options.Database)} AND name = {Quote(table)}", token),
            stop)).Count > 0;

    /// <summary>A text in ClickHouse SQL.</summary>
    public static string Quote(string text) => $"'{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("'", "\\'", StringComparison.Ordinal)}'";

    private static string? Is(string column, string? value) => value is null ? null : $"{column} = {Quote(value)}";

    private static TimeSpan Age(string text)
    {
        if (AgeRule().Match(text) is not { Success: true } m
            || !int.TryParse(m.Groups[1].Value, NumberStyles.None, CultureInfo.InvariantCulture, out var n) || n > 1_000_000)
        {
            throw new InvalidSettingException($"--since {text}: not a time; write a number with a unit, such as 60s, 30m, 1h or 7d");
        }

        return m.Groups[2].Value switch
        {
            "s" => TimeSpan.FromSeconds(n),
            "m" => TimeSpan.FromMinutes(n),
            "h" => TimeSpan.FromHours(n),
            _ => TimeSpan.FromDays(n),
        };
    }

    [GeneratedRegex(@"^(\d{1,9})(s|m|h|d)\z", RegexOptions.None, 1000)]
    private static partial Regex AgeRule();
}
