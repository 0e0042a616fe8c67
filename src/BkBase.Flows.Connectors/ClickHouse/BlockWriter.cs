using System.Globalization;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Encodes and inserts blocks of one table, several at a time; a retry sends the same bytes.</summary>
internal sealed class BlockWriter(ClickHouseSession session, TableSchema table, string origin)
{
    private const int AttemptsMax = 3;

    private readonly Stack<NativeEncoder> _encoders = new();
    private readonly string[] _columns = [.. table.Columns.Select(c => c.Name)];
    private readonly Lock _gate = new();

    public Task EnsureTableAsync(CancellationToken cancel) => session.WithRetriesAsync(
        $"table {table.Database}.{table.Table}",
        async (_, token) =>
        {
            await new TableManager(session).EnsureAsync(table, token);
            return true;
        },
        cancel);

    /// <summary>Name of the table without its database.</summary>
    public string TableName => table.Table;

    /// <summary>Name of the table, for messages.</summary>
    public string Table => $"table {table.Database}.{table.Table}";

    /// <summary>
    /// Sends a recorded block until the table holds it. The first answer of OK is enough for a block that was never sent
    /// before. For any other the table is read back, because the store notes a token before the rows it stands for: a
    /// kill between the two loses the rows, and the same token is then answered OK for nothing.
    /// </summary>
    /// <param name="resend">Raises the block's attempt and records it; called before a new attempt is sent.</param>
    /// <exception cref="ClickHouseFailureException">The table holds a part of the block, or takes none of it.</exception>
    public async Task WriteAsync(Block block, Func<Block, Task> resend, CancellationToken cancel)
    {
        var encoder = Rent();
        var bytes = encoder.Encode(table.Schema, block.Parts, block.Number);
        block.Parts.Clear();
        await session.WithRetriesAsync(
            $"insert into {table.Database}.{table.Table}",
            async (attempt, token) =>
            {
                if (attempt == 1 && !block.IsRebuilt)
                {
                    await session.InsertAsync(table.QuotedName, _columns, bytes, Token(block), token);
                }
                else
                {
                    await WriteUnclearAsync(block, bytes, resend, token);
                }

                return true;
            },
            cancel);
        Return(encoder);
    }

    /// <summary>Rows that the table holds of each of these blocks; those it holds none of are absent.</summary>
    public Task<IReadOnlyDictionary<ulong, long>> CountAsync(IReadOnlyList<RecordedBlock> blocks, CancellationToken cancel) => session.WithRetriesAsync(
        $"read back blocks of {table.Database}.{table.Table}",
        async (_, token) =>
        {
            await EnsureNotRunningAsync(blocks, token);
            return await CountOnceAsync(blocks, token);
        },
        cancel);

    internal string Token(Block block) => string.Create(
        CultureInfo.InvariantCulture,
        $"{origin}/{block.Partition.Source}/{block.Partition.Partition}/{block.First}-{block.Last}/day{block.Day}+{block.Rows}/{block.Number}/{block.Attempt}");

    private async Task WriteUnclearAsync(Block block, ReadOnlyMemory<byte> bytes, Func<Block, Task> resend, CancellationToken cancel)
    {
        var first = block.Attempt;
        for (var isAnswered = false; ; isAnswered = true)
        {
            RecordedBlock[] only = [block.ToRecord()];
            await EnsureNotRunningAsync(only, cancel);
            var count = (await CountOnceAsync(only, cancel)).GetValueOrDefault(block.Number);
            if (count == block.Rows)
            {
                return;
            }

            if (count != 0)
            {
                throw new ClickHouseFailureException($"{Table} holds {count} of {block.Rows} rows of block {block.Number} ({Token(block)})");
            }

            if (isAnswered)
            {
                // The store answered OK to this token and holds none of its rows: the token is noted, the rows are lost.
                if (block.Attempt - first >= AttemptsMax)
                {
                    throw new ClickHouseFailureException($"{Table} answers OK to block {block.Number} and holds none of its {block.Rows} rows, {AttemptsMax} times over: rows older than its TTL, or a trigger, may drop them");
                }

                await resend(block);
            }

            await session.InsertAsync(table.QuotedName, _columns, bytes, Token(block), cancel);
        }
    }

    // An attempt that still runs could put its rows in behind our back.
    private async Task EnsureNotRunningAsync(IReadOnlyList<RecordedBlock> blocks, CancellationToken cancel)
    {
        var numbers = string.Join(", ", blocks.Select(b => string.Create(CultureInfo.InvariantCulture, $"'/{b.Number}/'")));
        var rows = await session.QueryAsync(
            $"SELECT count() FROM system.processes WHERE arrayExists(n -> position(Settings['insert_deduplication_token'], n) > 0, [{numbers}])", cancel);
        if (rows[0][0] != "0")
        {
            throw new TimeoutException("an earlier insert of the same block has not ended yet");
        }
    }

    private Task<IReadOnlyDictionary<ulong, long>> CountOnceAsync(IReadOnlyList<RecordedBlock> blocks, CancellationToken cancel) =>
        session.CountBlocksAsync(table.QuotedName, blocks, cancel);

    private NativeEncoder Rent()
    {
        lock (_gate)
        {
            return _encoders.TryPop(out var encoder) ? encoder : new NativeEncoder();
        }
    }

    private void Return(NativeEncoder encoder)
    {
        lock (_gate)
        {
            _encoders.Push(encoder);
        }
    }
}
