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
                    await WriteUnclearAsync(block.ToRecord(), bytes, _columns, _ => Token(block), RaiseAsync, token);
                }

                return true;
            },
            cancel);
        Return(encoder);

        async Task<int> RaiseAsync()
        {
            await resend(block);
            return block.Attempt;
        }
    }

    /// <summary>Rows as a block that stands for itself.</summary>
    public ValueBlock Encode(string edge, ulong number, long day, IReadOnlyList<BlockPart> parts)
    {
        var encoder = Rent();
        var bytes = encoder.Encode(table.Schema, parts, number).ToArray();
        Return(encoder);
        return new ValueBlock(edge, number, table.QuotedName, [.. _columns], day, parts.Sum(p => p.Count), 0, bytes);
    }

    /// <summary>As <see cref="WriteAsync(Block, Func{Block, Task}, CancellationToken)"/>, for a block by value.</summary>
    /// <param name="isRecovered">Whether an earlier run recorded it: its fate is read back first.</param>
    /// <param name="raise">Records a new attempt and gives its number.</param>
    public Task WriteAsync(ValueBlock block, bool isRecovered, Func<Task<int>> raise, CancellationToken cancel)
    {
        if (block.Target != table.QuotedName)
        {
            throw new ClickHouseFailureException($"{Table} is asked for a block of {block.Target}: the flow writes another table or store now; run the former revision to its end first");
        }

        var recorded = new RecordedBlock(block.Number, block.Day, -1, -1, block.Rows, block.Attempt);
        return session.WithRetriesAsync(
            $"insert into {table.Database}.{table.Table}",
            async (attempt, token) =>
            {
                if (attempt == 1 && !isRecovered)
                {
                    await session.InsertAsync(table.QuotedName, block.Columns, block.Bytes, Token(recorded, block.Attempt), token);
                }
                else
                {
                    await WriteUnclearAsync(recorded, block.Bytes, block.Columns, number => Token(recorded, number), RaiseAsync, token);
                }

                return true;
            },
            cancel);

        async Task<int> RaiseAsync()
        {
            var raised = await raise();
            recorded = recorded with { Attempt = raised };
            return raised;
        }
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

    private string Token(RecordedBlock block, int attempt) => string.Create(
        CultureInfo.InvariantCulture, $"{origin}/barrier/day{block.Day}+{block.Rows}/{block.Number}/{attempt}");

    private async Task WriteUnclearAsync(
        RecordedBlock block, ReadOnlyMemory<byte> bytes, IReadOnlyList<string> columns, Func<int, string> tokenOf, Func<Task<int>> raise, CancellationToken cancel)
    {
        var first = block.Attempt;
        var attempt = first;
        for (var isAnswered = false; ; isAnswered = true)
        {
            RecordedBlock[] only = [block];
            await EnsureNotRunningAsync(only, cancel);
            var count = (await CountOnceAsync(only, cancel)).GetValueOrDefault(block.Number);
            if (count == block.Rows)
            {
                return;
            }

            if (count != 0)
            {
                throw new ClickHouseFailureException($"{Table} holds {count} of {block.Rows} rows of block {block.Number} ({tokenOf(attempt)})");
            }

            if (isAnswered)
            {
                // The store answered OK to this token and holds none of its rows: the token is noted, the rows are lost.
                if (attempt - first >= AttemptsMax)
                {
                    throw new ClickHouseFailureException($"{Table} answers OK to block {block.Number} and holds none of its {block.Rows} rows, {AttemptsMax} times over: rows older than its TTL, or a trigger, may drop them");
                }

                attempt = await raise();
            }

            await session.InsertAsync(table.QuotedName, columns, bytes, tokenOf(attempt), cancel);
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
