using System.Text;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Reads ClickHouse's TabSeparated format.</summary>
public static class Tsv
{
    public static IReadOnlyList<string?[]> Parse(ReadOnlySpan<byte> utf8)
    {
        var rows = new List<string?[]>();
        foreach (var line in utf8.Split((byte)'\n'))
        {
            if (line.End.Value == utf8.Length && line.Start.Value == line.End.Value)
            {
                continue;
            }

            rows.Add([.. Encoding.UTF8.GetString(utf8[line]).Split('\t').Select(Unescape)]);
        }

        return rows;
    }

    private static string? Unescape(string text)
    {
        if (!text.Contains('\\', StringComparison.Ordinal))
        {
            return text;
        }

        if (text == "\\N")
        {
            return null;
        }

        var result = new StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            result.Append(text[i] != '\\' || i + 1 == text.Length ? text[i] : text[++i] switch
            {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\b',
                'f' => '\f',
                '0' => '\0',
                var other => other,
            });
        }

        return result.ToString();
    }
}
