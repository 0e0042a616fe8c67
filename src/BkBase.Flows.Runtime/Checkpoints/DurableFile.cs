using System.Runtime.InteropServices;

namespace BkBase.Flows.Runtime.Checkpoints;

/// <summary>Files that are whole or not there, also after power loss.</summary>
internal static partial class DurableFile
{
    private static int _temporaries;

    /// <summary>Replaces a file: temporary file, fsync, rename, fsync of the folder.</summary>
    public static void Write(string path, ReadOnlySpan<byte> bytes)
    {
        // The name must be this write's own: another process may write the same file.
        var temporary = $"{path}.{Environment.ProcessId}.{Interlocked.Increment(ref _temporaries)}.new";
        try
        {
            using (var file = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
            {
                file.Write(bytes);
                file.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        SyncFolder(Path.GetDirectoryName(path)!);
    }

    /// <summary>Makes names in a folder durable. Nothing to do on Windows.</summary>
    public static void SyncFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var handle = Open(folder, 0);
        if (handle < 0)
        {
            throw new IOException($"folder {folder} cannot be opened (errno {Marshal.GetLastPInvokeError()})");
        }

        try
        {
            if (Fsync(handle) != 0)
            {
                throw new IOException($"folder {folder} cannot be synced (errno {Marshal.GetLastPInvokeError()})");
            }
        }
        finally
        {
            _ = Close(handle);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int handle);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int handle);
}
