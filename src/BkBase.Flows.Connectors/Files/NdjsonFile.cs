using System.Globalization;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Files;

/// <summary>A file cannot be written as a sink, and no waiting heals it; the message says which and why.</summary>
public sealed class FileSinkException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>
/// A file of whole lines that rows are appended to. A line that a crash or a failed write left unfinished is cut off
/// before anything is written behind it. One writer at a time, in this process or another; readers may look on.
/// </summary>
internal sealed class NdjsonFile(FileConnector connector, string path, long? rotate, Schema schema) : IDisposable
{
    private const int FlushBytes = 1 << 20;
    private readonly JsonRowWriter _rows = new(schema);
    private FileStream? _file;
    private long _good;

    /// <summary>The full path.</summary>
    public string Path { get; } = path;

    /// <summary>Appends all rows and returns when they are on disk; after an exception none of them counts as written.</summary>
    /// <exception cref="FileSinkException">No waiting heals it.</exception>
    /// <exception cref="IOException">It may work later: the disk is full.</exception>
    public void Write(IReadOnlyList<RecordBatch> batches)
    {
        if (_file is null)
        {
            Open();
        }
        else if (_file.Length != _good)
        {
            Cut(_good);
        }

        if (_good >= rotate)
        {
            PutAside();
        }

        foreach (var batch in batches)
        {
            for (var row = 0; row < batch.Count; row++)
            {
                _rows.Write(batch, row);
                _rows.WriteLine();
                if (_rows.Length >= FlushBytes)
                {
                    Spill();
                }
            }
        }

        Spill();
        if (_file!.Position == _good)
        {
            return;
        }

        _file.Flush(flushToDisk: true);
        _good = _file.Position;
    }

    public void Dispose()
    {
        _file?.Dispose();
        _file = null;
        connector.Release(Path, this);
    }

    private void Spill()
    {
        try
        {
            _file!.Write(_rows.Written);
        }
        finally
        {
            _rows.Clear();
        }
    }

    private void Open()
    {
        if (!connector.Claim(Path, this))
        {
            throw new FileSinkException($"file {Path} is written by another sink; give each sink a file of its own");
        }

        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
            _file = connector.OpenSink(Path);
            if (!OperatingSystem.IsMacOS())
            {
                _file.Lock(0, long.MaxValue); // against other processes; advisory, so that readers may look on
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            _file?.Dispose();
            _file = null;
            throw new FileSinkException(e switch
            {
                _ when Directory.Exists(Path) => $"{Path} is a folder, not a file",
                UnauthorizedAccessException => $"file {Path} may not be written: permission is denied",
                _ when File.Exists(Path) => $"file {Path} is written by another process; give each a file of its own ({e.Message})",
                _ => $"file {Path} cannot be made: {e.Message}",
            }, e);
        }

        Cut(EndOfLines(_file));
    }

    private void Cut(long length)
    {
        _file!.SetLength(length);
        _file.Position = _good = length;
    }

    // One past the last line feed.
    private static long EndOfLines(FileStream file)
    {
        var buffer = new byte[1 << 16];
        for (var end = file.Length; end > 0;)
        {
            var start = Math.Max(0, end - buffer.Length);
            var part = buffer.AsSpan(0, (int)(end - start));
            file.Position = start;
            file.ReadExactly(part);
            if (part.LastIndexOf((byte)'\n') is >= 0 and var at)
            {
                return start + at + 1;
            }

            end = start;
        }

        return 0;
    }

    private void PutAside()
    {
        _file!.Dispose();
        _file = null;
        var (folder, name, extension) = (System.IO.Path.GetDirectoryName(Path)!, System.IO.Path.GetFileNameWithoutExtension(Path), System.IO.Path.GetExtension(Path));
        var last = 0;
        foreach (var found in Directory.EnumerateFiles(folder, $"{name}.*{extension}"))
        {
            var number = System.IO.Path.GetFileName(found)[(name.Length + 1)..].AsSpan();
            if (number.Length > extension.Length && int.TryParse(number[..^extension.Length], NumberStyles.None, CultureInfo.InvariantCulture, out var n))
            {
                last = Math.Max(last, n);
            }
        }

        File.Move(Path, System.IO.Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{name}.{last + 1:D6}{extension}")));
        Open();
    }
}
