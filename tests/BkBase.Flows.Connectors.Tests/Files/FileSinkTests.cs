using System.Text.Json;
using Akka.Streams.Dsl;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Tests.ClickHouse;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.Files;

public sealed class FileSinkTests : StreamTest
{
    private string Out => Path.Combine(Folder, "sub", "out.ndjson");

    [Fact]
    public async Task WritesAllRowsAndConfirmsInOrder()
    {
        var confirmed = await Write(new FileConnector(Folder), Enumerable.Range(0, 50).Select(i => Rows.Metrics(i * 100, i % 5 == 4 ? 0 : 100, partition: i % 2)));
        Assert.Equal(Enumerable.Range(0, 4_000), Values(Out).Select((_, i) => i));
        Assert.Equal(Values(Out).Order(), Values(Out));
        foreach (var partition in confirmed.GroupBy(c => c.Partition))
        {
            Assert.Equal(partition.Select(c => c.Offset).Order(), partition.Select(c => c.Offset));
        }

        Assert.Equal(50, confirmed.Count);
    }

    [Fact]
    public async Task ConfirmsOnlyWhatIsOnDisk()
    {
        var connector = new FileConnector(Folder);
        var seen = new List<int>();
        await Source.From(Enumerable.Range(0, 20).Select(i => (StreamElement)Rows.Metrics(i * 10, 10)))
            .Via(Sink(connector).Create(Context(Rows.Metric)))
            .RunForeach(c => seen.Add(Values(Out).Count - (int)c.Offset - 1), Materializer).WaitAsync(Deadline);
        Assert.Equal(20, seen.Count);
        Assert.All(seen, ahead => Assert.True(ahead >= 0));
    }

    [Theory]
    [InlineData("{\"value\":1}\n{\"value\":2}\n{\"val", 2)]
    [InlineData("{\"val", 0)]
    [InlineData("", 0)]
    [InlineData("{\"value\":1}\n", 1)]
    public async Task CutsOffTheHalfLineThatACrashLeft(string left, int whole)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Out)!);
        await File.WriteAllTextAsync(Out, left);
        await Write(new FileConnector(Folder), [Rows.Metrics(100, 3)]);
        Assert.Equal([.. Enumerable.Range(1, whole).Select(i => (double)i), 100, 101, 102], Values(Out));
    }

    [Fact]
    public async Task CutsOffAHalfLineLongerThanABuffer()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Out)!);
        await File.WriteAllTextAsync(Out, "{\"value\":1}\n" + new string('x', 200_000));
        await Write(new FileConnector(Folder), [Rows.Metrics(100, 1)]);
        Assert.Equal([1, 100], Values(Out));
    }

    [Fact]
    public async Task Rotates()
    {
        for (var run = 0; run < 2; run++)
        {
            await Write(new FileConnector(Folder), Enumerable.Range(0, 20).Select(i => Rows.Metrics((run * 2_000) + (i * 100), 100)), rotate: 20_000);
        }

        var aside = Directory.GetFiles(Path.GetDirectoryName(Out)!, "out.*.ndjson").Order(StringComparer.Ordinal).ToArray();
        Assert.True(aside.Length >= 2);
        Assert.Equal("out.000001.ndjson", Path.GetFileName(aside[0]));
        Assert.All(aside, file => Assert.True(new FileInfo(file).Length >= 20_000));
        Assert.Equal(Enumerable.Range(0, 4_000).Select(i => (double)i), aside.Append(Out).SelectMany(Values));
    }

    [Fact]
    public async Task SaysWhatIsWrong()
    {
        Directory.CreateDirectory(Path.Combine(Folder, "folder"));
        await File.WriteAllTextAsync(Path.Combine(Folder, "plain"), "");
        var connector = new FileConnector(Folder);
        var gate = new TaskCompletionSource<StreamElement>();
        var first = Source.FromTask(gate.Task).Via(Sink(connector, "open").Create(Context(Rows.Metric))).RunForeach(_ => { }, Materializer);
        await Until(() => File.Exists(Path.Combine(Folder, "open")), "the first writer");
        Assert.Contains("is a folder", await Failure("folder"), StringComparison.Ordinal);
        Assert.Contains("cannot be made", await Failure("plain/x"), StringComparison.Ordinal);
        Assert.Contains("written by another sink", await Failure("open"), StringComparison.Ordinal);
        gate.SetResult(Rows.Metrics(0, 1));
        await first.WaitAsync(Deadline);
        await Write(connector, [Rows.Metrics(1, 1)], "open");
        Assert.Equal([0, 1], Values(Path.Combine(Folder, "open")));

        async Task<string> Failure(string path) =>
            (await Assert.ThrowsAsync<FileSinkException>(() => Write(connector, [Rows.Metrics(0, 1)], path))).Message;
    }

    [Fact]
    public async Task WaitsForRoomOnTheDiskAndLosesNothing()
    {
        var isFull = false;
        var connector = new FileConnector(Folder) { OpenSink = path => new FullDisk(path, () => Volatile.Read(ref isFull)) };
        await Write(connector, [Rows.Metrics(0, 100)]);
        Volatile.Write(ref isFull, true);
        var writing = Write(connector, Enumerable.Range(1, 50).Select(i => Rows.Metrics(i * 100, 100)));
        await Until(() => connector.SinkTroubles >= 2 || writing.IsCompleted, "tried again");
        Assert.Contains("cannot be written: no space", connector.SinkStatus, StringComparison.Ordinal);
        Assert.False(writing.IsCompleted);
        Volatile.Write(ref isFull, false);
        Assert.Equal(50, (await writing).Count);
        Assert.Null(connector.SinkStatus);
        Assert.Equal(Enumerable.Range(0, 5_100).Select(i => (double)i), Values(Out));
    }

    private async Task<List<Confirmation>> Write(FileConnector connector, IEnumerable<RecordBatch> batches, string path = "sub/out.ndjson", long? rotate = null)
    {
        var confirmed = new List<Confirmation>();
        await Source.From(batches.ToList()).Select(StreamElement (b) => b)
            .Via(Sink(connector, path, rotate).Create(Context(Rows.Metric)))
            .RunForeach(confirmed.Add, Materializer).WaitAsync(Deadline);
        return confirmed;
    }

    private static ISink Sink(FileConnector connector, string path = "sub/out.ndjson", long? rotate = null) => new FileSinkSettings(connector, path, rotate).Create();

    private static SinkContext Context(Schema schema) => new("f", "r", "n", schema, new FlowLimits(), TimeProvider.System, Rows.Ledger());

    private static List<double> Values(string file)
    {
        using var reader = new StreamReader(new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        var values = new List<double>();
        while (reader.ReadLine() is { } line)
        {
            values.Add(JsonDocument.Parse(line).RootElement.GetProperty("value").GetDouble());
        }

        return values;
    }

    /// <summary>Writes the first half and throws.</summary>
    private sealed class FullDisk(string path, Func<bool> isFull) : FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 0)
    {
        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (!isFull())
            {
                base.Write(buffer);
                return;
            }

            base.Write(buffer[..(buffer.Length / 2)]);
            throw new IOException("no space");
        }
    }
}
