using BkBase.Flows.Delivery;
using Npgsql;

namespace BkBase.Flows.Runtime.Checkpoints;

/// <summary>Checkpoints in PostgreSQL, for processes on several machines. Each claim and each publication is one statement, so that its condition and its effect cannot come apart.</summary>
public sealed class PostgresCheckpointStore : ICheckpointStore, IAsyncDisposable
{
    private const string Ddl = """
        CREATE SCHEMA IF NOT EXISTS bkbase;
        CREATE TABLE IF NOT EXISTS bkbase.checkpoints (task text PRIMARY KEY, epoch bigint NOT NULL, record bytea, record_epoch bigint);
        CREATE TABLE IF NOT EXISTS bkbase.revisions (flow text, revision text, content text NOT NULL, PRIMARY KEY (flow, revision));
        CREATE TABLE IF NOT EXISTS bkbase.writers (one boolean PRIMARY KEY CHECK (one), writer bigint NOT NULL);
        """;

    // Any constant: two processes that make the tables at the same time must not collide.
    private const long DdlLock = 0x626B62617365;

    private readonly NpgsqlDataSource _source;
    private volatile bool _isReady;

    /// <param name="connection">Npgsql's connection string.</param>
    public PostgresCheckpointStore(string connection) => _source = NpgsqlDataSource.Create(connection);

    public Task<Claim> ClaimAsync(string task, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(
                "INSERT INTO bkbase.checkpoints AS c (task, epoch) VALUES ($1, 1) ON CONFLICT (task) DO UPDATE SET epoch = c.epoch + 1 RETURNING epoch, record");
            command.Parameters.AddWithValue(task);
            await using var reader = await command.ExecuteReaderAsync(token);
            await reader.ReadAsync(token);
            return new Claim(task, reader.GetInt64(0), await reader.IsDBNullAsync(1, token) ? null : reader.GetFieldValue<byte[]>(1));
        },
        cancel);

    public Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand("""
                UPDATE bkbase.checkpoints c SET record = p.record, record_epoch = p.epoch
                FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS p (task, epoch, record)
                WHERE c.task = p.task AND c.epoch = p.epoch RETURNING c.task
                """);
            command.Parameters.AddWithValue(publications.Select(p => p.Task).ToArray());
            command.Parameters.AddWithValue(publications.Select(p => p.Epoch).ToArray());
            command.Parameters.AddWithValue(publications.Select(p => p.Record).ToArray());
            var written = new HashSet<string>(StringComparer.Ordinal);
            await using var reader = await command.ExecuteReaderAsync(token);
            while (await reader.ReadAsync(token))
            {
                written.Add(reader.GetString(0));
            }

            return (IReadOnlyList<string>)[.. publications.Select(p => p.Task).Where(t => !written.Contains(t))];
        },
        cancel);

    public Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(
                "SELECT task, record_epoch, record FROM bkbase.checkpoints WHERE starts_with(task, $1) AND record IS NOT NULL ORDER BY task COLLATE \"C\"");
            command.Parameters.AddWithValue(flow + "/");
            var records = new List<StoredRecord>();
            await using var reader = await command.ExecuteReaderAsync(token);
            while (await reader.ReadAsync(token))
            {
                records.Add(new StoredRecord(reader.GetString(0), reader.GetInt64(1), reader.GetFieldValue<byte[]>(2)));
            }

            return (IReadOnlyList<StoredRecord>)records;
        },
        cancel);

    public Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand("UPDATE bkbase.checkpoints SET record = NULL, record_epoch = NULL WHERE task = $1 AND epoch = $2");
            command.Parameters.AddWithValue(task);
            command.Parameters.AddWithValue(epoch);
            return await command.ExecuteNonQueryAsync(token) == 1;
        },
        cancel);

    public Task<long> NextWriterAsync(long least, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand(
                "INSERT INTO bkbase.writers AS w (one, writer) VALUES (true, $1) ON CONFLICT (one) DO UPDATE SET writer = GREATEST(w.writer + 1, $1) RETURNING writer");
            command.Parameters.AddWithValue(least);
            return (long)(await command.ExecuteScalarAsync(token))!;
        },
        cancel);

    public Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand("INSERT INTO bkbase.revisions VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
            command.Parameters.AddWithValue(flow);
            command.Parameters.AddWithValue(revision);
            command.Parameters.AddWithValue(text);
            return await command.ExecuteNonQueryAsync(token);
        },
        cancel);

    public Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel) => RunAsync(
        async token =>
        {
            await using var command = _source.CreateCommand("SELECT content FROM bkbase.revisions WHERE flow = $1 AND revision = $2");
            command.Parameters.AddWithValue(flow);
            command.Parameters.AddWithValue(revision);
            return (string?)await command.ExecuteScalarAsync(token);
        },
        cancel);

    public ValueTask DisposeAsync() => _source.DisposeAsync();

    private async Task<T> RunAsync<T>(Func<CancellationToken, Task<T>> action, CancellationToken cancel)
    {
        try
        {
            if (!_isReady)
            {
                await PrepareAsync(cancel);
                _isReady = true;
            }

            return await action(cancel);
        }
        catch (PostgresException e) when (!e.IsTransient)
        {
            throw new CheckpointException($"PostgreSQL refuses the checkpoints: {e.MessageText} ({e.SqlState})", e);
        }
        catch (NpgsqlException e)
        {
            throw new IOException($"PostgreSQL: {e.Message.Split('\n')[0]}", e);
        }
    }

    private async Task PrepareAsync(CancellationToken cancel)
    {
        await using var connection = await _source.OpenConnectionAsync(cancel);
        await using var transaction = await connection.BeginTransactionAsync(cancel);
        await using var command = new NpgsqlCommand($"SELECT pg_advisory_xact_lock({DdlLock}); {Ddl}", connection, transaction);
        await command.ExecuteNonQueryAsync(cancel);
        await transaction.CommitAsync(cancel);
    }
}
