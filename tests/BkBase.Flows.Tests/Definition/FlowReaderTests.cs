using System.Text;
using BkBase.Flows.Definition;

namespace BkBase.Flows.Tests.Definition;

public sealed class FlowReaderTests
{
    private const string Good = """
        flow: f
        biz: 2
        sources:
          - { name: in, type: memory, etl: { type: csv3 } }
        nodes:
          - { name: a, type: pass }
          - { name: b, type: pass, size: 5m }
        sinks:
          - { type: memory }
        """;

    [Fact]
    public void A_good_flow_reads_clean_and_from_defaults_to_the_entry_above()
    {
        var reading = TestFlows.Read(Good);
        Assert.Empty(reading.Diagnostics);
        Assert.Equal(["in"], reading.Flow!.Nodes[0].From);
        Assert.Equal(["a"], reading.Flow.Nodes[1].From);
        Assert.Equal("b", reading.Flow.Sinks[0].From);
    }

    [Theory]
    [InlineData("biz: 2", "biz: two", "f.yaml:2:6: error BKF007")]
    [InlineData("biz: 2\n", "", "f.yaml:1:1: error BKF006")]
    [InlineData("biz: 2", "bizz: 2", "Did you mean 'biz'?")]
    [InlineData("type: csv3", "type: csv4", "f.yaml:4:44: error BKF009: no etl type 'csv4'; types are csv3. Did you mean 'csv3'?")]
    [InlineData("type: pass, size: 5m", "type: pass, size: 5", "f.yaml:7:34: error BKF007: '5' is not a duration")]
    [InlineData("type: pass, size: 5m", "type: pass, sise: 5m", "f.yaml:7:28: error BKF005: unknown key 'sise'")]
    [InlineData("type: pass, size: 5m", "type: pass, mode: fats", "Did you mean 'fast'?")]
    [InlineData("name: b", "name: a", "error BKF011: the name 'a' stands twice; line 6")]
    [InlineData("name: b", "name: B", "error BKF010")]
    [InlineData("type: pass, size: 5m", "type: pass, from: inn", "f.yaml:7:34: error BKF012: no source or node 'inn'; there are a, b, in. Did you mean 'in'?")]
    [InlineData("{ name: a, type: pass }", "{ name: a, type: pass, from: b }", "error BKF013: nodes feed each other in a circle")]
    [InlineData("type: pass, size: 5m", "type: pass, from: [a, in]", "error BKF022: a pass node takes 1 input, not 2")]
    [InlineData("  - { type: memory }", "  - memory", "error BKF004")]
    [InlineData("{ name: a, type: pass }", "{ name: a }", "error BKF006: the node needs a 'type'")]
    [InlineData("biz: 2", "biz: 2\nbiz: 3", "BKF002")]
    [InlineData("biz: 2", "biz: &x 2\nowner: *x", "aliases are not used")]
    [InlineData("biz: 2", "biz: [2", "BKF001")]
    [InlineData("sources:\n  -", "sources:\n\t-", "f.yaml:4:1: error BKF001: a tab in the indentation")]
    public void Mistakes_are_found_where_they_stand(string from, string to, string expected)
    {
        var text = Good.Replace(from.TrimStart(), to.Trim(' '), StringComparison.Ordinal);
        Assert.NotEqual(Good, text);
        var reading = TestFlows.Read(text);
        Assert.Null(reading.Flow);
        Assert.Contains(reading.Diagnostics, d => d.ToString().Contains(expected, StringComparison.Ordinal));
    }

    [Fact]
    public void All_mistakes_are_found_in_one_run_and_sorted()
    {
        var reading = TestFlows.Read(Good.Replace("biz: 2", "biz: x", StringComparison.Ordinal).Replace("size: 5m", "size: x", StringComparison.Ordinal).Replace("csv3", "nope", StringComparison.Ordinal));
        Assert.Equal([2, 4, 7], reading.Diagnostics.Select(d => d.Line));
    }

    [Fact]
    public void An_unread_node_is_a_warning_and_the_flow_stands()
    {
        var reading = TestFlows.Read(Good.Replace("- { type: memory }", "- { type: memory, from: a }", StringComparison.Ordinal));
        Assert.NotNull(reading.Flow);
        Assert.Equal(DiagnosticCodes.Unread, Assert.Single(reading.Diagnostics).Code);
    }

    [Fact]
    public void Deep_nesting_and_large_files_are_refused()
    {
        Assert.Equal(DiagnosticCodes.Syntax, TestFlows.Read("a: " + new string('[', 20_000)).Diagnostics[0].Code);
        Assert.Equal(DiagnosticCodes.TooLarge, TestFlows.Read(new string('#', 10 << 20)).Diagnostics[0].Code);
    }

    [Fact]
    public void The_reader_never_throws_for_any_bytes()
    {
        // Mutations of a good flow: cut, doubled, and single characters replaced, from a fixed seed.
        var random = new Random(7);
        const string Alphabet = "{}[]:,-&*!|>'\"%@`# \n\tab0~\0\uFFFD";
        for (var i = 0; i < 3_000; i++)
        {
            var text = new StringBuilder(Good);
            for (var edits = random.Next(1, 6); edits > 0; edits--)
            {
                var at = random.Next(text.Length);
                _ = random.Next(3) switch
                {
                    0 => text.Remove(at, Math.Min(random.Next(1, 9), text.Length - at)),
                    1 => text.Insert(at, Alphabet[random.Next(Alphabet.Length)]),
                    _ => text.Replace(text[at], Alphabet[random.Next(Alphabet.Length)], at, 1),
                };
            }

            var reading = TestFlows.Read(text.ToString());
            Assert.True(reading.Flow is not null || reading.Diagnostics.Count > 0);
        }
    }
}
