using System.Buffers.Binary;
using System.Globalization;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Log;

/// <summary>
/// An entry of a partition's FasterLog, little endian: first offset (8 bytes), append time (8), count (4), then for a run
/// of records the length of each (4) and the payloads. A count of 0 is a part of one long record: its length (4), where
/// in it the part begins (4), and the bytes.
/// </summary>
/// <param name="Offset">Offset of the first record.</param>
/// <param name="Time">Append time, Unix milliseconds.</param>
/// <param name="Count">Records; 0 for a part of one.</param>
/// <param name="Length">Of a part: length of the whole record.</param>
/// <param name="At">Of a part: where it begins in the record.</param>
/// <param name="Bytes">Of a part: its bytes.</param>
internal readonly record struct LogEntry(long Offset, long Time, int Count, int Length, int At, int Bytes)
{
    /// <summary>Bytes before the lengths or the part.</summary>
    public const int HeaderBytes = 20;

    private const int PartHeaderBytes = HeaderBytes + 8;

    public bool IsPart => Count == 0;

    /// <summary>Whether the record began in an earlier entry.</summary>
    public bool IsContinued => IsPart && At > 0;

    /// <summary>Offset behind the records that end in this entry.</summary>
    public long Next => IsPart ? (At + Bytes == Length ? Offset + 1 : Offset) : Offset + Count;

    public static LogEntry Read(ReadOnlySpan<byte> entry)
    {
        var count = BinaryPrimitives.ReadInt32LittleEndian(entry[16..]);
        var isPart = count == 0;
        return new(
            BinaryPrimitives.ReadInt64LittleEndian(entry),
            BinaryPrimitives.ReadInt64LittleEndian(entry[8..]),
            count,
            isPart ? BinaryPrimitives.ReadInt32LittleEndian(entry[20..]) : 0,
            isPart ? BinaryPrimitives.ReadInt32LittleEndian(entry[24..]) : 0,
            isPart ? entry.Length - PartHeaderBytes : 0);
    }

    /// <summary>The bytes of a part.</summary>
    public static ReadOnlySpan<byte> PartOf(ReadOnlySpan<byte> entry) => entry[PartHeaderBytes..];

    /// <summary>How many records from one on fit into one entry; 0 when not even the first does.</summary>
    public static int Fitting(RawBatch batch, int from, int bytesMax)
    {
        var (count, size) = (0, (long)HeaderBytes);
        while (from + count < batch.Count && size + 4 + batch[from + count].Length <= bytesMax)
        {
            size += 4 + batch[from + count].Length;
            count++;
        }

        return count;
    }

    /// <summary>Lays a run of records into <paramref name="entry"/>; returns its size.</summary>
    public static int WriteRun(Span<byte> entry, RawBatch batch, int from, int count, long offset, long time)
    {
        WriteHeader(entry, offset, time, count);
        var at = HeaderBytes + (4 * count);
        for (var i = 0; i < count; i++)
        {
            var payload = batch[from + i];
            BinaryPrimitives.WriteInt32LittleEndian(entry[(HeaderBytes + (4 * i))..], payload.Length);
            payload.CopyTo(entry[at..]);
            at += payload.Length;
        }

        return at;
    }

    /// <summary>Fills <paramref name="entry"/> with the part of a record from <paramref name="at"/> on; returns its size.</summary>
    public static int WritePart(Span<byte> entry, ReadOnlySpan<byte> record, int at, long offset, long time, out int written)
    {
        written = Math.Min(record.Length - at, entry.Length - PartHeaderBytes);
        WriteHeader(entry, offset, time, 0);
        BinaryPrimitives.WriteInt32LittleEndian(entry[20..], record.Length);
        BinaryPrimitives.WriteInt32LittleEndian(entry[24..], at);
        record.Slice(at, written).CopyTo(entry[PartHeaderBytes..]);
        return PartHeaderBytes + written;
    }

    /// <summary>Adds a run's records in [<paramref name="from"/>, <paramref name="to"/>) to a batch.</summary>
    public static void AddTo(RawBatch batch, ReadOnlySpan<byte> entry, long from, long to)
    {
        var header = Read(entry);
        var at = HeaderBytes + (4 * header.Count);
        for (var i = 0; i < header.Count; i++)
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(entry[(HeaderBytes + (4 * i))..]);
            if (header.Offset + i >= from && header.Offset + i < to)
            {
                batch.Add(entry.Slice(at, length), header.Offset + i, header.Time);
            }

            at += length;
        }
    }

    private static void WriteHeader(Span<byte> entry, long offset, long time, int count)
    {
        BinaryPrimitives.WriteInt64LittleEndian(entry, offset);
        BinaryPrimitives.WriteInt64LittleEndian(entry[8..], time);
        BinaryPrimitives.WriteInt32LittleEndian(entry[16..], count);
    }
}

/// <summary>The file that says how a log's folder was made: version of the entries and size of the pages.</summary>
internal static class LogFormat
{
    private const string Version = "2";

    /// <summary>Page size of the folder's log; that of the options for a new one.</summary>
    /// <exception cref="IOException">Another version made it.</exception>
    public static int PageBits(EmbeddedLogOptions options)
    {
        var file = Path.Combine(options.Directory, "format");
        if (File.Exists(file))
        {
            return File.ReadAllText(file).Trim().Split(' ') is [Version, var bits] && int.TryParse(bits, NumberStyles.None, CultureInfo.InvariantCulture, out var pageBits)
                ? pageBits
                : throw Other(options.Directory);
        }

        if (Directory.Exists(Path.Combine(options.Directory, "topics")))
        {
            throw Other(options.Directory);
        }

        File.WriteAllText(file + ".new", $"{Version} {options.PageBits}\n");
        File.Move(file + ".new", file);
        return options.PageBits;
    }

    private static IOException Other(string folder) => new($"the log in {folder} was made by another version of this program; choose another folder, or remove it if its records are not needed");
}
