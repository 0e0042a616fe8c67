using System.Buffers;
using System.IO.Compression;
using System.Text;
using System.Text.Unicode;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Parser of <see cref="CleanSettings"/>.</summary>
public sealed class CleanEtl : IEtl
{
    /// <summary>Bytes a compressed record may come to.</summary>
    public const int UnzippedMax = 64 * 1024 * 1024;

    private readonly CleanPlan _plan;
    private readonly Encoding? _encoding;
    private readonly bool _isCompressed;
    private readonly CleanRun _run = new();
    private readonly CleanRows _rows;
    private readonly int[] _row;
    private readonly ArrayBufferWriter<byte> _unzipped = new();

    internal CleanEtl(Schema schema, CleanPlan plan, Encoding? encoding, bool isCompressed)
    {
        (Schema, _plan, _encoding, _isCompressed) = (schema, plan, encoding, isCompressed);
        _rows = new CleanRows(plan, _run);
        _row = new int[plan.Columns.Length];
    }

    public Schema Schema { get; }

    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        var text = payload;
        if (_isCompressed && !TryUnzip(payload, output, out text))
        {
            return;
        }

        if (!TryDecode(ref text))
        {
            output.Reject(RejectReason.BadEncoding, "", $"a record is {_encoding?.WebName ?? "UTF-8"}", payload);
            return;
        }

        var (rows, refused) = (output.Rows.Count, output.Rejections.Count);
        _run.Begin(output, _plan.Root);
        _rows.Clear();
        var root = _run.Values.Add(CleanKind.Text, text.Trim("\0\n\r\t "u8));
        if (_plan.Tree.Run(_run, root) && _run.IsWritten)
        {
            _run.Flatten(_plan.Root, _run.Frame, 0, _row, _rows);
            foreach (var step in _plan.Steps)
            {
                step.Run(_rows);
            }

            _rows.Write(output.Rows);
        }

        if (output.Rows.Count == rows && output.Rejections.Count == refused)
        {
            output.Filtered++;
        }
    }

    private bool TryDecode(ref ReadOnlySpan<byte> text)
    {
        if (_encoding is null)
        {
            return Utf8.IsValid(text);
        }

        try
        {
            text = Encoding.UTF8.GetBytes(_encoding.GetString(text));
            return true;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private bool TryUnzip(ReadOnlySpan<byte> payload, EtlOutput output, out ReadOnlySpan<byte> text)
    {
        text = default;
        try
        {
            using var zip = new GZipStream(new MemoryStream(payload.ToArray()), CompressionMode.Decompress);
            Span<byte> piece = stackalloc byte[8192];
            _unzipped.ResetWrittenCount();
            for (var read = zip.Read(piece); read > 0; read = zip.Read(piece))
            {
                if (_unzipped.WrittenCount + read > UnzippedMax)
                {
                    output.Reject(RejectReason.TooLarge, "", $"a record unzips to at most {UnzippedMax} bytes", payload);
                    return false;
                }

                _unzipped.Write(piece[..read]);
            }
        }
        catch (InvalidDataException)
        {
            output.Reject(RejectReason.BadEncoding, "", "the record is not compressed with gzip", payload);
            return false;
        }

        text = _unzipped.WrittenSpan;
        return true;
    }
}
