using System.Globalization;
using System.Text;
using Akka.Streams;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Runtime.Replays;

/// <summary>What a replay makes of a record.</summary>
public enum ReplayOutcome
{
    /// <summary>It gives rows that it did not give before.</summary>
    Rows,

    /// <summary>The current revision refuses it as well.</summary>
    Refused,

    /// <summary>It is a good record now, and the flow drops its rows, or it has none.</summary>
    Filtered,

    /// <summary>What was refused is in the tables already, by an earlier replay.</summary>
    Done,

    /// <summary>Rows of it that are in the tables come out otherwise today, so new ones cannot be told from them.</summary>
    Changed,

    /// <summary>What stands at its offset is not what was refused there.</summary>
    Other,

    /// <summary>Retention took it.</summary>
    Gone,

    /// <summary>The text of the revision that refused it is not kept: nobody knows which of its rows are in the tables.</summary>
    Unknown,
}

/// <summary>A record to replay.</summary>
/// <param name="Payload">As it was read.</param>
/// <param name="AppendTime">Unix milliseconds; 0 when unknown.</param>
/// <param name="Base">The revision whose rows of this record the tables hold; null when its text is not kept.</param>
/// <param name="Letters">What <paramref name="Base"/> refused of it; empty when an earlier replay is known to have read this very record.</param>
public sealed record ReplayRecord(ReadOnlyMemory<byte> Payload, long AppendTime, FlowDefinition? Base, IReadOnlyList<RefusedItem> Letters);

/// <summary>One dead letter of a record.</summary>
/// <param name="Sample">Identifies the sample kept with it; see <see cref="Replayer.SampleId"/>.</param>
public readonly record struct RefusedItem(string Reason, string Path, string Sample);

/// <summary>What came out of one record.</summary>
/// <param name="Rows">Rows for all sinks together.</param>
/// <param name="Message">Why not, for people; empty where there is nothing to say.</param>
public sealed record ReplayResult(ReplayOutcome Outcome, int Rows, string Message);

/// <summary>Results by record, in their order, and the new rows by sink; <c>OffsetOf(row)</c> of a batch is the record's number.</summary>
public sealed record ReplayRows(IReadOnlyList<ReplayResult> Results, IReadOnlyList<(SinkDefinition Sink, IReadOnlyList<RecordBatch> Batches)> Sinks);

/// <summary>
/// Works out what refused records give today, and which rows of that are new. The rule: the rows that the ETL of the
/// base revision gives for a record went their way when it was first read; those that the current ETL gives beyond them
/// (compared by the values of the columns both have, as often as they occur) were refused then, and only they pass
/// through the current nodes. Where a row of the base does not come out any more, old and new rows cannot be told apart,
/// and the record is left alone. When base and current revision are one, nothing is new.
/// </summary>
/// <param name="current">The flow as it is now; nodes of one row at a time, without state.</param>
/// <param name="time">The clock.</param>
/// <param name="materializer">Runs the flows.</param>
public sealed class Replayer(FlowDefinition current, TimeProvider time, IMaterializer materializer)
{
    /// <summary>Identifies a sample of a dead letter: its SHA-256, in small hex.</summary>
    public static string SampleId(ReadOnlySpan<byte> sample) => Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(sample));

    /// <summary>Works out records of one source; writes nothing.</summary>
    public async Task<ReplayRows> ReplayAsync(string source, IReadOnlyList<ReplayRecord> records)
    {
        var results = new ReplayResult?[records.Count];
        var bases = new (RecordRows Rows, int Number)[records.Count];
        for (var i = 0; i < records.Count; i++)
        {
            results[i] = records[i].Base is null ? new ReplayResult(ReplayOutcome.Unknown, 0, "the text of the revision that refused it is not kept") : null;
        }

        foreach (var revision in Enumerable.Range(0, records.Count).Where(i => results[i] is null).GroupBy(i => records[i].Base!.Revision, StringComparer.Ordinal))
        {
            var members = revision.ToArray();
            var rows = new RecordRows();
            var (refusals, _) = await RunAsync(records[members[0]].Base!, source, members.Select(i => records[i]), batch =>
            {
                rows.Add(batch);
                return batch.Take([]);
            });
            for (var n = 0; n < members.Length; n++)
            {
                bases[members[n]] = (rows, n);
                results[members[n]] = Unlike(records[members[n]], refusals[n]);
            }
        }

        var open = Enumerable.Range(0, records.Count).Where(i => results[i] is null).ToArray();
        var chosen = new int[open.Length];
        var (refused, sinks) = await RunAsync(current, source, open.Select(i => records[i]), batch => Choose(batch, open, bases, chosen, results));
        var made = new int[open.Length];
        foreach (var batch in sinks.SelectMany(s => s.Batches))
        {
            for (var row = 0; row < batch.Count; row++)
            {
                made[batch.OffsetOf(row)]++;
            }
        }

        for (var n = 0; n < open.Length; n++)
        {
            results[open[n]] ??= Result(records[open[n]], chosen[n], made[n], refused[n]);
        }

        return new ReplayRows(results!, [.. sinks.Select(s => (s.Sink, (IReadOnlyList<RecordBatch>)[.. s.Batches.Select(b => Renumber(b, open))]))]);
    }

    private static ReplayResult Result(ReplayRecord record, int chosen, int made, List<Rejection> refused) => made switch
    {
        > 0 => new ReplayResult(ReplayOutcome.Rows, made, refused.Count == 0 ? "" : $"{refused.Count} items of it are refused again"),
        _ when chosen > 0 => new ReplayResult(ReplayOutcome.Filtered, 0, "the flow drops its rows"),
        _ when refused.Count > 0 => new ReplayResult(ReplayOutcome.Refused, 0, Text(refused[0])),
        _ when record.Letters.Count == 0 => new ReplayResult(ReplayOutcome.Done, 0, "replayed before"),
        _ => new ReplayResult(ReplayOutcome.Filtered, 0, "it gives no rows"),
    };

    // The record is the one that was refused when the same revision refuses the same of it again.
    private static ReplayResult? Unlike(ReplayRecord record, List<Rejection> refusals)
    {
        foreach (var letter in record.Letters)
        {
            if (!refusals.Exists(r => r.Reason == letter.Reason && r.Path == letter.Path && SampleId(r.Sample.Span) == letter.Sample))
            {
                return new ReplayResult(ReplayOutcome.Other, 0, $"the record at its offset is not the one that was refused ({letter.Reason}{(letter.Path.Length == 0 ? "" : $" at {letter.Path}")})");
            }
        }

        return null;
    }

    private static string Text(Rejection r) => r.Path.Length == 0 ? $"{r.Reason}: {r.Message}" : $"{r.Reason} at {r.Path}: {r.Message}";

    private static RecordBatch Choose(RecordBatch batch, int[] open, (RecordRows Rows, int Number)[] bases, int[] chosen, ReplayResult?[] results)
    {
        var rows = new List<int>();
        for (var row = 0; row < batch.Count;)
        {
            var n = (int)batch.OffsetOf(row);
            var end = row + 1;
            while (end < batch.Count && batch.OffsetOf(end) == n)
            {
                end++;
            }

            var (before, number) = bases[open[n]];
            if (before.NewRows(number, batch, row, end) is { } news)
            {
                rows.AddRange(news);
                chosen[n] += news.Count;
            }
            else
            {
                results[open[n]] = new ReplayResult(ReplayOutcome.Changed, 0, "rows of it that are in the tables come out otherwise today; a replay never changes rows");
            }

            row = end;
        }

        return batch.Take(rows.ToArray());
    }

    private static RecordBatch Renumber(RecordBatch batch, int[] open)
    {
        var origins = new int[batch.Count];
        for (var row = 0; row < origins.Length; row++)
        {
            origins[row] = open[batch.OffsetOf(row)];
        }

        return new RecordBatch(batch.Schema, [.. batch.Columns], batch.Count, batch.Lineage with { FirstOffset = 0 }, origins);
    }

    private async Task<(List<Rejection>[] Refusals, IReadOnlyList<(SinkDefinition Sink, IReadOnlyList<RecordBatch> Batches)> Sinks)> RunAsync(
        FlowDefinition flow, string source, IEnumerable<ReplayRecord> records, Func<RecordBatch, RecordBatch> choose)
    {
        // The number of a record stands in the place of its offset.
        (int, byte[], long)[] input = [.. records.Select(r => (0, r.Payload.ToArray(), r.AppendTime))];
        var refusals = Enumerable.Range(0, input.Length).Select(_ => new List<Rejection>()).ToArray();
        var letters = new MemorySink();
        var sinks = flow.Sinks.Select(s => (Sink: s, Memory: new MemorySink())).ToArray();
        if (flow.Sources.All(s => s.Name != source) || input.Length == 0)
        {
            return (refusals, []);
        }

        var handle = FlowCompiler.Run(
            flow with { Limits = flow.Limits with { Rejected = 1 } },
            new FlowEnvironment(time, letters)
            {
                Sources = flow.Sources.ToDictionary(s => s.Name, s => (ISource)new MemorySource(s.Name == source ? input : []), StringComparer.Ordinal),
                Sinks = definition => sinks.First(s => ReferenceEquals(s.Sink, definition)).Memory,
                Choose = (_, batch) => choose(batch),
            },
            materializer);
        await handle.Completion;
        foreach (var (_, rejection) in letters.Rejections)
        {
            refusals[rejection.Offset].Add(rejection);
        }

        return (refusals, [.. sinks.Select(s => (s.Sink, s.Memory.Batches))]);
    }
}

/// <summary>The rows that an ETL gave for records, by record, as values to compare with.</summary>
internal sealed class RecordRows
{
    private readonly Dictionary<int, (RecordBatch Batch, int First, int End)> _records = [];

    public void Add(RecordBatch batch)
    {
        for (var row = 0; row < batch.Count;)
        {
            var end = row + 1;
            while (end < batch.Count && batch.OffsetOf(end) == batch.OffsetOf(row))
            {
                end++;
            }

            _records[(int)batch.OffsetOf(row)] = (batch, row, end);
            row = end;
        }
    }

    /// <summary>Rows of a batch that a record did not give before; null when one it gave before is missing.</summary>
    public List<int>? NewRows(int number, RecordBatch batch, int first, int end)
    {
        if (!_records.TryGetValue(number, out var before))
        {
            return [.. Enumerable.Range(first, end - first)];
        }

        string[] common = [.. batch.Schema.Fields.Select(f => f.Name).Where(n => before.Batch.Schema.IndexOf(n) >= 0)];
        var counts = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var row = before.First; row < before.End; row++)
        {
            var key = Key(before.Batch, row, common);
            counts[key] = counts.GetValueOrDefault(key) + 1;
        }

        var news = new List<int>();
        for (var row = first; row < end; row++)
        {
            var key = Key(batch, row, common);
            if (counts.GetValueOrDefault(key) is > 0 and var n)
            {
                counts[key] = n - 1;
            }
            else
            {
                news.Add(row);
            }
        }

        return counts.Values.Any(c => c > 0) ? null : news;
    }

    private static string Key(RecordBatch batch, int row, string[] columns)
    {
        var key = new StringBuilder();
        foreach (var name in columns)
        {
            var value = FlowTester.Format(batch.Schema[batch.Schema.IndexOf(name)], batch[name].GetValue(row));
            key.Append(CultureInfo.InvariantCulture, $"{value?.Length ?? -1}:").Append(value);
        }

        return key.ToString();
    }
}
