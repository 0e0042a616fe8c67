using System.Text.Json;

namespace BkBase.Store;

/// <summary>Who serves a data directory, as its lock file says.</summary>
/// <param name="Pid">The process.</param>
/// <param name="Address">Where it serves; empty while it starts.</param>
public sealed record StoreOwner(int Pid, string Address)
{
    /// <summary>Reads the lock file of a directory; null when there is none. The process named may be gone.</summary>
    public static StoreOwner? Read(string dataDirectory)
    {
        try
        {
            using var file = new FileStream(StoreLock.PathIn(dataDirectory), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            return JsonSerializer.Deserialize<StoreOwner>(file, StoreLock.Json);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}

/// <summary>The exclusive claim of one process on a data directory: a file lock, which ends with the process.</summary>
internal sealed class StoreLock : IDisposable
{
    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    // A byte far behind the text: the text stays readable everywhere.
    private const long LockedByte = 1 << 20;
    private readonly FileStream _file;

    private StoreLock(FileStream file) => _file = file;

    public static string PathIn(string dataDirectory) => Path.Combine(dataDirectory, "store.lock");

    /// <summary>Takes the directory, or returns null when another process has it.</summary>
    public static StoreLock? TryTake(string dataDirectory)
    {
        Directory.CreateDirectory(dataDirectory);
        var file = new FileStream(PathIn(dataDirectory), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        try
        {
            if (!OperatingSystem.IsMacOS())
            {
                file.Lock(LockedByte, 1);
            }

            return new StoreLock(file);
        }
        catch (IOException)
        {
            file.Dispose();
            return null;
        }
    }

    /// <summary>Whether a process has the directory.</summary>
    public static bool IsTaken(string dataDirectory)
    {
        using var claim = TryTake(dataDirectory);
        return claim is null;
    }

    public void Announce(string address)
    {
        var text = JsonSerializer.SerializeToUtf8Bytes(new StoreOwner(Environment.ProcessId, address), Json);
        _file.Position = 0;
        _file.Write(text);
        _file.SetLength(text.Length);
        _file.Flush();
    }

    public void Dispose()
    {
        _file.SetLength(0);
        _file.Dispose();
    }
}
