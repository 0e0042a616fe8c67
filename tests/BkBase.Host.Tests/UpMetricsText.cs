using System.Globalization;
using System.Text.RegularExpressions;

namespace BkBase.Host.Tests;

internal sealed record Sample(string Name, IReadOnlyDictionary<string, string> Labels, double Value);

/// <summary>Prometheus' text format 0.0.4, read strictly: a line that is neither comment nor sample fails the test.</summary>
internal static partial class UpMetricsText
{
    public static List<Sample> Parse(string text)
    {
        var samples = new List<Sample>();
        Assert.EndsWith("\n", text, StringComparison.Ordinal);
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(l => !CommentLine().IsMatch(l) && l != "# EOF"))
        {
            var match = SampleLine().Match(line);
            Assert.True(match.Success, $"not a sample: {line}");
            samples.Add(new Sample(
                match.Groups["name"].Value,
                Label().Matches(match.Groups["labels"].Value).ToDictionary(m => m.Groups["key"].Value, m => m.Groups["value"].Value, StringComparer.Ordinal),
                match.Groups["value"].Value switch { "+Inf" => double.PositiveInfinity, "-Inf" => double.NegativeInfinity, var v => double.Parse(v, CultureInfo.InvariantCulture) }));
        }

        return samples;
    }

    [GeneratedRegex("""^# (HELP [a-zA-Z_:][a-zA-Z0-9_:]* .*|TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram|summary|untyped))$""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex CommentLine();

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?<labels>([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*",?)*)\})? (?<value>[-+0-9.eE]+|NaN|[+-]Inf)( \d+)?$""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex SampleLine();

    [GeneratedRegex("""(?<key>[a-zA-Z_][a-zA-Z0-9_]*)="(?<value>([^"\\]|\\["\\n])*)",?""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Label();
}
