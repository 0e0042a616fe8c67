using System.Globalization;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Encodes and inserts blocks of one table, several at a time; a retry sends the same bytes under the same token.</summary>
internal sealed class BlockWriter(ClickHouseSession session, TableSchema table, string origin)
{
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

    public async Task WriteAsync(Block block, CancellationToken cancel)
    {
        var encoder = Rent();
        var bytes = encoder.Encode(table.Schema, block.Parts, block.Number);
        block.Parts.Clear();
        var resend = 0;
        await session.WithRetriesAsync(
            $"insert into {table.Database}.{table.Table}",
            async (attempt, token) =>
            {
                await session.InsertAsync(table.QuotedName, _columns, bytes, Token(block, resend), token);
                while (attempt > 1)
                {
                    // The store may have noted the token of a failed try and lost its rows: an OK alone proves nothing.
                    var count = await CountAsync(block, token);
                    if (count == block.Rows)
                    {
                        break;
                    }

                    if (count != 0 || resend >= 3)
                    {
                        throw new ClickHouseFailureException(
                            $"table {table.Database}.{table.Table} holds {count} of {block.Rows} rows of block {block.Number} ({Token(block, resend)})");
                    }

                    resend++;
                    await session.InsertAsync(table.QuotedName, _columns, bytes, Token(block, resend), token);
                }

                return true;
            },
            cancel);
        Return(encoder);
    }

    internal string Token(Block block, int attempt) => string.Create(
        CultureInfo.InvariantCulture,
        $"{origin}/{block.Partition.Source}/{block.Partition.Partition}/{block.FirstOffset}-{block.LastOffset}/day{block.Day}+{block.Rows}/{block.Number}/{attempt}");

    private async Task<long> CountAsync(Block block, CancellationToken cancel)
    {
        var rows = await session.QueryAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $"SELECT count() FROM {table.QuotedName} WHERE `{TableSchema.BlockColumn}` = {block.Number} AND toYYYYMMDD(`{Schema.TimeName}`, 'UTC') = toYYYYMMDD(toDateTime({block.Day * 86400}, 'UTC'))"),
            cancel);
        return long.Parse(rows[0][0]!, CultureInfo.InvariantCulture);
    }

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
