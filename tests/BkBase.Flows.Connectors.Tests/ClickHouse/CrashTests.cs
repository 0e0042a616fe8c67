using System.Globalization;
using System.Net;
using System.Text;
using System.Web;
using Akka.Actor;
using Akka.Streams;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Operators;
using BkBase.Flows.Runtime;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

/// <summary>
/// Runs a flow into the real engine and ends it at random moments, between a transport and a checkpoint store that fail
/// at random. However often it dies, the tables end with each row once. <c>BKBASE_SEED</c> replays one schedule,
/// <c>BKBASE_SCHEDULES</c> says how many there are.
/// </summary>
public sealed class CrashTests(ClickHouseFixture fixture) : IClassFixture<ClickHouseFixture>
{
    private const string Yaml = """
        flow: crash
        biz: 2
        sources:
          - name: in
            type: memory
            etl:
              type: json
              time: { path: t, unit: ms }
              fields:
                id: { path: id, type: int64 }
                k: { path: k, type: string }
        nodes:
          - { name: even, type: filter, from: in, where: "id % 2 = 0" }
          - { name: kept, type: filter, from: in, where: "id % 3 >= KEEP" }
        sinks:
          - { type: clickhouse, from: in, table: all_rows, ttl: 36500d }
          - { type: clickhouse, from: even, table: even_rows, ttl: 36500d }
          - { type: clickhouse, from: kept, table: kept_rows, ttl: 36500d }
        """;

    // The same with state before two of the tables: rows that come twice pass once.
    private const string StatefulYaml = """
        flow: crash
        biz: 2
        sources:
          - name: in
            type: memory
            etl:
              type: json
              time: { path: t, unit: ms }
              fields:
                id: { path: id, type: int64 }
                k: { path: k, type: string }
        nodes:
          - { name: once, type: dedupe, from: in, by: [id, k], within: 10d }
          - { name: even, type: filter, from: once, where: "id % 2 = 0" }
          - { name: kept, type: filter, from: once, where: "id % 3 >= KEEP" }
        sinks:
          - { type: clickhouse, from: in, table: all_rows, ttl: 36500d }
          - { type: clickhouse, from: once, table: once_rows, ttl: 36500d }
          - { type: clickhouse, from: even, table: even_rows, ttl: 36500d }
          - { type: clickhouse, from: kept, table: kept_rows, ttl: 36500d }
        """;

    public static TheoryData<int> Seeds()
    {
        var seeds = new TheoryData<int>();
        if (int.TryParse(Environment.GetEnvironmentVariable("BKBASE_SEED"), CultureInfo.InvariantCulture, out var one))
        {
            seeds.Add(one);
            return seeds;
        }

        var schedules = int.TryParse(Environment.GetEnvironmentVariable("BKBASE_SCHEDULES"), CultureInfo.InvariantCulture, out var given) ? given : 20;
        for (var seed = 1; seed <= schedules; seed++)
        {
            seeds.Add(seed);
        }

        return seeds;
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task TablesHoldEachRowOnceHoweverOftenTheFlowDies(int seed)
    {
        var random = new Random(seed);
        var database = FormattableString.Invariant($"crash_{seed}");
        using var direct = fixture.Connect(database);
        await direct.Session.ExecuteAsync($"DROP DATABASE IF EXISTS {database} SYNC");
        var records = Records(random, 400 + random.Next(2000));
        var store = new MemoryCheckpointStore();
        var deaths = 0;
        var window = random.Next(2) == 0 ? 2 : 10_000;
        for (var run = 0; ; run++)
        {
            var calm = run >= 12;
            using var world = new World(fixture.Address, database, seed * 100 + run, window, calm);
            if (await world.RunAsync(store, records, random))
            {
                break;
            }

            deaths++;
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            Assert.False(world.LastFailure.Contains("The table is behind its checkpoint", StringComparison.Ordinal), $"seed {seed}: a false alarm: {world.LastFailure}");
            Assert.True(run < 40, $"seed {seed}: no end after {run} runs; last failure: {world.LastFailure}");
        }

        // Two revisions took turns; one of them drops every third id. Each record was treated by one of them, once.
        var kept = (await direct.Session.QueryAsync($"SELECT count() = uniqExact(id), countIf(id % 3 > 0) FROM {database}.`2_kept_rows`"))[0];
        var must = Ids(records).Count(i => i % 3 > 0).ToString(CultureInfo.InvariantCulture);
        Assert.True(kept[0] == "1" && kept[1] == must, $"seed {seed}, kept_rows: expected 1 {must}, found {string.Join(' ', kept)}");
        var bad = records.Count(r => r.Payload[0] != '{');
        foreach (var (table, step) in new[] { ("2_all_rows", 1), ("2_even_rows", 2) })
        {
            var row = (await direct.Session.QueryAsync($"SELECT count(), uniqExact(id), sum(id) FROM {database}.`{table}`"))[0];
            Assert.True(Sums(records, step) == string.Join(' ', row), $"seed {seed}, {table}: expected {Sums(records, step)}, found {string.Join(' ', row)} after {deaths} deaths");
        }

        Assert.Equal(bad.ToString(CultureInfo.InvariantCulture), (await direct.Session.QueryAsync($"SELECT count() FROM {database}.dead_letters"))[0][0]);
        var audit = await new TableAudit(direct, TimeProvider.System).RunAsync(() => new FlowLauncher(store, null!).RecordsAsync("crash", CancellationToken.None), CancellationToken.None);
        Assert.True(audit.IsExact && audit.Checked > 0, $"seed {seed}: {string.Join("; ", audit.Findings.Select(f => f.Message))} ({audit.Checked} checked)");
        Assert.Contains(FormattableString.Invariant($"non_replicated_deduplication_window = {window}"), (await direct.Session.QueryAsync($"SELECT engine_full FROM system.tables WHERE database = '{database}' AND name = '2_all_rows'"))[0][0], StringComparison.Ordinal);
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: window {window}, {records.Count} records, {deaths} deaths");
        await direct.Session.ExecuteAsync($"DROP DATABASE {database} SYNC");
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public async Task StateAndTablesAgreeHoweverOftenTheFlowDies(int seed)
    {
        var random = new Random(seed);
        var number = 10_000 + seed;
        var database = FormattableString.Invariant($"crash_{number}");
        using var direct = fixture.Connect(database);
        await direct.Session.ExecuteAsync($"DROP DATABASE IF EXISTS {database} SYNC");
        var records = Repeated(random, Records(random, 400 + random.Next(2000)));
        var store = new MemoryCheckpointStore();
        var deaths = 0;
        for (var run = 0; ; run++)
        {
            var calm = run >= 12;
            using var world = new World(fixture.Address, database, number * 100 + run, 10_000, calm) { Text = StatefulYaml };
            if (await world.RunAsync(store, records, random))
            {
                break;
            }

            deaths++;
            Assert.True(run < 40, $"seed {seed}: no end after {run} runs; last failure: {world.LastFailure}");
        }

        var ids = Ids(records);
        var once = ids.Distinct().ToArray();
        await HoldsAsync("2_all_rows", ids);
        await HoldsAsync("2_once_rows", once);
        await HoldsAsync("2_even_rows", [.. once.Where(i => i % 2 == 0)]);
        var kept = (await direct.Session.QueryAsync($"SELECT count() = uniqExact(id), countIf(id % 3 > 0) FROM {database}.`2_kept_rows`"))[0];
        var must = once.Count(i => i % 3 > 0).ToString(CultureInfo.InvariantCulture);
        Assert.True(kept[0] == "1" && kept[1] == must, $"seed {seed}, kept_rows: expected 1 {must}, found {string.Join(' ', kept)}");
        var bad = records.Count(r => r.Payload[0] != '{').ToString(CultureInfo.InvariantCulture);
        Assert.Equal(bad, (await direct.Session.QueryAsync($"SELECT count() FROM {database}.dead_letters"))[0][0]);
        var record = FlowRecordFormat.Decode(Assert.Single(await store.ReadAsync(FlowRecord.FolderOf("crash"), CancellationToken.None)).Record, "crash");
        Assert.Empty(record.Pending);
        Assert.Equal(records.Count, record.Cuts.Values.Sum(c => c.Offset + 1));
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}: {records.Count} records, {deaths} deaths, {record.Number} barriers");
        await direct.Session.ExecuteAsync($"DROP DATABASE {database} SYNC");

        async Task HoldsAsync(string table, long[] rows)
        {
            var expected = FormattableString.Invariant($"{rows.Length} {rows.Distinct().Count()} {rows.Sum()}");
            var found = (await direct.Session.QueryAsync($"SELECT count(), uniqExact(id), sum(id) FROM {database}.`{table}`"))[0];
            Assert.True(expected == string.Join(' ', found), $"seed {seed}, {table}: expected {expected}, found {string.Join(' ', found)} after {deaths} deaths");
        }
    }

    // Behind each record, now and then, one that was there before, in any partition.
    private static List<(int Partition, byte[] Payload, long AppendTime)> Repeated(Random random, List<(int Partition, byte[] Payload, long AppendTime)> records)
    {
        var repeated = new List<(int Partition, byte[] Payload, long AppendTime)>();
        foreach (var record in records)
        {
            repeated.Add(record);
            if (random.Next(3) == 0)
            {
                repeated.Add(repeated[random.Next(repeated.Count)] with { Partition = random.Next(3) });
            }
        }

        return repeated;
    }

    private static string Sums(List<(int Partition, byte[] Payload, long AppendTime)> records, int step)
    {
        var ids = Ids(records).Where(i => i % step == 0).ToArray();
        return FormattableString.Invariant($"{ids.Length} {ids.Length} {ids.Sum()}");
    }

    private static long[] Ids(List<(int Partition, byte[] Payload, long AppendTime)> records) =>
        [.. records.Where(r => r.Payload[0] == '{').Select(r => long.Parse(Encoding.UTF8.GetString(r.Payload).Split("\"id\":")[1].Split(',')[0], CultureInfo.InvariantCulture))];

    // Three partitions, event times that hop over two midnights, a few records that are no JSON.
    private static List<(int Partition, byte[] Payload, long AppendTime)> Records(Random random, int count)
    {
        var records = new List<(int, byte[], long)>();
        for (var id = 0; id < count; id++)
        {
            var time = Rows.T0 + random.NextInt64(-Rows.Day, 2 * Rows.Day);
            var text = random.Next(50) == 0 ? $"broken {id}" : FormattableString.Invariant($"{{\"t\":{time},\"id\":{id},\"k\":\"k{id % 7}\"}}");
            records.Add((random.Next(3), Encoding.UTF8.GetBytes(text), Rows.T0 + (3 * Rows.Day)));
        }

        return records;
    }

    /// <summary>One process' life: what it sends after its death reaches nobody.</summary>
    private sealed class World(Uri address, string database, int seed, int window, bool calm) : IDisposable
    {
        private readonly CancellationTokenSource _dead = new();
        private readonly ActorSystem _system = ActorSystem.Create("crash", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");

        public string LastFailure { get; private set; } = "";

        public string Text { get; init; } = Yaml;

        public async Task<bool> RunAsync(MemoryCheckpointStore store, List<(int Partition, byte[] Payload, long AppendTime)> records, Random random)
        {
            using var transport = new FaultyTransport(seed, window, calm, _dead.Token);
            using var connector = new ClickHouseConnector(
                ClickHouseOptions.At(address) with
                {
                    Database = database,
                    Fsync = false,
                    Handler = transport,
                    Timeout = calm ? TimeSpan.FromSeconds(60) : TimeSpan.FromMilliseconds(400),
                    RetryMin = TimeSpan.FromMilliseconds(1),
                    RetryMax = TimeSpan.FromMilliseconds(20),
                },
                TimeProvider.System);
            var catalog = new FlowCatalog(
                [new("memory", "records from memory", "{ name: in, type: memory }", [], _ => new Settings())], EtlCatalog.All, OperatorCatalog.All(null!, TimeProvider.System), [connector.SinkEntry()]);
            var reader = new FlowReader(catalog);
            var text = Text.Replace("KEEP", random.Next(2) == 0 ? "0" : "1", StringComparison.Ordinal);
            var reading = reader.Read("crash.yaml", text);
            Assert.True(reading.Flow is not null, string.Join('\n', reading.Diagnostics));
            var flow = reading.Flow with { Limits = new FlowLimits { BlockRows = 1 + random.Next(200), Flush = TimeSpan.FromMilliseconds(random.Next(1, 60)), Pending = 1 + random.Next(4) } };
            var runner = new FlowLauncher(new DyingStore(store, seed, calm, _dead.Token), reader)
            {
                Interval = TimeSpan.FromMilliseconds(5),
                Verify = new TableAudit(connector, TimeProvider.System).EnsureNotBehindAsync,
            };
            var environment = new FlowEnvironment(TimeProvider.System, new DeadLetterSink(connector))
            {
                Sources = new Dictionary<string, ISource>(StringComparer.Ordinal) { ["in"] = new MemorySource(records, 1 + random.Next(60)) },
            };
            var completion = RunToEndAsync(runner, flow, environment);
            var death = calm ? Task.Delay(Timeout.Infinite, _dead.Token) : Task.Delay(random.Next(5, 250), CancellationToken.None);
            var ended = await Task.WhenAny(completion, death);
            if (ended == completion && completion.IsCompletedSuccessfully)
            {
                return true;
            }

            LastFailure = completion.Exception?.GetBaseException().ToString() ?? "killed";
            await _dead.CancelAsync();
            await _system.Terminate();
            await transport.LosingAsync();
            return false;
        }

        private async Task RunToEndAsync(FlowLauncher runner, FlowDefinition flow, FlowEnvironment environment) =>
            await (await runner.StartAsync(flow, environment, _system.Materializer(), _dead.Token)).Completion;

        public void Dispose()
        {
            _dead.Cancel();
            _system.Dispose();
            _dead.Dispose();
        }
    }

    private sealed class Settings : ISourceSettings
    {
        public string Describe => "memory";

        public bool IsBounded => true;

        public ISource Create() => new MemorySource([]);
    }

    /// <summary>Loses requests, loses answers, and loses rows whose token the engine has noted.</summary>
    private sealed class FaultyTransport(int seed, int window, bool calm, CancellationToken dead) : DelegatingHandler(new SocketsHttpHandler())
    {
        private readonly Random _random = new(seed);
        private readonly List<Task> _losing = [];

        /// <summary>A killed store has lost its rows before anybody can ask it for them.</summary>
        public Task LosingAsync()
        {
            lock (_random)
            {
                return Task.WhenAll(_losing);
            }
        }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            dead.ThrowIfCancellationRequested();
            var query = HttpUtility.ParseQueryString(request.RequestUri!.Query);
            var isInsert = query["insert_deduplication_token"] is not null;
            int dice;
            lock (_random)
            {
                dice = calm || !isInsert ? 100 : _random.Next(100);
            }

            if (!isInsert)
            {
                await NarrowAsync(request);
            }

            switch (dice)
            {
                case < 5:
                    throw new HttpRequestException("the request was lost");
                case < 12:
                    // The insert lives on without its sender.
                    (await base.SendAsync(request, CancellationToken.None)).Dispose();
                    throw new HttpRequestException("the answer was lost");
                case < 16:
                    var losing = LoseAsync(request, query["insert_deduplication_token"]!.Split('/'));
                    lock (_random)
                    {
                        _losing.Add(losing);
                    }

                    await losing;
                    throw new HttpRequestException("the store was killed behind the token and before the rows");
                case < 20:
                    return new HttpResponseMessage(HttpStatusCode.ServiceUnavailable) { Content = new StringContent("Code: 252. DB::Exception: Too many parts") };
                case < 23:
                    // The store takes its time, the sender does not wait: the insert runs while it is read back.
                    var stalled = await StallAsync(request);
                    (await base.SendAsync(stalled, CancellationToken.None).WaitAsync(cancellationToken)).Dispose();
                    throw new HttpRequestException("the answer was lost after a stall");
                default:
                    // What was sent may arrive though the sender dies.
                    var sent = base.SendAsync(request, isInsert ? CancellationToken.None : cancellationToken);
                    var response = await sent.WaitAsync(CancellationToken.None);
                    dead.ThrowIfCancellationRequested();
                    return response;
            }
        }

        // Tables with a deduplication window of two: tokens are forgotten at once.
        private async Task NarrowAsync(HttpRequestMessage request)
        {
            if (request.Content is not null && await request.Content.ReadAsStringAsync(CancellationToken.None) is var text && text.StartsWith("CREATE TABLE", StringComparison.Ordinal))
            {
                request.Content = new StringContent(text.Replace("window = 10000", FormattableString.Invariant($"window = {window}"), StringComparison.Ordinal));
            }
        }

        private async Task<HttpRequestMessage> StallAsync(HttpRequestMessage request)
        {
            var bytes = await request.Content!.ReadAsByteArrayAsync(CancellationToken.None);
            int pause;
            lock (_random)
            {
                pause = _random.Next(100, 1000);
            }

            var copy = new HttpRequestMessage(request.Method, request.RequestUri) { Content = new StalledContent(bytes, TimeSpan.FromMilliseconds(pause)) };
            foreach (var (name, values) in request.Headers)
            {
                copy.Headers.TryAddWithoutValidation(name, values);
            }

            foreach (var (name, values) in request.Content.Headers)
            {
                copy.Content.Headers.TryAddWithoutValidation(name, values);
            }

            return copy;
        }

        private async Task LoseAsync(HttpRequestMessage insert, string[] token)
        {
            (await base.SendAsync(insert, CancellationToken.None)).Dispose();
            var table = token[2];
            var database = $"crash_{(seed / 100).ToString(CultureInfo.InvariantCulture)}";
            var sql = $"DELETE FROM {database}.`{table}` WHERE _block = {token[^2]}";
            var at = new UriBuilder(insert.RequestUri!) { Query = "" }.Uri;
            using var request = new HttpRequestMessage(HttpMethod.Post, at) { Content = new StringContent(sql) };
            using var response = await base.SendAsync(request, CancellationToken.None);
            Assert.True(response.IsSuccessStatusCode, await response.Content.ReadAsStringAsync(CancellationToken.None));
        }
    }

    /// <summary>A body whose second half comes late.</summary>
    private sealed class StalledContent(byte[] bytes, TimeSpan pause) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync(bytes.AsMemory(0, bytes.Length / 2));
            await stream.FlushAsync();
            await Task.Delay(pause);
            await stream.WriteAsync(bytes.AsMemory(bytes.Length / 2));
        }

        protected override bool TryComputeLength(out long length)
        {
            length = bytes.Length;
            return true;
        }
    }

    /// <summary>A checkpoint store that is away now and then, and takes nothing from the dead.</summary>
    private sealed class DyingStore(ICheckpointStore inner, int seed, bool calm, CancellationToken dead) : ICheckpointStore
    {
        private readonly Random _random = new(seed);

        public Task<Claim> ClaimAsync(string task, CancellationToken cancel) => Alive(() => inner.ClaimAsync(task, cancel));

        public async Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel)
        {
            int dice;
            lock (_random)
            {
                dice = calm ? 100 : _random.Next(100);
            }

            if (dice < 7)
            {
                throw new IOException("away");
            }

            var refused = await Alive(() => inner.PublishAsync(publications, cancel));
            return dice < 14 ? throw new IOException("published, but the answer was lost") : refused;
        }

        public Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel) => Alive(() => inner.ReadAsync(flow, cancel));

        public Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel) => Alive(() => inner.RemoveAsync(task, epoch, cancel));

        public Task<long> NextWriterAsync(long least, CancellationToken cancel) => Alive(() => inner.NextWriterAsync(least, cancel));

        public Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel) => inner.KeepRevisionAsync(flow, revision, text, cancel);

        public Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel) => inner.RevisionAsync(flow, revision, cancel);

        private Task<T> Alive<T>(Func<Task<T>> action) => dead.IsCancellationRequested ? Task.FromException<T>(new OperationCanceledException(dead)) : action();
    }
}
