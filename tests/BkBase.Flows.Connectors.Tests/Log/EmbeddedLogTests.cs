using System.Diagnostics;
using System.Globalization;
using System.Text;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Connectors.Tests.Files;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;

namespace BkBase.Flows.Connectors.Tests.Log;

public sealed class EmbeddedLogTests : StreamTest
{
    private EmbeddedLogOptions Options => new(Path.Combine(Folder, "log")) { PageBits = 16, SegmentBits = 17 };

    [Fact]
    public async Task OffsetsAreDenseAndSurviveReopening()
    {
        await using (var log = EmbeddedLog.Open(Options, TimeProvider.System))
        {
            Assert.Equal(0, await log.AppendAsync("t", 0, Batch(0, 1000)));
            Assert.Equal(1000, await log.AppendAsync("t", 0, "1000"u8));
            Assert.Equal(1001, await log.AppendAsync("t", 0, Batch(1001, 30_000)));
            Assert.Equal(31_001, log.Tail("t", 0));
        }

        await using var again = EmbeddedLog.Open(Options, TimeProvider.System);
        Assert.Equal(["t"], again.Topics);
        Assert.Equal((0, 31_001), (again.Head("t", 0), again.Tail("t", 0)));
        Assert.Equal(31_001, await again.AppendAsync("t", 0, "31001"u8));
        var run = Run(new LogConnector(again).Open("t", bounded: true), Context(batch: 777));
        await run.Done.WaitAsync(Deadline);
        Assert.Equal(Enumerable.Range(0, 31_002).Select(i => (0, (long)i, Text(i))), run.Got);
    }

    [Fact]
    public async Task FollowsTheTailAndGoesOnAtTheMark()
    {
        await using (var log = EmbeddedLog.Open(Options with { Partitions = 2 }, TimeProvider.System))
        {
            var run = Run(new LogConnector(log).Open("t"), Resumed());
            await log.AppendAsync("t", 1, Batch(0, 100));
            await run.Count(100);
            await log.AppendAsync("t", 1, Batch(100, 100));
            await run.Count(200);
            Assert.Equal(200, run.Control.Lag()[1].Records);
            Assert.True(run.Control.Lag()[1].Seconds >= 0);
            run.Control.Confirm(1, 149);
            Assert.Equal(50, run.Control.Lag()[1].Records);
            await run.Stop();
            await MarkAsync(1, 149);
        }

        await using var again = EmbeddedLog.Open(Options, TimeProvider.System);
        var second = Run(new LogConnector(again).Open("t", bounded: true), Resumed());
        await second.Done.WaitAsync(Deadline);
        Assert.Equal(Enumerable.Range(150, 50).Select(i => (1, (long)i, Text(i))), second.Got);
    }

    [Fact]
    public async Task StartsAtTailOrTime()
    {
        await using var log = EmbeddedLog.Open(Options, TimeProvider.System);
        for (var i = 0; i < 50; i++)
        {
            await log.AppendAsync("t", 0, Batch(i * 1000, 1000), appendTime: 1000 + i);
        }

        var timed = Run(new LogConnector(log).Open("t", bounded: true), Context("a", StartKind.Timestamp, 1030));
        await timed.Done.WaitAsync(Deadline);
        Assert.Equal((30_000, 20_000), (timed.Got.First().Offset, timed.Got.Count));
        var tail = Run(new LogConnector(log).Open("t"), Context("b", StartKind.Tail));
        await log.AppendAsync("t", 0, "50000"u8);
        await tail.Count(1);
        await tail.Stop();
        Assert.Equal(["50000"], tail.Texts);
    }

    [Fact]
    public async Task RetentionDropsByBytesAndAge()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddDays(1000));
        var options = Options with { RetentionBytes = 1 << 18, Retention = TimeSpan.FromHours(1) };
        await using (var log = EmbeddedLog.Open(options, time))
        {
            for (var i = 0; i < 20; i++)
            {
                await log.AppendAsync("t", 0, Batch(i * 5000, 5000));
            }

            log.Trim();
            Assert.InRange(log.Head("t", 0), 1, 95_000);
            time.Advance(TimeSpan.FromHours(2));
            await log.AppendAsync("t", 0, Batch(100_000, 10_000));
            log.Trim();
            Assert.InRange(log.Head("t", 0), 90_000, 100_000);
        }

        await using var again = EmbeddedLog.Open(options, time);
        Assert.Equal(110_000, again.Tail("t", 0));
        var run = Run(new LogConnector(again).Open("t", bounded: true), Context());
        await run.Done.WaitAsync(Deadline);
        Assert.Equal(Enumerable.Range((int)again.Head("t", 0), 110_000 - (int)again.Head("t", 0)).Select(Text), run.Texts);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(16)]
    public async Task LongRecordsStandBetweenShortOnes(int pageBits)
    {
        var options = Options with { PageBits = pageBits, MemoryBits = pageBits + 1, SegmentBits = 21 };
        var expected = new List<int>();
        await using (var log = EmbeddedLog.Open(options, TimeProvider.System))
        {
            foreach (var length in (int[])[10, 8 << 20, 1, (1 << pageBits) - 280, 1 << pageBits, 0, 3 << 20, 20, 8 << 20])
            {
                var record = new byte[length];
                record.AsSpan().Fill((byte)('a' + expected.Count));
                Assert.Equal(expected.Count, await log.AppendAsync("t", 0, record));
                expected.Add(length);
            }

            await ReadsAll(log);
        }

        await using var again = EmbeddedLog.Open(options, TimeProvider.System);
        Assert.Equal(expected.Count, again.Tail("t", 0));
        Assert.Equal(expected.Count, await again.AppendAsync("t", 0, "last"u8));
        expected.Add(4);
        await ReadsAll(again);
        var single = Run(new LogConnector(again).Open("t", bounded: true), Context("one", batch: 1));
        await single.Done.WaitAsync(Deadline);
        Assert.Equal(expected, single.Texts.Select(t => t.Length));

        async Task ReadsAll(EmbeddedLog log)
        {
            var run = Run(new LogConnector(log).Open("t", bounded: true), Context());
            await run.Done.WaitAsync(Deadline);
            Assert.Equal(expected.Select((length, i) => (0, (long)i, length)), run.Got.Select(g => (g.Partition, g.Offset, g.Text.Length)));
            Assert.All(run.Texts.SkipLast(1), (text, i) => Assert.Equal(text.Length, text.Count(c => c == 'a' + i)));
        }
    }

    [Fact]
    public async Task CountsWhatRetentionTookAndGoesOnBehindIt()
    {
        var options = Options with { RetentionBytes = 1 << 17 };
        await using var log = EmbeddedLog.Open(options, TimeProvider.System);
        await log.AppendAsync("t", 0, Batch(0, 10));
        var first = Run(new LogConnector(log).Open("t", bounded: true), Resumed("old"));
        await first.Done.WaitAsync(Deadline);
        await MarkAsync(0, 4, "old");
        for (var i = 10; i < 100_010; i += 5_000)
        {
            await log.AppendAsync("t", 0, Batch(i, 5_000));
        }

        log.Trim();
        var head = log.Head("t", 0);
        Assert.True(head > 5);
        var run = Run(new LogConnector(log).Open("t", bounded: true), Resumed("old"));
        await run.Done.WaitAsync(Deadline);
        Assert.Equal(head - 5, Assert.IsAssignableFrom<ISourceStatus>(run.Control).LostRecords);
        Assert.Equal(head, run.Got.First().Offset);
        Assert.Equal(100_009, run.Got.Last().Offset);
    }

    [Fact]
    public async Task RetentionThatCutsALongRecordSkipsItWhole()
    {
        var options = Options with { RetentionBytes = 1 << 17 };
        await using var log = EmbeddedLog.Open(options, TimeProvider.System);
        await log.AppendAsync("t", 0, Batch(0, 10));
        await log.AppendAsync("t", 0, new byte[1 << 20]);
        log.Trim();
        Assert.Equal((11, 11), (log.Head("t", 0), log.Tail("t", 0)));
        var none = Run(new LogConnector(log).Open("t", bounded: true), Context("none"));
        await none.Done.WaitAsync(Deadline);
        Assert.Empty(none.Got);
        await log.AppendAsync("t", 0, "after"u8);
        var run = Run(new LogConnector(log).Open("t", bounded: true), Context("a"));
        await run.Done.WaitAsync(Deadline);
        Assert.Equal([(0, 11L, "after")], run.Got);
    }

    [Fact]
    public async Task AMarkBeyondTheEndIsAnError()
    {
        await using (var log = EmbeddedLog.Open(Options, TimeProvider.System))
        {
            await log.AppendAsync("t", 0, Batch(0, 10));
            var run = Run(new LogConnector(log).Open("t", bounded: true), Resumed());
            await run.Done.WaitAsync(Deadline);
            await MarkAsync(0, 9);
        }

        Directory.Delete(Path.Combine(Options.Directory, "topics", "t"), recursive: true);
        await using var again = EmbeddedLog.Open(Options, TimeProvider.System);
        var error = await Assert.ThrowsAsync<IOException>(() => Run(new LogConnector(again).Open("t"), Resumed()).Done.WaitAsync(Deadline));
        Assert.Contains("a mark beyond the end of its partition (0)", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task KeepsThePageSizeOfItsFolderAndRefusesOtherVersions()
    {
        await using (var log = EmbeddedLog.Open(Options, TimeProvider.System))
        {
            await log.AppendAsync("t", 0, Batch(0, 50_000));
        }

        await using (var log = EmbeddedLog.Open(Options with { PageBits = 20 }, TimeProvider.System))
        {
            var run = Run(new LogConnector(log).Open("t", bounded: true), Context());
            await run.Done.WaitAsync(Deadline);
            Assert.Equal(50_000, run.Got.Count);
        }

        File.Delete(Path.Combine(Options.Directory, "format"));
        Assert.Contains("another version", Assert.Throws<IOException>(() => EmbeddedLog.Open(Options, TimeProvider.System)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task RefusesASecondOpenerAndBadNames()
    {
        await using var log = EmbeddedLog.Open(Options, TimeProvider.System);
        Assert.Contains("open in another process", Assert.Throws<IOException>(() => EmbeddedLog.Open(Options, TimeProvider.System)).Message, StringComparison.Ordinal);
        foreach (var bad in (string[])["", ".", "../x", "a/b", "a b", "a\n", new string('x', 300)])
        {
            Assert.Throws<ArgumentException>(() => log.Create(bad));
        }

        var tooLong = await Assert.ThrowsAsync<ArgumentException>(() => log.AppendAsync("t", 0, new byte[(8 << 20) + 1]));
        Assert.Contains("the log takes 8388608", tooLong.Message, StringComparison.Ordinal);
        Assert.Equal(0, log.Tail("t", 0));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => log.AppendAsync("t", 7, "x"u8));
    }

    [Fact]
    public async Task KeepsWhatWasAcknowledgedWhenItsProcessIsKilled()
    {
        const string Variable = "BKBASE_TEST_LOG_WRITER";
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } folder)
        {
            // This is the child: writes until it is killed, and says what is acknowledged.
            var writing = EmbeddedLog.Open(new EmbeddedLogOptions(folder), TimeProvider.System);
            for (var i = 0; i < 1_000_000; i += 50)
            {
                await writing.AppendAsync("t", 0, Batch(i, 50));
                await File.WriteAllTextAsync(Path.Combine(folder, "acknowledged.new"), Text(i + 50));
                File.Move(Path.Combine(folder, "acknowledged.new"), Path.Combine(folder, "acknowledged"), overwrite: true);
            }
        }

        var log = Directory.CreateDirectory(Path.Combine(Folder, "killed")).FullName;
        var start = new ProcessStartInfo(Environment.ProcessPath!) { UseShellExecute = false };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(EmbeddedLogTests).Assembly.Location);
        }

        start.ArgumentList.Add("-method");
        start.ArgumentList.Add($"{typeof(EmbeddedLogTests).FullName}.{nameof(KeepsWhatWasAcknowledgedWhenItsProcessIsKilled)}");
        start.Environment[Variable] = log;
        using var child = Process.Start(start)!;
        var acknowledged = Path.Combine(log, "acknowledged");
        await Until(() => child.HasExited || (File.Exists(acknowledged) && int.Parse(File.ReadAllText(acknowledged), CultureInfo.InvariantCulture) > 2_000), "child writes");
        Assert.False(child.HasExited);
        Assert.Contains("open in another process", Assert.Throws<IOException>(() => EmbeddedLog.Open(new EmbeddedLogOptions(log), TimeProvider.System)).Message, StringComparison.Ordinal);
        child.Kill();
        await child.WaitForExitAsync().WaitAsync(Deadline);

        await using var again = EmbeddedLog.Open(new EmbeddedLogOptions(log), TimeProvider.System);
        var tail = (int)again.Tail("t", 0);
        Assert.True(tail >= int.Parse(File.ReadAllText(acknowledged), CultureInfo.InvariantCulture));
        Assert.Equal(tail, await again.AppendAsync("t", 0, Encoding.UTF8.GetBytes(Text(tail))));
        var run = Run(new LogConnector(again).Open("t", bounded: true), Context());
        await run.Done.WaitAsync(Deadline);
        Assert.Equal(Enumerable.Range(0, tail + 1).Select(Text), run.Texts);
    }

    private static string Text(int i) => i.ToString(CultureInfo.InvariantCulture);

    private static RawBatch Batch(int from, int count)
    {
        var batch = RawBatch.Rent("", 0);
        for (var i = from; i < from + count; i++)
        {
            batch.Add(Encoding.UTF8.GetBytes(Text(i)), i, 0);
        }

        return batch;
    }
}
