namespace BkBase.Flows.Definition;

public enum Severity
{
    Error,
    Warning,
}

/// <summary>One finding in a flow file. Prints as editors understand it.</summary>
/// <param name="File">Path as given by the user.</param>
/// <param name="Line">1-based.</param>
/// <param name="Column">1-based.</param>
/// <param name="Code">A code of <see cref="DiagnosticCodes"/>.</param>
/// <param name="Message">What is wrong and what would be right.</param>
public sealed record Diagnostic(string File, int Line, int Column, string Code, string Message, Severity Severity = Severity.Error) : IComparable<Diagnostic>
{
    public int CompareTo(Diagnostic? other) => other is null ? 1
        : (string.CompareOrdinal(File, other.File), Line.CompareTo(other.Line), Column.CompareTo(other.Column), string.CompareOrdinal(Message, other.Message)) switch
        {
            (not 0 and var f, _, _, _) => f,
            (_, not 0 and var l, _, _) => l,
            (_, _, not 0 and var c, _) => c,
            (_, _, _, var m) => m,
        };

    public override string ToString() => $"{File}:{Line}:{Column}: {(Severity == Severity.Error ? "error" : "warning")} {Code}: {Message}";
}

/// <summary>The codes of all findings; the doc line of each is what a search should find.</summary>
public static class DiagnosticCodes
{
    /// <summary>The text is not YAML.</summary>
    public const string Syntax = "BKF001";

    /// <summary>A key stands twice in one mapping.</summary>
    public const string DuplicateKey = "BKF002";

    /// <summary>The file is larger than a flow may be.</summary>
    public const string TooLarge = "BKF003";

    /// <summary>A value has another shape: a list where a mapping belongs.</summary>
    public const string WrongShape = "BKF004";

    /// <summary>A key that nobody reads.</summary>
    public const string UnknownKey = "BKF005";

    /// <summary>A required key is missing.</summary>
    public const string MissingKey = "BKF006";

    /// <summary>A value is not of the type its key has.</summary>
    public const string WrongType = "BKF007";

    /// <summary>A value lies outside its range.</summary>
    public const string OutOfRange = "BKF008";

    /// <summary>A type name that the catalogue does not hold.</summary>
    public const string UnknownType = "BKF009";

    /// <summary>A name that breaks the naming rule.</summary>
    public const string BadName = "BKF010";

    /// <summary>A name that stands twice.</summary>
    public const string DuplicateName = "BKF011";

    /// <summary>An input that nothing provides.</summary>
    public const string UnknownInput = "BKF012";

    /// <summary>Nodes that feed each other in a circle.</summary>
    public const string Cycle = "BKF013";

    /// <summary>A column that the input does not have.</summary>
    public const string UnknownColumn = "BKF014";

    /// <summary>An expression that cannot be read.</summary>
    public const string BadExpression = "BKF015";

    /// <summary>An expression whose types do not fit.</summary>
    public const string WrongExpressionType = "BKF016";

    /// <summary>A function that does not exist.</summary>
    public const string UnknownFunction = "BKF017";

    /// <summary>A node or source whose rows nobody takes.</summary>
    public const string Unread = "BKF018";

    /// <summary>A regular expression that cannot be used.</summary>
    public const string BadRegex = "BKF019";

    /// <summary>Inputs whose schemas do not fit together.</summary>
    public const string SchemaMismatch = "BKF020";

    /// <summary>Two flows of one name, or two sinks of one table.</summary>
    public const string Conflict = "BKF021";

    /// <summary>A setting that contradicts another.</summary>
    public const string Contradiction = "BKF022";

    /// <summary>A file that is named but cannot be read.</summary>
    public const string Unreadable = "BKF023";

    /// <summary>A flow test that does not hold.</summary>
    public const string TestFailed = "BKF030";
}

/// <summary>Collects the findings of one file.</summary>
public sealed class DiagnosticBag(string file)
{
    private const int MessageMax = 1000;
    private readonly List<Diagnostic> _found = [];

    public string File { get; } = file;

    public bool HasErrors => _found.Exists(d => d.Severity == Severity.Error);

    public int Count => _found.Count;

    public void Error(Position at, string code, string message) => Add(at, code, message, Severity.Error);

    public void Warning(Position at, string code, string message) => Add(at, code, message, Severity.Warning);

    /// <summary>All findings, by position, each once.</summary>
    public IReadOnlyList<Diagnostic> Sorted() => [.. _found.Distinct().Order()];

    // Messages quote what stands in the file: one line, bounded.
    private void Add(Position at, string code, string message, Severity severity) => _found.Add(new Diagnostic(
        File, at.Line, at.Column, code, (message.Length <= MessageMax ? message : message[..MessageMax] + " ...").ReplaceLineEndings(" "), severity));
}

/// <summary>1-based line and column in a file.</summary>
public readonly record struct Position(int Line, int Column)
{
    /// <summary>A position <paramref name="characters"/> further on the same line.</summary>
    public Position Plus(int characters) => this with { Column = Column + characters };
}

/// <summary>Nearest known name, for "did you mean".</summary>
public static class Suggestion
{
    /// <summary>" Did you mean 'x'?" when a known name is near, else ''.</summary>
    public static string For(string given, IEnumerable<string> known)
    {
        var best = known
            .Where(k => Math.Abs(k.Length - given.Length) <= 3)
            .Select(k => (Name: k, Distance: Distance(given, k)))
            .Where(c => c.Distance <= Math.Max(1, Math.Min(3, Math.Max(given.Length, c.Name.Length) / 3)))
            .OrderBy(c => c.Distance)
            .ThenBy(c => c.Name, StringComparer.Ordinal)
            .FirstOrDefault();
        return best.Name is null ? "" : $" Did you mean '{best.Name}'?";
    }

    // Optimal string alignment: Levenshtein plus swaps of neighbours, the commonest slip of fingers.
    private static int Distance(string a, string b)
    {
        var d = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++)
        {
            d[i, 0] = i;
        }

        for (var j = 0; j <= b.Length; j++)
        {
            d[0, j] = j;
        }

        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var cost = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1;
                d[i, j] = Math.Min(Math.Min(d[i - 1, j] + 1, d[i, j - 1] + 1), d[i - 1, j - 1] + cost);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    d[i, j] = Math.Min(d[i, j], d[i - 2, j - 2] + 1);
                }
            }
        }

        return d[a.Length, b.Length];
    }
}
