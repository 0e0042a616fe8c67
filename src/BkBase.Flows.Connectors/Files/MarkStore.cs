using System.Collections.Concurrent;
using System.Globalization;
using System.Text;

namespace BkBase.Flows.Connectors.Files;

/// <summary>How far a flow has confirmed one partition of one source.</summary>
/// <param name="Offset">Last offset confirmed.</param>
/// <param name="Identity">What the offset counts in (a file's identity); empty when that never changes.</param>
public readonly record struct Mark(long Offset, string Identity = "");

/// <summary>
/// Marks of flows, one small file each, replaced atomically (temporary file, fsync, rename). Writes of one mark follow
/// each other and skip what is already overtaken. Safe from any thread; disposal waits for the last writes.
/// </summary>
public sealed class MarkStore(string directory) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    /// <summary>The last mark set; null when there is none.</summary>
    public Mark? Get(string flow, string source, int partition)
    {
        var path = PathOf(flow, source, partition);
        if (_entries.TryGetValue(path, out var entry))
        {
            lock (entry)
            {
                if (entry.Latest is { } mark)
                {
                    return mark;
                }
            }
        }

        if (!File.Exists(path))
        {
            return null;
        }

        var text = File.ReadAllText(path).Split('\n');
        return text.Length >= 2 && long.TryParse(text[0], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var offset)
            ? new Mark(offset, text[1])
            : throw new InvalidDataException($"{path} is not a mark; remove it to start the source anew");
    }

    /// <summary>Sets a mark; it is on disk soon after, and before disposal ends.</summary>
    public void Set(string flow, string source, int partition, Mark mark)
    {
        var path = PathOf(flow, source, partition);
        var entry = _entries.GetOrAdd(path, static _ => new Entry());
        lock (entry)
        {
            entry.Latest = mark;
            if (!entry.Writing)
            {
                _ = Start(path, entry);
            }
        }
    }

    /// <summary>Waits until all marks set so far are on disk; one whose write failed is tried once more.</summary>
    /// <exception cref="IOException">A mark cannot be written; its source will read some records again.</exception>
    public Task FlushAsync() => Task.WhenAll(_entries.Select(e =>
    {
        lock (e.Value)
        {
            return e.Value.Writing || e.Value.Latest == e.Value.Written ? e.Value.Writer : Start(e.Key, e.Value);
        }
    }));

    public async ValueTask DisposeAsync() => await FlushAsync();

    private static Task Start(string path, Entry entry)
    {
        entry.Writing = true;
        return entry.Writer = Task.Run(() => Write(path, entry));
    }

    private static void Write(string path, Entry entry)
    {
        while (true)
        {
            Mark mark;
            lock (entry)
            {
                if (entry.Latest == entry.Written)
                {
                    entry.Writing = false;
                    return;
                }

                mark = entry.Latest!.Value;
            }

            try
            {
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                var temporary = path + ".new";
                using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write))
                {
                    file.Write(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{mark.Offset}\n{mark.Identity}\n")));
                    file.Flush(flushToDisk: true);
                }

                File.Move(temporary, path, overwrite: true);
                lock (entry)
                {
                    entry.Written = mark;
                }
            }
            catch (Exception e)
            {
                lock (entry)
                {
                    // The next mark tries again; until then a restart only repeats more.
                    entry.Writing = false;
                }

                throw new IOException($"the mark {path} cannot be written: {e.Message}", e);
            }
        }
    }

    /// <summary>The file of a mark.</summary>
    public string PathOf(string flow, string source, int partition) =>
        Path.Combine(directory, flow, source, string.Create(CultureInfo.InvariantCulture, $"{partition}.mark"));

    private sealed class Entry
    {
        public Mark? Latest { get; set; }

        public Mark? Written { get; set; }

        public bool Writing { get; set; }

        public Task Writer { get; set; } = Task.CompletedTask;
    }
}
