namespace BkBase.Store.Engine;

/// <summary>What stands before the rows in each chunk of a streamed format.</summary>
internal enum ChunkHeader
{
    None = 0,
    OneLine = 1,
    TwoLines = 2,
    BinaryNamesAndTypes = 3,
    BinaryNames = 4,
}

/// <summary>The formats whose chunks can be joined, and the length of their headers.</summary>
internal static class ChunkHeaders
{
    private static readonly Dictionary<string, ChunkHeader> Streamed = new(StringComparer.OrdinalIgnoreCase)
    {
        ["RowBinary"] = ChunkHeader.None,
        ["RowBinaryWithNames"] = ChunkHeader.BinaryNames,
        ["RowBinaryWithNamesAndTypes"] = ChunkHeader.BinaryNamesAndTypes,
        ["Native"] = ChunkHeader.None,
        ["TabSeparated"] = ChunkHeader.None,
        ["TSV"] = ChunkHeader.None,
        ["TabSeparatedRaw"] = ChunkHeader.None,
        ["TSVRaw"] = ChunkHeader.None,
        ["CSV"] = ChunkHeader.None,
        ["JSONEachRow"] = ChunkHeader.None,
        ["JSONLines"] = ChunkHeader.None,
        ["NDJSON"] = ChunkHeader.None,
        ["JSONCompactEachRow"] = ChunkHeader.None,
        ["LineAsString"] = ChunkHeader.None,
        ["TabSeparatedWithNames"] = ChunkHeader.OneLine,
        ["TSVWithNames"] = ChunkHeader.OneLine,
        ["CSVWithNames"] = ChunkHeader.OneLine,
        ["TabSeparatedWithNamesAndTypes"] = ChunkHeader.TwoLines,
        ["TSVWithNamesAndTypes"] = ChunkHeader.TwoLines,
        ["CSVWithNamesAndTypes"] = ChunkHeader.TwoLines,
    };

    public static bool TryGet(string format, out ChunkHeader header) => Streamed.TryGetValue(format, out header);

    public static long Length(ReadOnlySpan<byte> chunk, ChunkHeader header) => header switch
    {
        ChunkHeader.OneLine => Lines(chunk, 1),
        ChunkHeader.TwoLines => Lines(chunk, 2),
        ChunkHeader.BinaryNames => Texts(chunk, 1),
        ChunkHeader.BinaryNamesAndTypes => Texts(chunk, 2),
        _ => 0,
    };

    private static long Lines(ReadOnlySpan<byte> chunk, int count)
    {
        // CSV always quotes names, and a quoted name may hold a line end.
        var (at, quoted) = (0, false);
        var csv = chunk.StartsWith("\""u8);
        while (count > 0 && at < chunk.Length)
        {
            quoted ^= csv && chunk[at] == (byte)'"';
            count -= chunk[at++] == (byte)'\n' && !quoted ? 1 : 0;
        }

        return at;
    }

    private static long Texts(ReadOnlySpan<byte> chunk, int perColumn)
    {
        var at = 0;
        var texts = VarInt(chunk, ref at) * perColumn;
        for (var i = 0; i < texts; i++)
        {
            var length = VarInt(chunk, ref at);
            at += length;
        }

        return at;
    }

    private static int VarInt(ReadOnlySpan<byte> chunk, ref int at)
    {
        var value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var b = chunk[at++];
            value |= (b & 0x7f) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }
    }
}
