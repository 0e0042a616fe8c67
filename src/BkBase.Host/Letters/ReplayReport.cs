using System.Text.Json;
using BkBase.Flows.Runtime.Replays;

namespace BkBase.Host.Letters;

/// <summary>What a replay found and wrote, per node, reason and outcome.</summary>
internal sealed class ReplayReport(string flow, bool applied)
{
    private readonly Dictionary<(string Node, string Reason, ReplayOutcome Outcome), (long Records, long Rows, string Message)> _groups = [];

    /// <summary>Rows that are new.</summary>
    public long Rows => _groups.Values.Sum(g => g.Rows);

    /// <summary>Rows left out, because their table's TTL would drop them at once.</summary>
    public long Expired { get; set; }

    /// <summary>Rows that an earlier replay, which was killed, had left open.</summary>
    public long Settled { get; set; }

    public void Add(ReplayNote note)
    {
        var key = (note.Letter.Node, note.Letter.Reason, note.Result.Outcome);
        var group = _groups.GetValueOrDefault(key, (0, 0, note.Result.Message));
        _groups[key] = (group.Records + 1, group.Rows + note.Result.Rows, group.Message);
    }

    public void Print(TextWriter output)
    {
        if (Settled > 0)
        {
            output.WriteLine($"{Settled} rows of an earlier replay that did not end are in now");
        }

        foreach (var ((node, reason, outcome), (records, rows, message)) in Ordered())
        {
            output.WriteLine($"{node} {reason}: {records} records {Words(outcome, rows)}{(message.Length == 0 ? "" : $" ({message})")}");
        }

        if (Expired > 0)
        {
            output.WriteLine($"{Expired} of the rows are older than the ttl of their table and are left out");
        }

        output.WriteLine(applied
            ? $"{Rows - Expired} rows written; bkbase.{ReplayBook.Table} has the result of every record"
            : Rows > 0 ? $"nothing was written; with --apply {Rows - Expired} rows would be" : "nothing was written, and nothing would be");
    }

    public string Json() => JsonSerializer.Serialize(
        new
        {
            flow,
            applied,
            rows = Rows - Expired,
            expired = Expired,
            settled = Settled,
            results = Ordered().Select(g => new { node = g.Key.Node, reason = g.Key.Reason, result = g.Key.Outcome.ToString().ToLowerInvariant(), records = g.Value.Records, rows = g.Value.Rows, message = g.Value.Message }),
        },
        CommonOptions.JsonForm);

    private IEnumerable<KeyValuePair<(string Node, string Reason, ReplayOutcome Outcome), (long Records, long Rows, string Message)>> Ordered() =>
        _groups.OrderBy(g => g.Key.Node, StringComparer.Ordinal).ThenBy(g => g.Key.Reason, StringComparer.Ordinal).ThenBy(g => g.Key.Outcome);

    private string Words(ReplayOutcome outcome, long rows) => outcome switch
    {
        ReplayOutcome.Rows => applied ? $"gave {rows} rows" : $"would give {rows} rows",
        ReplayOutcome.Refused => "are refused again",
        ReplayOutcome.Filtered => "are good now and filtered",
        ReplayOutcome.Done => "were replayed before",
        ReplayOutcome.Changed => "are left alone",
        ReplayOutcome.Gone => "cannot be read any more",
        ReplayOutcome.Other => "are left alone",
        _ => "are left alone",
    };
}
