using System.Collections.Concurrent;
using System.Globalization;
using System.IO.Compression;
using System.Security.Cryptography;
using Akka.Streams.Dsl;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Files;

/// <summary>
/// Reads and writes files of one JSON object per line; those read may be gzip. One partition, 0; the offset of a record is the byte at
/// which its line starts in the uncompressed text. Lines end with LF or CR LF; empty ones are skipped. A line has no
/// append time of its own: it gets the time at which the file was last written.
/// </summary>
/// <param name="root">Folder that relative paths start from.</param>
public sealed class FileConnector(string root)
{
    private readonly ConcurrentDictionary<string, string> _sinkTroubles = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, object> _sinks = new(StringComparer.Ordinal);
    private long _sinkTroublesCount;

    /// <summary>The catalogue's entry for <c>type: file</c>.</summary>
    public CatalogEntry<ISourceSettings> Source => new(
        "file",
        "Reads a file of one JSON object per line, plain or gzip, and ends.",
        """
        name: input
        type: file
        path: samples/cpu.ndjson.gz
        """,
        [new Key("path", KeyKind.Text, "The file; relative to the data folder", Required: true)],
        section => new Settings(this, section.Text("path", "")));

    /// <summary>The catalogue's entry for the sink <c>type: file</c>.</summary>
    public CatalogEntry<ISinkSettings> Sink => FileSinkSettings.Entry(this);

    /// <summary>What the sinks wait for; null when all is well.</summary>
    public string? SinkStatus => _sinkTroubles.Values.FirstOrDefault();

    /// <summary>How often writing failed and was tried again.</summary>
    public long SinkTroubles => Interlocked.Read(ref _sinkTroublesCount);

    /// <summary>A source over one file.</summary>
    public ISource Open(string path) => new FileSource(Path.GetFullPath(Path.Combine(root, path)));

    /// <summary>Opens the file of a sink; tests let its disk be full.</summary>
    internal Func<string, FileStream> OpenSink { get; init; } = static path => new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);

    /// <summary>Takes a file for one sink of this process; false when another has it.</summary>
    internal bool Claim(string file, object owner) => ReferenceEquals(_sinks.GetOrAdd(file, owner), owner);

    internal void Release(string file, object owner) => _sinks.TryRemove(new(file, owner));

    internal string PathOf(string path) => Path.GetFullPath(Path.Combine(root, path));

    internal void Trouble(string file, string what)
    {
        _sinkTroubles[file] = what;
        Interlocked.Increment(ref _sinkTroublesCount);
    }

    internal void Heal(string file) => _sinkTroubles.TryRemove(file, out _);

    private sealed class Settings(FileConnector connector, string path) : ISourceSettings
    {
        public string Describe => $"file {path}";

        public ISource Create() => connector.Open(path);
    }
}

/// <summary>A file cannot be read as a source; the message says which and why.</summary>
public sealed class FileSourceException(string message, Exception? inner = null) : IOException(message, inner);

internal sealed class FileSource(string path) : ISource
{
    public string Place => path;

    public bool IsBounded => true;

    public Source<RawBatch, ISourceControl> Create(SourceContext context) =>
        Akka.Streams.Dsl.Source.FromGraph(new BatchReaderSource(() => new FileReader(path, context)));
}

/// <summary>Cuts a file into lines.</summary>
internal sealed class FileReader(string path, SourceContext context, int lineBytesMax = 64 << 20) : IBatchReader, ISourceProgress
{
    private const int BatchBytesMax = 1 << 20;
    private readonly InFlight _inFlight = new();
    private FileStream? _file;
    private Stream? _text;
    private byte[] _buffer = new byte[1 << 18];
    private int _start;
    private int _end;
    private long _position;
    private long _skipLineAt = -1;
    private bool _atEnd;
    private volatile bool _stopped;
    private long _read;
    private long _total;
    private string _identity = "";
    private long _written;

    public long BytesRead => Interlocked.Read(ref _read);

    public long BytesTotal => Interlocked.Read(ref _total);

    public void Confirm(int partition, long offset)
    {
        _inFlight.Confirm(offset);
    }

    public void Stop() => _stopped = true;

    public IReadOnlyList<PartitionLag> Lag() => [new PartitionLag(0, BytesTotal > 0 && BytesRead == BytesTotal && _inFlight.OldestAppendTime() == 0 ? 0 : -1, -1)];

    public async ValueTask<RawBatch?> ReadAsync(CancellationToken stop)
    {
        try
        {
            if (_file is null)
            {
                await OpenAsync(stop);
            }

            return await NextAsync(stop);
        }
        catch (FileSourceException)
        {
            throw;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            throw new FileSourceException(e switch
            {
                FileNotFoundException or DirectoryNotFoundException => $"file {path} does not exist",
                UnauthorizedAccessException when Directory.Exists(path) => $"{path} is a folder, not a file",
                UnauthorizedAccessException => $"file {path} may not be read: permission is denied",
                InvalidDataException => $"file {path} is damaged near byte {_file?.Position}: {e.Message}",
                _ => $"file {path} cannot be read: {e.Message}",
            }, e);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_text is not null)
        {
            await _text.DisposeAsync();
        }

        if (_file is not null)
        {
            await _file.DisposeAsync();
        }
    }

    private async ValueTask OpenAsync(CancellationToken stop)
    {
        _file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 1 << 16, FileOptions.SequentialScan);
        var first = new byte[4096];
        var n = await _file.ReadAtLeastAsync(first, first.Length, throwOnEndOfStream: false, stop);
        _file.Position = 0;
        _identity = Stat() + " " + Convert.ToHexStringLower(SHA256.HashData(first.AsSpan(0, n)).AsSpan(0, 16));
        Interlocked.Exchange(ref _total, _file.Length);
        _written = WrittenAt();
        _text = n >= 2 && first[0] == 0x1f && first[1] == 0x8b ? new GZipStream(_file, CompressionMode.Decompress, leaveOpen: true) : _file;
        long next;
        try
        {
            next = await context.Ledger.ClaimAsync(0, _identity, () => 0, stop);
        }
        catch (IncarnationException e)
        {
            throw new FileSourceException($"file {path} is not the file that flow {context.Flow} began to read: its size, time or first bytes changed; give it another name to read it from its head", e);
        }

        if (next > 0)
        {
            // The mark is where the last line that is in starts; its end is not known yet.
            _skipLineAt = next - 1;
            _inFlight.Begin(_skipLineAt);
            await SkipToAsync(_skipLineAt, stop);
        }
    }

    private async ValueTask SkipToAsync(long offset, CancellationToken stop)
    {
        if (ReferenceEquals(_text, _file))
        {
            _file!.Position = offset;
        }
        else
        {
            for (var left = offset; left > 0;)
            {
                var n = await _text!.ReadAsync(_buffer.AsMemory(0, (int)Math.Min(left, _buffer.Length)), stop);
                if (n == 0)
                {
                    break;
                }

                left -= n;
            }
        }

        _position = offset;
    }

    private async ValueTask<RawBatch?> NextAsync(CancellationToken stop)
    {
        RawBatch? batch = null;
        while (!_stopped)
        {
            if (TakeLines(ref batch))
            {
                break;
            }

            if (_atEnd)
            {
                CheckUnchanged();
                break;
            }

            if (_start > 0)
            {
                _buffer.AsSpan(_start.._end).CopyTo(_buffer);
                (_start, _end) = (0, _end - _start);
            }
            else if (_end == _buffer.Length)
            {
                if (_buffer.Length >= lineBytesMax)
                {
                    batch?.Dispose();
                    throw new FileSourceException($"file {path}: the line at byte {_position} is longer than {lineBytesMax >> 20} MiB; is this a file of one JSON object per line?");
                }

                Array.Resize(ref _buffer, _buffer.Length * 2);
            }

            var n = await _text!.ReadAsync(_buffer.AsMemory(_end), stop);
            _end += n;
            _atEnd = n == 0;
            Interlocked.Exchange(ref _read, _file!.Position);
        }

        if (batch is null)
        {
            return null;
        }

        try
        {
            CheckUnchanged();
        }
        catch
        {
            batch.Dispose();
            throw;
        }

        _inFlight.Add(batch);
        return batch;
    }

    // True when the batch is full.
    private bool TakeLines(ref RawBatch? batch)
    {
        while (_start < _end)
        {
            var rest = _buffer.AsSpan(_start.._end);
            var length = rest.IndexOf((byte)'\n');
            if (length < 0 && !_atEnd)
            {
                return false;
            }

            var step = length < 0 ? rest.Length : length + 1;
            var line = length < 0 ? rest : rest[..length];
            if (line.EndsWith("\r"u8))
            {
                line = line[..^1];
            }

            if (_position == 0 && line.StartsWith("\uFEFF"u8))
            {
                line = line[3..];
            }

            if (!line.IsEmpty && _position != _skipLineAt)
            {
                if (batch is not null && batch.Bytes + line.Length > BatchBytesMax)
                {
                    return true;
                }

                batch ??= RawBatch.Rent(context.Source, 0);
                batch.Add(line, _position, _written);
            }

            _start += step;
            _position += step;
            if (batch?.Count >= context.BatchRecordsMax)
            {
                return true;
            }
        }

        return false;
    }

    private void CheckUnchanged()
    {
        if (!_identity.StartsWith(Stat() + " ", StringComparison.Ordinal))
        {
            throw new FileSourceException($"file {path} changed while it was read; write to another file and rename it when it is complete");
        }
    }

    // The file's time, so that every reading of the file decides the same; archives that keep none leave a date before 2000.
    private long WrittenAt()
    {
        var written = new DateTimeOffset(File.GetLastWriteTimeUtc(path));
        return (written.Year >= 2000 ? written : context.Time.GetUtcNow()).ToUnixTimeMilliseconds();
    }

    private string Stat()
    {
        var info = new FileInfo(path);
        return string.Create(CultureInfo.InvariantCulture, $"{(info.Exists ? info.Length : -1)} {info.LastWriteTimeUtc.Ticks}");
    }
}
