using System.Text.Json;

namespace BkBase.Host.Tests;

/// <summary><c>bkbase dead-letters</c>: refusals of one cause are one group.</summary>
public sealed class CliDeadLettersTests(CliStore store) : IClassFixture<CliStore>
{
    [Fact]
    public async Task Refusals_of_one_cause_are_one_group_with_count_times_and_samples()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        folder.Write("grouped.yaml", CliFlows.Lines("grouped"));
        var now = CliFlows.Now;
        folder.Write(
            "app.ndjson",
            [CliFlows.Line(now, "good"), .. Enumerable.Range(0, 40).Select(i => CliFlows.Line((now / 1000) - i, $"seconds {i}")), "nonsense \t\u0001 'a'", "more nonsense"]);
        Assert.Equal(0, (await Cli.RunAsync(folder.Path, "run", "grouped.yaml", "--store", store.Data)).Code);

        var all = await Cli.RunAsync(folder.Path, "dead-letters", "--flow", "grouped", "--samples", "3", "--store", store.Data, "--json");
        Assert.True(all.Code == 0, all.ToString());
        using var json = JsonDocument.Parse(all.Output);
        var groups = json.RootElement.GetProperty("groups").EnumerateArray().Select(g => (
            Reason: g.GetProperty("reason").GetString(), Path: g.GetProperty("path").GetString(), Count: g.GetProperty("count").GetInt64(), Samples: g.GetProperty("samples").GetArrayLength())).ToList();
        Assert.Equal([("bad_time", "time", 40L, 3), ("not_json", "", 2L, 2)], groups);
        Assert.Equal(42, json.RootElement.GetProperty("letters").GetInt64());
        Assert.DoesNotMatch("[0-9]", json.RootElement.GetProperty("groups")[0].GetProperty("shape").GetString()!);

        var lines = await Cli.RunAsync(folder.Path, "dead-letters", "--flow", "grouped", "--reason", "not_json", "--node", "lines", "--since", "1h", "--store", store.Data);
        Assert.Matches(@"^grouped/lines not_json: 2 from \S+Z to \S+Z: a record is one JSON object\n  \S", lines.Output);
        Assert.Equal(2, lines.Output.TrimEnd().Split('\n').Length);
    }

    [Fact]
    public async Task None_is_said_in_words_with_or_without_a_table()
    {
        Cli.SkipWithoutEngine();
        using var folder = new CliFolder();
        var none = await Cli.RunAsync(folder.Path, "dead-letters", "--store", "empty");
        Assert.Equal((0, "no dead letters: nothing was refused, or it is older than 30 days\n"), (none.Code, none.Output));
        var other = await Cli.RunAsync(folder.Path, "dead-letters", "--flow", "nobody", "--node", "x", "--since", "90m", "--store", store.Data);
        Assert.Equal((0, "no dead letters of flow 'nobody', of node 'x', of the last 1.5 h: nothing was refused, or it is older than 30 days\n"), (other.Code, other.Output));
    }

    [Theory]
    [InlineData("--reason", "no_jsn", "--reason no_jsn: no such reason; reasons are bad_encoding, ", "Did you mean")]
    [InlineData("--since", "yesterday", "--since yesterday: not a time; write a number with a unit", "1h")]
    [InlineData("--samples", "1000", "--samples 1000: write a number from 0 to 100", "")]
    public async Task A_wrong_filter_is_refused_with_what_would_be_right(string option, string value, string says, string hint)
    {
        using var folder = new CliFolder();
        var result = await Cli.RunAsync(folder.Path, "dead-letters", option, value);
        Assert.Equal(78, result.Code);
        Assert.Contains(says, result.Error, StringComparison.Ordinal);
        Assert.Contains(hint, result.Error, StringComparison.Ordinal);
    }
}
