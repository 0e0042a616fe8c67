using System.IO.Compression;
using BkBase.Store.Engine;
using ZstdSharp;

namespace BkBase.Store.Http;

/// <summary>HTTP content codings.</summary>
internal static class Codings
{
    public static Stream Decode(Stream body, string coding) => coding.Trim().ToUpperInvariant() switch
    {
        "" or "IDENTITY" => body,
        "GZIP" => new GZipStream(body, CompressionMode.Decompress),
        "DEFLATE" => new ZLibStream(body, CompressionMode.Decompress),
        "BR" => new BrotliStream(body, CompressionMode.Decompress),
        "ZSTD" => new DecompressionStream(body),
        _ => throw EngineException.Of(EngineException.NotImplemented, $"Content-Encoding '{coding}' is not offered here; use gzip, zstd, deflate or br", "NOT_IMPLEMENTED"),
    };

    /// <summary>The coding of the answer out of an Accept-Encoding header, or null.</summary>
    public static string? Accepted(string header)
    {
        var accepted = header.Split(',').Select(c => c.Split(';')[0].Trim()).ToHashSet(StringComparer.OrdinalIgnoreCase);
        return accepted.Contains("zstd") ? "zstd" : accepted.Contains("gzip") ? "gzip" : null;
    }

    public static Stream Encode(Stream body, string? coding) => coding switch
    {
        "zstd" => new CompressionStream(body, 1, leaveOpen: true),
        "gzip" => new GZipStream(body, CompressionLevel.Fastest, leaveOpen: true),
        _ => body,
    };
}
