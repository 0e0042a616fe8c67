using System.Diagnostics;
using System.Text;
using System.Text.Json;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Connectors.Tests.Files;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.Log;

public sealed class ResumeTests : StreamTest
{
    private const int Records = 200_000;

    /// <summary>From the log through a flow to a file, in a process that is killed again and again: nothing is missing, no line is broken.</summary>
    [Fact]
    public async Task AFlowThatIsKilledGoesOnInAnotherProcess()
    {
        await using (var log = EmbeddedLog.Open(new EmbeddedLogOptions(Path.Combine(Folder, "log")) { Partitions = 2 }, TimeProvider.System))
        {
            for (var from = 0; from < Records; from += 1_000)
            {
                using var batch = RawBatch.Rent("", 0);
                for (var i = from; i < from + 1_000; i++)
                {
                    batch.Add(Encoding.UTF8.GetBytes($$"""{"ts":{{i + 1}},"i":{{i}}}"""), i, 0);
                }

                await log.AppendAsync("t", from / 1_000 % 2, batch, 1_000_000);
            }
        }

        var kills = 0;
        for (var size = Size(); kills < 4; kills++, size = Size())
        {
            using var child = Start();
            await Until(() => child.HasExited || Size() > size + 100_000, "the child writes");
            if (child.HasExited)
            {
                Assert.Equal(0, child.ExitCode);
                break;
            }

            child.Kill();
            await child.WaitForExitAsync().WaitAsync(Deadline);
        }

        Assert.True(kills >= 1, "killed at least once");
        using (var last = Start())
        {
            await last.WaitForExitAsync().WaitAsync(TimeSpan.FromMinutes(2));
            Assert.Equal(0, last.ExitCode);
        }

        var seen = new HashSet<long>();
        var lines = 0;
        foreach (var line in Outs().SelectMany(File.ReadLines))
        {
            seen.Add(JsonDocument.Parse(line).RootElement.GetProperty("i").GetInt64());
            lines++;
        }

        Assert.Equal(Records, seen.Count);
        Assert.True(lines < Records * 2, $"{lines} lines: it went on, it did not begin anew each time");
    }

    private string[] Outs() => Directory.GetFiles(Folder, "out*.ndjson");

    private long Size() => Outs().Sum(f => new FileInfo(f) is { Exists: true } info ? info.Length : 0);

    private Process Start()
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { UseShellExecute = false };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(ResumeTests).Assembly.Location);
        }

        start.ArgumentList.Add(ResumeChild.Verb);
        start.ArgumentList.Add(Folder);
        return Process.Start(start)!;
    }
}
