using System.Text.Json;

namespace BkBase.Host.Tests;

/// <summary>Bad flows and bad words on the command line.</summary>
public sealed class CliCheckTests
{
    private static readonly (string File, string From, string To, string At, string Code, string Text)[] Mistakes =
    [
        ("unknown_key", "biz: 2", "biz: 2\nbizz: 3", "3:1", "BKF005", "Did you mean 'biz'?"),
        ("wrong_type", "biz: 2", "biz: two", "2:6", "BKF007", "'two' is not a whole number"),
        ("wrong_shape", "biz: 2", "biz: [2]", "2:6", "BKF004", "'biz' is a single value, not a list"),
        ("cycle", "type: filter", "type: filter, from: errors", "6:13", "BKF013", "errors <- errors; let one of them read from a source"),
        ("missing_input", "type: filter", "type: filter, from: linez", "6:41", "BKF012", "no source or node 'linez'; there are errors, lines. Did you mean 'lines'?"),
        ("bad_expression", "level = 'error'", "level = = 1", "6:51", "BKF015", "'=' stands where a column"),
        ("open_quote", "level = 'error'", "level = 'error", "6:51", "BKF015", "the closing ' is missing"),
        ("unknown_column", "level = 'error'", "levl = 'error'", "6:43", "BKF014", "columns are time, level, cost, msg. Did you mean 'level'?"),
        ("unknown_function", "level = 'error'", "lowr(level) = 'error'", "6:43", "BKF017", "Did you mean 'lower'?"),
        ("wrong_operand", "level = 'error'", "level + 1", "6:49", "BKF016", "'+' takes numbers, not string and int64"),
        ("regex_backtracks", "level = 'error'", @"regexp_match(level, '(a)\\1')", "6:63", "BKF019", "cannot be used"),
        ("regex_explodes", "level = 'error'", "regexp_match(level, '((a{100}){100}){100}')", "6:63", "BKF019", "cannot be used"),
        ("tabs", "  - { name: errors", "\t- { name: errors", "6:1", "BKF001", "a tab in the indentation; YAML is indented with spaces"),
        ("twice_name", "name: errors", "name: lines", "6:13", "BKF011", "the name 'lines' stands twice; line 4 has it already"),
        ("twice_key", "biz: 2", "biz: 2\nbiz: 3", "3:1", "BKF002", "the key 'biz' stands twice"),
        ("unknown_type", "type: filter", "type: filtr", "6:27", "BKF009", "Did you mean 'filter'?"),
        ("no_yaml", "biz: 2", "biz: [2", "", "BKF001", "this is not YAML"),
        ("large", "biz: 2", "biz: 2 # " + new string('x', 10_000_000), "1:1", "BKF003", "a flow has at most 1048576"),
    ];

    [Fact]
    public async Task Every_mistake_of_a_flow_is_found_where_it_stands_with_a_way_out()
    {
        using var folder = new CliFolder();
        foreach (var (file, from, to, _, _, _) in Mistakes)
        {
            folder.Write($"{file}.yaml", CliFlows.Lines(file).Replace(from, to, StringComparison.Ordinal));
        }

        var result = await Cli.RunAsync(folder.Path, "check", ".", "--json");
        Assert.Equal(78, result.Code);
        Assert.Empty(result.Error);
        using var json = JsonDocument.Parse(result.Output);
        Assert.Equal(Mistakes.Length, json.RootElement.GetProperty("files").GetInt32());
        var found = json.RootElement.GetProperty("diagnostics").EnumerateArray().Where(d => d.GetProperty("severity").GetString() == "error").ToLookup(
            d => Path.GetFileNameWithoutExtension(d.GetProperty("file").GetString()!),
            d => $"{d.GetProperty("line")}:{d.GetProperty("column")} {d.GetProperty("code").GetString()} {d.GetProperty("message").GetString()}");
        foreach (var (file, _, _, at, code, text) in Mistakes)
        {
            var finding = Assert.Single(found[file]);
            Assert.StartsWith(at, finding, StringComparison.Ordinal);
            Assert.Contains($" {code} ", finding, StringComparison.Ordinal);
            Assert.Contains(text, finding, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Flows_of_one_name_and_tables_of_two_schemas_are_found_across_files()
    {
        using var folder = new CliFolder();
        folder.Write("a.yaml", CliFlows.Lines("a"));
        folder.Write("b.yaml", CliFlows.Lines("a"));
        folder.Write("c.yaml", CliFlows.Lines("c").Replace("table: c", "table: a", StringComparison.Ordinal).Replace("cost: { type: float64, nullable: true }", "cost: { type: int64 }", StringComparison.Ordinal));
        folder.Write("d.yaml", CliFlows.Lines("d").Replace("biz: 2", "biz: 3", StringComparison.Ordinal).Replace("table: d", "table: a", StringComparison.Ordinal));
        var result = await Cli.RunAsync(folder.Path, "check", "a.yaml", "b.yaml", "c.yaml", "d.yaml");
        Assert.Equal(78, result.Code);
        Assert.Equal(
            [
                "b.yaml:1:1: error BKF021: the flow 'a' stands in a.yaml already; give one of them another name",
                "c.yaml:8:5: error BKF021: table '2_a' is written by a.yaml:8 too, with another schema: column 'cost' is Int64 here, Nullable(Float64) there; make the columns alike or give the sinks different tables",
                "4 flows checked, 2 errors, 0 warnings",
            ],
            result.Output.TrimEnd().Split('\n'));
    }

    [Fact]
    public async Task A_thousand_flows_are_checked_in_one_go()
    {
        using var folder = new CliFolder();
        for (var i = 0; i < 1000; i++)
        {
            folder.Write($"{i}.yaml", CliFlows.Lines($"f{i}"));
        }

        var result = await Cli.RunAsync(folder.Path, "check", ".");
        Assert.Equal((0, "1000 flows checked, 0 errors, 0 warnings"), (result.Code, result.Output.Trim()));
    }

    [Theory]
    [InlineData("chek flows", "no verb 'chek'; verbs are", "Did you mean 'check'?")]
    [InlineData("check --jsn flows", "bkbase check has no option '--jsn'; options are --help, --json", "Did you mean '--json'?")]
    [InlineData("run f.yaml --stor x", "bkbase run has no option '--stor'", "Did you mean '--store'?")]
    [InlineData("run", "Required argument 'flow' missing", "see bkbase run --help")]
    public async Task Wrong_usage_is_2_and_says_what_was_meant(string words, string what, string wayOut)
    {
        var result = await Cli.RunAsync(Path.GetTempPath(), words.Split(' '));
        Assert.Equal((2, ""), (result.Code, result.Output));
        Assert.Contains(what, result.Error, StringComparison.Ordinal);
        Assert.Contains(wayOut, result.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("check nowhere", 78, "nowhere:1:1: error BKF023: no such file or folder")]
    [InlineData("run nowhere.yaml", 78, "nowhere.yaml:1:1: error BKF023")]
    [InlineData("query x --clickhouse nonsense", 78, "--clickhouse is not of the form http://user:password@host:port")]
    [InlineData("query x --clickhouse http://127.0.0.1:1", 1, "the store at http://127.0.0.1:1 does not answer")]
    public async Task What_is_not_there_is_said_with_its_exit_code(string words, int code, string what)
    {
        var result = await Cli.RunAsync(Path.GetTempPath(), words.Split(' '));
        Assert.Equal(code, result.Code);
        Assert.Contains(what, result.Output + result.Error, StringComparison.Ordinal);
    }
}
