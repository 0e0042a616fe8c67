using System.Buffers;
using System.IO.Compression;

namespace BkBase.Host;

/// <summary>The body of one request, unpacked, in a pooled buffer.</summary>
internal sealed class IngestBody : IDisposable
{
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(1 << 16);
    private int _length;

    private IngestBody()
    {
    }

    public ReadOnlySpan<byte> Bytes => _buffer.AsSpan(0, _length);

    /// <summary>Reads to the end; null when there are more than <paramref name="bytesMax"/> bytes.</summary>
    /// <exception cref="InvalidDataException">It is not gzip although it says so.</exception>
    public static async Task<IngestBody?> ReadAsync(Stream stream, bool isGzip, int bytesMax, CancellationToken stop)
    {
        var body = new IngestBody();
        try
        {
            await using var unpacked = isGzip ? new GZipStream(stream, CompressionMode.Decompress, leaveOpen: true) : null;
            return await body.FillAsync(unpacked ?? stream, bytesMax, stop) ? body : body.Drop();
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            (_buffer, _length) = ([], 0);
        }
    }

    private IngestBody? Drop()
    {
        Dispose();
        return null;
    }

    private async Task<bool> FillAsync(Stream stream, int bytesMax, CancellationToken stop)
    {
        while (true)
        {
            if (_length == _buffer.Length)
            {
                var grown = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
                _buffer.AsSpan(0, _length).CopyTo(grown);
                ArrayPool<byte>.Shared.Return(_buffer);
                _buffer = grown;
            }

            var read = await stream.ReadAsync(_buffer.AsMemory(_length), stop);
            if (read == 0)
            {
                return true;
            }

            _length += read;
            if (_length > bytesMax)
            {
                return false;
            }
        }
    }
}
