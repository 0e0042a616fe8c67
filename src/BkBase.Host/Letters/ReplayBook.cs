using System.Globalization;
using System.Text.Json;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Delivery;
using BkBase.Flows.Records;
using BkBase.Flows.Runtime.Replays;

namespace BkBase.Host.Letters;

/// <summary>
/// What replays wrote: <c>bkbase.replays</c> has a row per record and replay, and rows of results reach their tables exactly
/// once. A chunk's blocks, that of <c>replays</c> the last of them, are recorded by value before the first is sent, and
/// settled by whoever opens the book next; so a record counts as replayed exactly when its rows are in. The truth stands
/// in the store, beside the rows: a store restored to yesterday has lost both.
/// </summary>
internal sealed class ReplayBook
{
    /// <summary>Name of the table.</summary>
    public const string Table = "replays";

    // Longer than the dead letters': a letter must not outlive the note that it was replayed.
    private static readonly TimeSpan Ttl = DeadLetters.Ttl + TimeSpan.FromDays(30);

    private static readonly Schema Schema = new(
        Schema.Time,
        new Field("flow", ColumnType.String, FieldRole.Dimension),
        new Field("node", ColumnType.String, FieldRole.Dimension),
        new Field("reason", ColumnType.String, FieldRole.Dimension),
        new Field("result", ColumnType.String, FieldRole.Dimension),
        new Field("revision", ColumnType.String),
        new Field("source", ColumnType.String),
        new Field("partition", ColumnType.Int32),
        new Field("offset", ColumnType.Int64),
        new Field("record", ColumnType.Text),
        new Field("rows", ColumnType.Int32),
        new Field("message", ColumnType.Text));

    private readonly ClickHouseConnector _store;
    private readonly ICheckpointStore _checkpoints;
    private readonly ReplayBlocks _writer;
    private readonly string _flow;
    private readonly TableSchema _schema;
    private readonly BatchBuilder _builder = new(Schema, 1 << 20);
    private readonly HashSet<string> _tables = new(StringComparer.Ordinal);
    private Claim? _claim;
    private ulong _number;

    public ReplayBook(ClickHouseConnector store, ICheckpointStore checkpoints, string flow)
    {
        (_store, _checkpoints, _flow) = (store, checkpoints, flow);
        _writer = new ReplayBlocks(store.Session, $"{flow}/replay");
        _schema = new TableSchema(Schema, store.Options.Database, Table, Ttl);
    }

    /// <summary>Becomes the one that replays this flow; ends what a replay that was killed left open. Gives its rows.</summary>
    /// <exception cref="CheckpointException">Its record is damaged, or a newer program's.</exception>
    public async Task<long> OpenAsync(CancellationToken stop)
    {
        _number = (ulong)await _checkpoints.NextWriterAsync(FlowLedger.LeastWriter(TimeProvider.System), stop) << 40;
        _claim = await _checkpoints.ClaimAsync($"dead-letters/{_flow}", stop);
        await EnsureAsync(_schema, stop);
        var open = _claim.Record is null ? [] : Decode(_claim.Record);
        await WriteAsync(open, isNew: false, stop);
        return open.Where(b => b.Table != _schema.QuotedName).Sum(b => (long)b.Rows);
    }

    /// <summary>The revision by which each record's rows were last written, by source, partition, offset and record.</summary>
    public async Task<Dictionary<(string Source, int Partition, long Offset, string Record), string>> WrittenAsync(CancellationToken stop)
    {
        if (!await LetterFilter.HasTableAsync(_store.Session, Table, stop))
        {
            return [];
        }

        var rows = await _store.Session.QueryAsync(
            $"SELECT source, partition, offset, record, argMax(revision, (time, `{TableSchema.BlockColumn}`)) FROM {_schema.QuotedName} WHERE flow = {LetterFilter.Quote(_flow)} AND result = 'rows' GROUP BY source, partition, offset, record", stop);
        return rows.ToDictionary(
            r => (r[0]!, int.Parse(r[1]!, CultureInfo.InvariantCulture), long.Parse(r[2]!, CultureInfo.InvariantCulture), r[3]!),
            r => r[4]!);
    }

    /// <summary>Writes the rows of a chunk and what became of its records; returns when all of it is in the store.</summary>
    public async Task WriteAsync(IEnumerable<(TableSchema Table, RecordBatch Rows)> results, IEnumerable<ReplayNote> notes, string revision, CancellationToken stop)
    {
        var blocks = new List<ReplayBlock>();
        foreach (var (table, rows) in results)
        {
            await EnsureAsync(table, stop);
            blocks.AddRange(_writer.Cut(table, rows, () => ++_number));
        }

        blocks.AddRange(_writer.Cut(_schema, Batch(notes, revision), () => ++_number));
        await PublishAsync(blocks, stop);
        await WriteAsync(blocks, isNew: true, stop);
    }

    /// <summary>Forgets the last chunk, which is in.</summary>
    public Task CloseAsync() => _claim is null ? Task.CompletedTask : PublishAsync([], CancellationToken.None);

    private async Task WriteAsync(IReadOnlyList<ReplayBlock> blocks, bool isNew, CancellationToken stop)
    {
        var open = blocks.ToArray();
        for (var i = 0; i < open.Length; i++)
        {
            var at = i;
            await _writer.WriteAsync(open[i], isNew, again =>
            {
                open[at] = again;
                return PublishAsync(open, stop);
            }, stop);
        }
    }

    private async Task EnsureAsync(TableSchema table, CancellationToken stop)
    {
        if (_tables.Add(table.QuotedName))
        {
            await _store.Session.WithRetriesAsync($"table {table.Database}.{table.Table}", async (_, token) =>
            {
                await _store.Tables().EnsureAsync(table, token);
                return true;
            }, stop);
        }
    }

    private async Task PublishAsync(IReadOnlyList<ReplayBlock> blocks, CancellationToken stop)
    {
        var refused = await _checkpoints.PublishAsync([new Publication(_claim!.Task, _claim.Epoch, JsonSerializer.SerializeToUtf8Bytes(new Page(Page.Newest, blocks)))], stop);
        if (refused.Count > 0)
        {
            throw new FencedException(_claim.Task);
        }
    }

    private ReplayBlock[] Decode(byte[] bytes)
    {
        try
        {
            var page = JsonSerializer.Deserialize<Page>(bytes);
            return page is { Version: Page.Newest } ? [.. page.Blocks]
                : throw new CheckpointException($"the record of the last replay of flow {_flow} has version {page?.Version}; this program reads {Page.Newest}: use the program that wrote it, or a newer one");
        }
        catch (JsonException e)
        {
            throw new CheckpointException($"the record of the last replay of flow {_flow} is damaged: {e.Message}", e);
        }
    }

    private RecordBatch Batch(IEnumerable<ReplayNote> notes, string revision)
    {
        var now = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        foreach (var note in notes)
        {
            _builder.BeginRecord(0);
            _builder.SetInt64(0, now);
            _builder.SetString(1, _builder.Strings.Intern(_flow));
            _builder.SetString(2, _builder.Strings.Intern(note.Letter.Node));
            _builder.SetString(3, _builder.Strings.Intern(note.Letter.Reason));
            _builder.SetString(4, _builder.Strings.Intern(note.Result.Outcome.ToString().ToLowerInvariant()));
            _builder.SetString(5, _builder.Strings.Intern(revision));
            _builder.SetString(6, _builder.Strings.Intern(note.Letter.Source));
            _builder.SetInt32(7, note.Letter.Partition);
            _builder.SetInt64(8, note.Letter.Offset);
            _builder.SetText(9, System.Text.Encoding.UTF8.GetBytes(note.Record));
            _builder.SetInt32(10, note.Result.Rows);
            _builder.SetText(11, System.Text.Encoding.UTF8.GetBytes(note.Result.Message));
            _builder.CommitRow();
        }

        return _builder.Build(new Lineage("", 0, 0, 0));
    }

    private sealed record Page(int Version, IReadOnlyList<ReplayBlock> Blocks)
    {
        public const int Newest = 1;
    }
}

/// <summary>What became of one record.</summary>
/// <param name="Record">Hash of its payload; '' when it could not be read.</param>
internal sealed record ReplayNote(RefusedRecord Letter, string Record, ReplayResult Result);
