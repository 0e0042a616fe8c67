using System.Globalization;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Runtime.Checkpoints;

/// <summary>
/// Checkpoints in a folder, for the processes of one machine. No lock is held at any time, so that a process that was
/// stopped cannot hold up the others. A claim is a file <c>EPOCH.claim</c> that only one process can create; a record
/// is <c>EPOCH.ckpt</c>, replaced by rename. Who publishes renames first and looks for a newer claim after; who claims
/// creates the claim first and reads the older record after: so either the publisher sees the claim and is refused, or
/// the claimer sees the record.
/// </summary>
public sealed class DirectoryCheckpointStore : ICheckpointStore
{
    private const string Format = "bkbase checkpoints 1";
    private readonly string _root;

    /// <param name="directory">The folder; made when it is missing.</param>
    /// <exception cref="CheckpointException">The folder holds something else.</exception>
    public DirectoryCheckpointStore(string directory)
    {
        _root = Path.GetFullPath(directory);
        Directory.CreateDirectory(_root);
        var format = Path.Combine(_root, "format");
        if (!File.Exists(format))
        {
            if (Directory.EnumerateFileSystemEntries(_root).Any(e => !Path.GetFileName(e).StartsWith("format", StringComparison.Ordinal)))
            {
                throw new CheckpointException($"{_root} holds other files; name an empty folder for checkpoints");
            }

            DurableFile.Write(format, System.Text.Encoding.UTF8.GetBytes(Format + "\n"));
        }
        else if (File.ReadAllText(format).Trim() is var found && found != Format)
        {
            throw new CheckpointException($"{_root} holds '{found}'; this program reads '{Format}': use the program that wrote it, or a newer one");
        }
    }

    public Task<Claim> ClaimAsync(string task, CancellationToken cancel) => Guarded(() =>
    {
        var folder = FolderOf(task);
        Directory.CreateDirectory(folder);
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var epoch = Newest(folder, ".claim") + 1;
            if (TryCreate(Path.Combine(folder, Name(epoch, ".claim"))))
            {
                DurableFile.SyncFolder(folder);
                var older = Newest(folder, ".ckpt");
                var file = Path.Combine(folder, Name(older, ".ckpt"));
                return new Claim(task, epoch, older == 0 ? null : File.ReadAllBytes(file)) { At = file };
            }
        }
    });

    public Task<IReadOnlyList<string>> PublishAsync(IReadOnlyList<Publication> publications, CancellationToken cancel) => Guarded(() =>
    {
        var refused = new List<string>();
        foreach (var (task, epoch, record) in publications)
        {
            var folder = FolderOf(task);
            if (Newest(folder, ".claim") != epoch)
            {
                refused.Add(task);
                continue;
            }

            DurableFile.Write(Path.Combine(folder, Name(epoch, ".ckpt")), record);
            if (Newest(folder, ".claim") != epoch)
            {
                refused.Add(task);
                continue;
            }

            RemoveOlder(folder, epoch);
        }

        return (IReadOnlyList<string>)refused;
    });

    public Task<IReadOnlyList<StoredRecord>> ReadAsync(string flow, CancellationToken cancel) => Guarded(() =>
    {
        var records = new List<StoredRecord>();
        var folder = FolderOf(flow);
        if (Directory.Exists(folder))
        {
            foreach (var task in Directory.EnumerateFiles(folder, "*.ckpt", SearchOption.AllDirectories).Select(f => Path.GetDirectoryName(f)!).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
            {
                var epoch = Newest(task, ".ckpt");
                var key = Path.GetRelativePath(Path.Combine(_root, "tasks"), task).Replace(Path.DirectorySeparatorChar, '/');
                var file = Path.Combine(task, Name(epoch, ".ckpt"));
                records.Add(new StoredRecord(key, epoch, File.ReadAllBytes(file)) { At = file });
            }
        }

        return (IReadOnlyList<StoredRecord>)records;
    });

    public Task<bool> RemoveAsync(string task, long epoch, CancellationToken cancel) => Guarded(() =>
    {
        var folder = FolderOf(task);
        if (Newest(folder, ".claim") != epoch)
        {
            return false;
        }

        foreach (var file in Directory.EnumerateFiles(folder, "*.ckpt"))
        {
            File.Delete(file);
        }

        DurableFile.SyncFolder(folder);
        return true;
    });

    public Task<long> NextWriterAsync(long least, CancellationToken cancel) => Guarded(() =>
    {
        var folder = Path.Combine(_root, "writers");
        Directory.CreateDirectory(folder);
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var next = Math.Max(Newest(folder, ".writer") + 1, least);
            // A number whose file a later writer has removed meanwhile could be created twice: only the newest counts.
            if (TryCreate(Path.Combine(folder, Name(next, ".writer"))) && Newest(folder, ".writer") == next)
            {
                DurableFile.SyncFolder(folder);
                foreach (var file in Directory.EnumerateFiles(folder, "*.writer").Where(f => NumberOf(f) < next))
                {
                    File.Delete(file);
                }

                return next;
            }
        }
    });

    public Task KeepRevisionAsync(string flow, string revision, string text, CancellationToken cancel) => Guarded(() =>
    {
        var path = RevisionPath(flow, revision);
        if (!File.Exists(path))
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            DurableFile.Write(path, System.Text.Encoding.UTF8.GetBytes(text));
        }

        return true;
    });

    public Task<string?> RevisionAsync(string flow, string revision, CancellationToken cancel) => Guarded(() =>
    {
        var path = RevisionPath(flow, revision);
        return File.Exists(path) ? File.ReadAllText(path) : null;
    });

    private static string Name(long number, string extension) => number.ToString("D12", CultureInfo.InvariantCulture) + extension;

    private static long NumberOf(string path) =>
        long.TryParse(Path.GetFileNameWithoutExtension(path), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;

    private static long Newest(string folder, string extension)
    {
        var newest = 0L;
        foreach (var file in Directory.EnumerateFiles(folder, "*" + extension))
        {
            newest = Math.Max(newest, NumberOf(file));
        }

        return newest;
    }

    private static bool TryCreate(string path)
    {
        try
        {
            using var file = new FileStream(path, FileMode.CreateNew, FileAccess.Write);
            return true;
        }
        catch (IOException) when (File.Exists(path))
        {
            return false;
        }
    }

    private static void RemoveOlder(string folder, long epoch)
    {
        foreach (var file in Directory.EnumerateFiles(folder).Where(f => NumberOf(f) < epoch && NumberOf(f) > 0))
        {
            File.Delete(file);
        }
    }

    // Disk trouble is an IOException to the caller, who waits and tries again.
    private static Task<T> Guarded<T>(Func<T> action)
    {
        try
        {
            return Task.FromResult(action());
        }
        catch (UnauthorizedAccessException e)
        {
            return Task.FromException<T>(new CheckpointException($"the checkpoint folder may not be written: {e.Message}", e));
        }
        catch (Exception e) when (e is IOException or CheckpointException or OperationCanceledException)
        {
            return Task.FromException<T>(e);
        }
    }

    private string FolderOf(string key)
    {
        foreach (var part in key.Split('/'))
        {
            if (part.Length == 0 || part is "." or ".." || part.AsSpan().IndexOfAny(Path.GetInvalidFileNameChars()) >= 0)
            {
                throw new ArgumentException($"'{key}' is not a task's key", nameof(key));
            }
        }

        return Path.Combine(_root, "tasks", key.Replace('/', Path.DirectorySeparatorChar));
    }

    private string RevisionPath(string flow, string revision) => Path.Combine(_root, "revisions", flow, revision + ".yaml");
}
