using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace BkBase.Host.Tests;

/// <summary><c>bkbase bench</c> as a user runs it: a real process with its broker, its store and its stages.</summary>
public sealed class BenchTests
{
    private const int Records = 4000;

    [Fact]
    public async Task Every_stage_has_figures_and_every_row_comes_out()
    {
        var (code, output, errors) = await RunAsync(
            "--records", Records.ToString(CultureInfo.InvariantCulture), "--partitions", "8", "--rounds", "1", "--shape", "mixed", "--soak", "2000", "--json");

        Assert.True(code == 0, $"exit code {code}: {errors}");
        using var report = JsonDocument.Parse(output);
        var root = report.RootElement;
        Assert.True(root.GetProperty("ok").GetBoolean());
        Assert.Empty(root.GetProperty("failures").EnumerateArray());
        var stages = root.GetProperty("stages");
        foreach (var name in (string[])["consume", "parse", "encode", "insert", "whole", "naive"])
        {
            var stage = stages.GetProperty(name);
            foreach (var figure in (string[])["records", "recordsPerSecond", "recordsPerCpuSecond", "bytesAllocatedPerRecord", "peakMemoryBytes"])
            {
                Assert.True(stage.GetProperty(figure).GetDouble() > 0, $"{name}.{figure} is missing");
            }
        }

        Assert.Equal(2 * Records, stages.GetProperty("whole").GetProperty("rows").GetInt64());
        Assert.Equal(2 * Records, stages.GetProperty("insert").GetProperty("rows").GetInt64());
        Assert.Equal(2 * Records / 5, stages.GetProperty("naive").GetProperty("rows").GetInt64());
        Assert.True(root.GetProperty("ratios").GetProperty("wholeToNaivePerCpuSecond").GetDouble() > 0);
        Assert.True(root.GetProperty("ratios").GetProperty("wholeToSlowestStage").GetDouble() > 0);
        Assert.InRange(root.GetProperty("storage").GetProperty("bytesPerRow").GetDouble(), 0.1, 100);
        Assert.Equal(4000, root.GetProperty("soak").GetProperty("rows").GetInt64());
        Assert.InRange(root.GetProperty("soak").GetProperty("peakMemoryBytes").GetInt64(), 20L << 20, 700L << 20);
    }

    [Fact]
    public async Task A_broker_that_loses_records_makes_it_fail()
    {
        // One partition keeps about 80,000 of these records; the feed sends without heed of that.
        var (code, output, errors) = await RunAsync("--stages", "whole", "--records", "300000", "--partitions", "1", "--rounds", "1", "--unpaced", "--json");

        Assert.Equal(1, code);
        Assert.Contains("whole: 300000 records in", errors, StringComparison.Ordinal);
        using var report = JsonDocument.Parse(output);
        Assert.False(report.RootElement.GetProperty("ok").GetBoolean());
        Assert.InRange(report.RootElement.GetProperty("stages").GetProperty("whole").GetProperty("rows").GetInt64(), 1, 599_999);
    }

    [Theory]
    [InlineData("--stages", "nosuch", 2)]
    [InlineData("--records", "0", 78)]
    public async Task A_setting_that_makes_no_sense_is_refused(string option, string value, int exitCode)
    {
        var (code, _, errors) = await RunAsync(option, value);

        Assert.Equal(exitCode, code);
        Assert.Contains("bkbase:", errors, StringComparison.Ordinal);
    }

    private static async Task<(int Code, string Output, string Errors)> RunAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "bkbase.dll"), "bench", .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (process.ExitCode, await output, await errors);
    }
}
