using System.Buffers;
using BkBase.Flows.Definition;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Operators;

public sealed class DedupeTests
{
    private const long Minute = 60_000;

    [Fact]
    public void ARepeatWithinTheSpanIsDroppedAndALaterOneStays()
    {
        var output = new RecordedOutput();
        Node(["host"]).OnBatch(Rows((0, "a"), (1, "b"), (9, "a"), (10, "a"), (12, "a"), (3, "b")), 0, output);
        Assert.Equal([0L, Minute, 10 * Minute], Times(output));
        Assert.Equal(3, output.FilteredRows);
    }

    [Fact]
    public void KeysOfSeveralColumnsAndNullsAreTheirOwn()
    {
        var output = new RecordedOutput();
        Node(["host", "n", "zone", "line", "dimensions", "cpu", "ok", "small"]).OnBatch(Batches.Three, 0, output);
        Node(["host", "n", "zone", "line", "dimensions", "cpu", "ok", "small"]).OnBatch(
            Batches.Of(Batches.Schema,
                [0L, "a", null, null, 0, null, null, null, null, ""],
                [1L, "a", null, 0L, 0, null, null, null, null, ""],
                [2L, "a", null, null, 0, null, "", null, null, ""],
                [3L, "a", null, null, 0, null, null, null, null, ""],
                [4L, "a", null, null, 0, null, null, null, null, "p=q"]), 0, output);
        Assert.Equal([61_000L, 120_500L, 0L, 0L, 1L, 2L, 4L], Times(output));
    }

    [Fact]
    public void AnotherDictionaryMeansTheSameKeys()
    {
        var output = new RecordedOutput();
        var node = Node(["host"]);
        node.OnBatch(Rows((0, "a"), (0, "b")), 0, output);
        node.OnBatch(Rows((1, "b"), (1, "c"), (1, "a")), 0, output);
        Assert.Equal([0L, 0L, Minute], Times(output));
    }

    [Fact]
    public void AtItsBoundRowsOfNewKeysPassUnrememberedAndTheNodeSaysSo()
    {
        var output = new RecordedOutput();
        var node = (Dedupe)Settings(["host"]).Create([Batches.Schema], new FlowLimits { Keys = 2 });
        node.OnBatch(Rows((0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "a")), 0, output);
        Assert.Equal([0L, 0L, 0L, Minute], Times(output));
        Assert.Contains("2 rows of the last batch passed unremembered", Assert.Single(output.Troubles), StringComparison.Ordinal);

        // Far ahead the old keys are forgotten, and all is well again.
        node.OnBatch(Rows((100, "d"), (100, "e"), (101, "d")), 0, output);
        Assert.Equal([100 * Minute, 100 * Minute], Times(output)[4..]);
        Assert.Null(output.Troubles[^1]);
        Assert.Equal(2, node.Count);
    }

    [Fact]
    public void AnUnknownColumnIsAFinding()
    {
        var bag = new DiagnosticBag("f.yaml");
        Assert.Null(Settings(["hots"]).Resolve([Batches.Schema], bag));
        Assert.Contains("no column 'hots' here", Assert.Single(bag.Sorted()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DamagedStateIsRefused()
    {
        var state = new ArrayBufferWriter<byte>();
        var node = Node(["host"]);
        node.OnBatch(Rows((0, "a"), (0, "bc")), 0, new RecordedOutput());
        node.Snapshot(state);
        for (var length = 0; length < state.WrittenCount; length++)
        {
            Assert.Throws<InvalidDataException>(() => Node(["host"]).Restore(state.WrittenSpan[..length], 1));
        }
    }

    [Fact]
    public void EveryOperatorWithStateIsInTheContractTest() =>
        Assert.Equal([typeof(Dedupe)], typeof(ISnapshot).Assembly.GetTypes().Where(t => t.IsClass && t.IsAssignableTo(typeof(ISnapshot))));

    /// <summary>The contract of <see cref="ISnapshot"/>: cut anywhere, as often as you like, the output is the same.</summary>
    [Theory]
    [InlineData(1, 40)]
    [InlineData(2, 40)]
    [InlineData(3, 1_000_000)]
    [InlineData(4, 12)]
    [InlineData(5, 300)]
    public void RestoredAtAnyPointItGoesOnAsIfItHadNeverStopped(int seed, int keys)
    {
        var random = new Random(seed);
        var batches = Enumerable.Range(0, 120).Select(i => Rows([.. Enumerable.Range(0, random.Next(30)).Select(_ => ((i / 2) + random.Next(25), $"h{random.Next(80)}"))])).ToArray();
        var limits = new FlowLimits { Keys = keys };
        var (whole, parts) = (new RecordedOutput(), new RecordedOutput());
        var uninterrupted = Settings(["host"]).Create([Batches.Schema], limits);
        var restored = Settings(["host"]).Create([Batches.Schema], limits);
        var restarts = 0;
        foreach (var batch in batches)
        {
            uninterrupted.OnBatch(batch, 0, whole);
            restored.OnBatch(batch, 0, parts);
            if (random.Next(3) == 0)
            {
                var state = new ArrayBufferWriter<byte>();
                ((ISnapshot)restored).Snapshot(state);
                restored = Settings(["host"]).Create([Batches.Schema], limits);
                ((ISnapshot)restored).Restore(state.WrittenSpan, ((ISnapshot)restored).SnapshotVersion);
                restarts++;
            }
        }

        Assert.True(restarts > 20 && whole.FilteredRows > 100);
        Assert.Equal(whole.FilteredRows, parts.FilteredRows);
        Assert.Equal(Print(whole), Print(parts));

        static List<string> Print(RecordedOutput output) =>
            [.. output.Batches.SelectMany(b => Enumerable.Range(0, b.Batch.Count).Select(r => $"{b.Batch.Times[r]} {b.Batch["host"].GetValue(r)}"))];
    }

    private static DedupeSettings Settings(string[] by) => new([.. by.Select(b => new Located(b, new Position(1, 1)))], TimeSpan.FromMinutes(10));

    private static Dedupe Node(string[] by) => (Dedupe)Settings(by).Create([Batches.Schema]);

    private static long[] Times(RecordedOutput output) => [.. output.Batches.SelectMany(b => b.Batch.Times.ToArray())];

    private static RecordBatch Rows(params (int Minute, string Host)[] rows) =>
        Batches.Of(Batches.Schema, [.. rows.Select(r => new object?[] { r.Minute * Minute, r.Host, null, null, 0, null, null, null, null, "" })]);
}
