using System.Text.Json;
using System.Text.RegularExpressions;

namespace BkBase.Host.Tests;

/// <summary>What the README and the help print works as printed.</summary>
public sealed class CliDocsTests(CliStore store) : IClassFixture<CliStore>
{
    public static TheoryData<string> VerbNames => [.. Verbs.All.Select(v => v.Name)];

    [Theory]
    [MemberData(nameof(VerbNames))]
    public async Task Every_verb_has_help_with_a_description_and_an_example(string verb)
    {
        var help = await Cli.RunAsync(Path.GetTempPath(), verb, "--help");
        Assert.Equal((0, ""), (help.Code, help.Error));
        Assert.Matches($@"(?s)Description:\n  \S.*bkbase {verb}", help.Output);
    }

    [Fact]
    public async Task The_examples_of_the_help_work_as_printed()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        CopyFlows(folder.Path);
        folder.Write("logs.ndjson", """{"items":[{"data":"GET /a 200","iterationindex":0}],"time":1}""");
        foreach (var verb in Verbs.All.OfType<Verb>().Where(v => v.Name is not ("store" or "demo" or "up")))
        {
            foreach (var example in verb.Examples)
            {
                var line = example.Replace("--store data", $"--store '{store.Data}'", StringComparison.Ordinal);
                var result = await Cli.ShellAsync(folder.Path, line);
                Assert.True(result.Code == 0, $"{example}: {result}");
                if (line.EndsWith("--json", StringComparison.Ordinal))
                {
                    using var json = JsonDocument.Parse(result.Output);
                }
            }
        }
    }

    [Fact]
    public async Task Demo_prints_json_and_nothing_else_on_standard_output()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        CopyFlows(folder.Path);
        var result = await Cli.ShellAsync(folder.Path, "bkbase demo --minutes 2 --seed 7 --store demo-data --json");
        Assert.True(result.Code == 0, result.ToString());
        using var json = JsonDocument.Parse(result.Output);
        Assert.All(json.RootElement.GetProperty("flows").EnumerateArray(), f => Assert.True(f.GetProperty("balanced").GetBoolean()));
        Assert.Contains(json.RootElement.GetProperty("tables").EnumerateArray(), t => t.GetProperty("table").GetString() == "2_k8s_metrics" && t.GetProperty("rows").GetInt64() > 0);
    }

    [Fact]
    public async Task The_first_flow_of_the_readme_runs_as_printed()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var readme = await File.ReadAllTextAsync(Path.Combine(Cli.Checkout, "README.md"), TestContext.Current.CancellationToken);
        var section = readme[readme.IndexOf("## A first flow of your own", StringComparison.Ordinal)..];
        var fence = Fence("yaml").Match(section);
        var flow = fence.Groups[1].Value;
        Assert.InRange(flow.TrimEnd().Split('\n').Length, 1, 11);
        var file = flow.Split('\n')[0].TrimStart('#', ' ');
        folder.Write(file, flow);
        folder.Write("app.ndjson", $$"""{"ts":{{CliFlows.Now}},"level":"error","msg":"disk is full"}""", $$"""{"ts":{{CliFlows.Now}},"level":"info","msg":"hello"}""");
        var lines = Fence("").Match(section, fence.Index + fence.Length).Groups[1].Value.Trim().Split('\n');
        Assert.Equal(3, lines.Length);
        var last = "";
        foreach (var line in lines)
        {
            var result = await Cli.ShellAsync(folder.Path, line);
            Assert.True(result.Code == 0, $"{line}: {result}");
            last = result.Output;
        }

        Assert.Contains("error\tdisk is full", last, StringComparison.Ordinal);
        Assert.DoesNotContain("hello", last, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_readme_names_the_exit_codes_of_the_program()
    {
        var readme = await File.ReadAllTextAsync(Path.Combine(Cli.Checkout, "README.md"), TestContext.Current.CancellationToken);
        Assert.Contains($"{ExitCodes.Good} good, {ExitCodes.Failed} failed, {ExitCodes.Usage} wrong usage, {ExitCodes.Invalid} invalid configuration or flow", readme, StringComparison.Ordinal);
    }

    private static Regex Fence(string language) => new($"```{language}\\n(.*?)```", RegexOptions.Singleline, TimeSpan.FromSeconds(1));

    private static void CopyFlows(string to)
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(Cli.Checkout, "flows"), "*.yaml", SearchOption.AllDirectories))
        {
            var target = Path.Combine(to, Path.GetRelativePath(Cli.Checkout, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
