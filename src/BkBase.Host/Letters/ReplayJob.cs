using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using BkBase.Flows.Runtime;
using BkBase.Flows.Runtime.Replays;

namespace BkBase.Host.Letters;

/// <summary>One replay of one flow: finds its refused records, reads them again, works them out, and writes what is new.</summary>
/// <param name="flow">The flow as it is now, with its table sinks only.</param>
/// <param name="apply">Whether rows are written.</param>
/// <param name="rate">Records per second at most.</param>
internal sealed class ReplayJob(Platform platform, FlowDefinition flow, LetterFilter filter, bool apply, int rate)
{
    private const int LettersMax = 1_000_000;
    private readonly int _chunk = Math.Clamp(rate, 1, 1000);
    private readonly ReplayReport _report = new(flow.Name, apply);
    private readonly ReplayBook _book = new(platform.ClickHouse, platform.Checkpoints, flow.Name);
    private readonly Replayer _replayer = new(flow, TimeProvider.System, platform.Materializer);
    private readonly Dictionary<string, FlowDefinition?> _revisions = new(StringComparer.Ordinal) { [flow.Revision] = flow };
    private Dictionary<(string Source, int Partition, long Offset, string Record), string> _written = [];
    private HashSet<(string Source, int Partition, long Offset)> _places = [];

    public async Task<ReplayReport> RunAsync(Func<SourceDefinition, ISource?> open, CancellationToken stop)
    {
        _report.Settled = apply ? await _book.OpenAsync(stop) : 0;
        if (!await LetterFilter.HasTableAsync(platform.ClickHouse.Session, DeadLetters.Table, stop))
        {
            return _report;
        }

        _written = await _book.WrittenAsync(stop);
        _places = [.. _written.Keys.Select(k => (k.Source, k.Partition, k.Offset))];
        var refused = await RefusedRecord.ReadAsync(platform.ClickHouse.Session, filter, LettersMax, stop);
        var known = await new FlowLauncher(platform.Checkpoints, new FlowReader(platform.Catalog)).RecordsAsync(flow.Name, stop);
        foreach (var source in refused.GroupBy(r => r.Source, StringComparer.Ordinal))
        {
            var left = source.ToDictionary(r => (r.Partition, r.Offset));
            if (flow.Sources.FirstOrDefault(s => s.Name == source.Key) is not { } definition)
            {
                await EndAsync([.. source.Select(r => new ReplayNote(r, "", new ReplayResult(ReplayOutcome.Gone, 0, $"the flow has no source '{source.Key}' any more")))], [], stop);
                continue;
            }

            var why = await OriginalsAsync(definition, open(definition), known, left, stop);
            await SamplesAsync(definition, left, why, stop);
        }

        await _book.CloseAsync();
        return _report;
    }

    // Takes what it could read out of those left; gives what kept it from the others.
    private async Task<string> OriginalsAsync(
        SourceDefinition definition, ISource? source, IReadOnlyList<TaskRecord> known, Dictionary<(int Partition, long Offset), RefusedRecord> left, CancellationToken stop)
    {
        if (source is null)
        {
            return "its source cannot be read here, and its sample is not the whole record";
        }

        var wanted = left.Keys.GroupBy(k => k.Partition).ToDictionary(p => p.Key, p => p.Select(k => k.Offset).Order().ToArray());
        try
        {
            await foreach (var records in new OriginalRecords(TimeProvider.System, platform.Materializer).ReadAsync(source, flow.Name, definition.Name, wanted, known, _chunk, stop))
            {
                var chunk = records.Select(r => (left[(r.Partition, r.Offset)], r.AppendTime, (ReadOnlyMemory<byte>)r.Payload)).ToList();
                await ReplayAsync(definition, chunk, stop);
                records.ToList().ForEach(r => left.Remove((r.Partition, r.Offset)));
            }
        }
        catch (Exception e) when (e is IncarnationException or IOException)
        {
            Notices.Say($"source '{definition.Name}': {e.Message}. Records whose whole text is kept as sample are replayed without it");
            return "its source cannot be read, and its sample is not the whole record";
        }

        return "its source no longer holds it, and its sample is not the whole record";
    }

    private async Task SamplesAsync(SourceDefinition definition, Dictionary<(int Partition, long Offset), RefusedRecord> left, string why, CancellationToken stop)
    {
        foreach (var chunk in left.Values.Where(r => r.MayBeWhole && !IsDone(r)).Chunk(_chunk))
        {
            var samples = await RefusedRecord.SamplesAsync(platform.ClickHouse.Session, flow.Name, chunk, stop);
            await ReplayAsync(definition, [.. chunk.Select(r => (r, r.AppendTime, (ReadOnlyMemory<byte>)samples[(r.Partition, r.Offset)]))], stop, why);
            Array.ForEach(chunk, r => left.Remove((r.Partition, r.Offset)));
        }

        foreach (var chunk in left.Values.Chunk(1000))
        {
            await EndAsync([.. chunk.Select(r => new ReplayNote(r, "", IsDone(r)
                ? new ReplayResult(ReplayOutcome.Done, 0, "replayed before")
                : new ReplayResult(ReplayOutcome.Gone, 0, why)))], [], stop);
        }
    }

    private bool IsDone(RefusedRecord record) => _places.Contains((record.Source, record.Partition, record.Offset));

    private async Task ReplayAsync(SourceDefinition definition, IReadOnlyList<(RefusedRecord Letter, long AppendTime, ReadOnlyMemory<byte> Payload)> chunk, CancellationToken stop, string? sampleOnly = null)
    {
        var start = TimeProvider.System.GetTimestamp();
        var records = new List<ReplayRecord>();
        var names = new List<string>();
        foreach (var (letter, appendTime, payload) in chunk)
        {
            names.Add(Replayer.SampleId(payload.Span)[..32]);
            var (revision, items) = _written.TryGetValue((letter.Source, letter.Partition, letter.Offset, names[^1]), out var last) ? (last, []) : BaseOf(letter);
            records.Add(new ReplayRecord(payload, appendTime, await RevisionAsync(revision, stop), items));
        }

        var found = await _replayer.ReplayAsync(definition.Name, records);
        // A sample that its own revision does not refuse the same way is not the whole record.
        var notes = chunk.Select((c, i) => new ReplayNote(c.Letter, names[i], sampleOnly is not null && found.Results[i].Outcome == ReplayOutcome.Other
            ? new ReplayResult(ReplayOutcome.Gone, 0, sampleOnly) : found.Results[i])).ToList();
        await EndAsync(notes, [.. found.Sinks.SelectMany(s => s.Batches.Where(b => b.Count > 0).Select(b => Fresh(s.Sink, b))).Where(b => b.Rows.Count > 0)], stop);
        var pause = TimeSpan.FromSeconds((double)chunk.Count / rate) - TimeProvider.System.GetElapsedTime(start);
        if (apply && pause > TimeSpan.Zero)
        {
            await Task.Delay(pause, TimeProvider.System, stop);
        }
    }

    // Refused by several revisions (a flow that was started afresh): only of the current one is it known what the tables hold.
    private (string? Revision, IReadOnlyList<RefusedItem> Items) BaseOf(RefusedRecord letter)
    {
        string[] revisions = [.. letter.Letters.Select(l => l.Revision).Distinct(StringComparer.Ordinal)];
        var revision = revisions.Length == 1 ? revisions[0] : revisions.FirstOrDefault(r => r == flow.Revision);
        return (revision, [.. letter.Letters.Where(l => l.Revision == revision).Select(l => l.Item)]);
    }

    private async Task<FlowDefinition?> RevisionAsync(string? revision, CancellationToken stop)
    {
        if (revision is null)
        {
            return null;
        }

        if (!_revisions.TryGetValue(revision, out var known))
        {
            // A text that does not compile any more is as good as none.
            var text = await platform.Checkpoints.RevisionAsync(flow.Name, revision, stop);
            _revisions[revision] = known = text is null ? null : new FlowReader(platform.Catalog).Read(flow.File, text).Flow;
        }

        return known;
    }

    private (TableSchema Table, RecordBatch Rows) Fresh(SinkDefinition sink, RecordBatch batch)
    {
        var settings = (ClickHouseSinkSettings)sink.Settings;
        var table = new TableSchema(sink.Schema, platform.ClickHouse.Options.Database, settings.TableOf(flow.Biz), settings.Ttl, settings.Zone);
        var bound = TimeProvider.System.GetUtcNow().AddDays(-table.TtlDays).ToUnixTimeMilliseconds();
        int[] fresh = [.. Enumerable.Range(0, batch.Count).Where(row => batch.Times[row] > bound)];
        _report.Expired += batch.Count - fresh.Length;
        return (table, batch.Take(fresh));
    }

    private async Task EndAsync(IReadOnlyList<ReplayNote> notes, IReadOnlyList<(TableSchema Table, RecordBatch Rows)> rows, CancellationToken stop)
    {
        foreach (var note in notes)
        {
            _report.Add(note);
        }

        var said = notes.Where(n => n.Result.Outcome != ReplayOutcome.Done).ToList();
        if (apply && said.Count > 0)
        {
            await _book.WriteAsync(rows, said, flow.Revision, stop);
        }
    }
}
