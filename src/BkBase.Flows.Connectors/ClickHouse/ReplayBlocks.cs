using System.Globalization;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>A block with its bytes: whoever records it before it is sent can send it again without its source.</summary>
/// <param name="Table">Database and table, quoted.</param>
/// <param name="Columns">Names of the columns in the bytes.</param>
/// <param name="Number">Value of the <c>_block</c> column of its rows.</param>
/// <param name="Day">Event day of its rows, days since 1970, UTC.</param>
/// <param name="Rows">Number of rows.</param>
/// <param name="Bytes">The rows in ClickHouse's Native format.</param>
public sealed record ReplayBlock(string Table, IReadOnlyList<string> Columns, ulong Number, long Day, int Rows, byte[] Bytes)
{
    /// <summary>Rises when an earlier attempt is proved lost although the store knows its token.</summary>
    public int Attempt { get; init; }
}

/// <summary>Cuts rows into blocks by value, and stores such blocks exactly once.</summary>
/// <param name="session">The store.</param>
/// <param name="origin">First part of every token.</param>
public sealed class ReplayBlocks(ClickHouseSession session, string origin)
{
    private const int AttemptsMax = 3;
    private readonly NativeEncoder _encoder = new();

    /// <summary>The rows of a batch as one block per event day.</summary>
    public IReadOnlyList<ReplayBlock> Cut(TableSchema table, RecordBatch batch, Func<ulong> next)
    {
        var blocks = new List<ReplayBlock>();
        DayCut.Split(batch, (day, part) =>
        {
            var number = next();
            blocks.Add(new ReplayBlock(table.QuotedName, [.. table.Columns.Select(c => c.Name)], number, day, part.Count, _encoder.Encode(table.Schema, [part], number).ToArray()));
        });
        return blocks;
    }

    /// <summary>Sends a recorded block until the table holds it. Any answer but a first OK is cleared up by reading back.</summary>
    /// <param name="block">The block; it stands in a record.</param>
    /// <param name="isNew">Whether it was never sent before; false for one that an earlier run recorded.</param>
    /// <param name="record">Records the block with a new attempt, before that is sent.</param>
    /// <exception cref="ClickHouseFailureException">The table holds a part of the block, or takes none of it.</exception>
    public Task WriteAsync(ReplayBlock block, bool isNew, Func<ReplayBlock, Task> record, CancellationToken cancel) => session.WithRetriesAsync(
        $"insert into {block.Table}",
        async (attempt, token) =>
        {
            if (attempt == 1 && isNew)
            {
                await InsertAsync(block, token);
                return true;
            }

            var first = block.Attempt;
            for (var isAnswered = false; !await HoldsAsync(block, token); isAnswered = true)
            {
                if (isAnswered)
                {
                    // The store answered OK to this token and holds none of its rows: the token is noted, the rows are lost.
                    if (block.Attempt - first >= AttemptsMax)
                    {
                        throw new ClickHouseFailureException($"table {block.Table} answers OK to block {block.Number} and holds none of its {block.Rows} rows, {AttemptsMax} times over: rows older than its TTL, or a trigger, may drop them");
                    }

                    block = block with { Attempt = block.Attempt + 1 };
                    await record(block);
                }

                await InsertAsync(block, token);
            }

            return true;
        },
        cancel);

    private Task InsertAsync(ReplayBlock block, CancellationToken cancel) => session.InsertAsync(
        block.Table, block.Columns, block.Bytes, string.Create(CultureInfo.InvariantCulture, $"{origin}/day{block.Day}+{block.Rows}/{block.Number}/{block.Attempt}"), cancel);

    private async Task<bool> HoldsAsync(ReplayBlock block, CancellationToken cancel)
    {
        var running = await session.QueryAsync(string.Create(
            CultureInfo.InvariantCulture, $"SELECT count() FROM system.processes WHERE position(Settings['insert_deduplication_token'], '/{block.Number}/') > 0"), cancel);
        if (running[0][0] != "0")
        {
            throw new TimeoutException("an earlier insert of the same block has not ended yet");
        }

        var day = DateTimeOffset.UnixEpoch.AddDays(block.Day).ToString("yyyyMMdd", CultureInfo.InvariantCulture);
        var rows = await session.QueryAsync(string.Create(
            CultureInfo.InvariantCulture,
            $"SELECT count() FROM {block.Table} WHERE `{TableSchema.BlockColumn}` = {block.Number} AND toYYYYMMDD(`{Schema.TimeName}`, 'UTC') = {day}"), cancel);
        var count = long.Parse(rows[0][0]!, CultureInfo.InvariantCulture);
        return count == block.Rows || (count == 0
            ? false
            : throw new ClickHouseFailureException($"table {block.Table} holds {count} of {block.Rows} rows of block {block.Number}"));
    }
}
