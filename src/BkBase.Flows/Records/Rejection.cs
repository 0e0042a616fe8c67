using System.Collections.Frozen;

namespace BkBase.Flows.Records;

/// <summary>Why a record or row was refused: stable codes for tables, metrics and tests.</summary>
public static class RejectReason
{
    public const string NotJson = "not_json";
    public const string TooDeep = "too_deep";
    public const string TooLarge = "too_large";
    public const string WrongType = "wrong_type";
    public const string MissingField = "missing_field";
    public const string NotFinite = "not_finite";
    public const string BadTime = "bad_time";
    public const string FutureTime = "future_time";
    public const string NoMatch = "no_match";
    public const string Timeout = "timeout";
    public const string BadEncoding = "bad_encoding";
    public const string Unsupported = "unsupported";
    public const string RefusedByStore = "refused_by_store";

    /// <summary>All codes.</summary>
    public static FrozenSet<string> All { get; } = new[]
    {
        NotJson, TooDeep, TooLarge, WrongType, MissingField, NotFinite, BadTime, FutureTime, NoMatch, Timeout, BadEncoding, Unsupported, RefusedByStore,
    }.ToFrozenSet(StringComparer.Ordinal);
}

/// <summary>
/// One refused record or item: data, not an exception. Becomes a row of <c>bkbase.dead_letters</c>.
/// </summary>
/// <param name="Reason">A code of <see cref="RejectReason"/>.</param>
/// <param name="Path">Where in the record, as a JSON path or column name; '' for the whole record.</param>
/// <param name="Message">What is wrong and what would be right, for people.</param>
/// <param name="Offset">Offset of the record in its partition.</param>
/// <param name="EventTime">Unix milliseconds; 0 when unknown.</param>
/// <param name="Sample">The raw bytes, cut to <see cref="SampleBytesMax"/>.</param>
public sealed record Rejection(string Reason, string Path, string Message, long Offset, long EventTime, ReadOnlyMemory<byte> Sample)
{
    /// <summary>Bound of a sample in bytes.</summary>
    public const int SampleBytesMax = 4096;

    /// <summary>Bound of a path and of a message in characters: both may quote what a sender wrote.</summary>
    public const int TextMax = 500;

    /// <summary>When the record was appended to its topic or read from its file, Unix milliseconds; 0 when unknown.</summary>
    public long AppendTime { get; init; }

    /// <summary>A rejection with the sample copied, and all texts cut to their bounds.</summary>
    public static Rejection Create(string reason, string path, string message, long offset, long eventTime, ReadOnlySpan<byte> raw) =>
        new(reason, Cut(path), Cut(message), offset, eventTime, raw[..Math.Min(raw.Length, SampleBytesMax)].ToArray());

    private static string Cut(string text) => text.Length <= TextMax ? text
        : string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[TextMax - 1]) ? TextMax - 1 : TextMax), "...");
}

/// <summary>The refusals that one input batch left at one node: none more often than not, but always with its lineage.</summary>
public sealed class RejectionBatch(Lineage lineage, IReadOnlyList<Rejection> rejections) : StreamElement
{
    public Lineage Lineage { get; } = lineage;

    public IReadOnlyList<Rejection> Rejections { get; } = rejections;
}
