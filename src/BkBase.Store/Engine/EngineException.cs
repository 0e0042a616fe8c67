using System.Text.RegularExpressions;

namespace BkBase.Store.Engine;

/// <summary>An error of the engine, with ClickHouse's code and text.</summary>
internal sealed partial class EngineException(string message) : Exception(message)
{
    public const int BadArguments = 36;
    public const int NotImplemented = 48;
    public const int SyntaxError = 62;
    public const int UnknownSetting = 115;
    public const int ReadOnly = 164;
    public const int SessionNotFound = 372;
    public const int SessionIsLocked = 373;
    public const int TooManySessions = 202;
    public const int UnknownException = 1002;

    public int Code { get; } = ParseCode(message);

    public static EngineException Of(int code, string text, string name) => new($"Code: {code}. DB::Exception: {text}. ({name})\n");

    private static int ParseCode(string message) =>
        CodePattern().Match(message) is { Success: true } match ? int.Parse(match.Groups["code"].ValueSpan, provider: null) : UnknownException;

    [GeneratedRegex(@"Code: (?<code>\d+)", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex CodePattern();
}
