using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace BkBase.Store.Engine;

/// <summary>The part of chdb.h (26.7.3) that the store uses. Every result is freed with <see cref="chdb_destroy_query_result"/>.</summary>
[SuppressMessage("Style", "IDE1006", Justification = "The names of the C interface.")]
[SuppressMessage("Security", "CA5392", Justification = "The library is loaded from an explicit path by the resolver; libc is libc.")]
internal static unsafe partial class Native
{
    private const string Lib = "chdb";
    private static nint _library;

    /// <summary>Loads the library; once per process.</summary>
    public static void Load(string path)
    {
        if (_library != 0)
        {
            return;
        }

        _library = NativeLibrary.Load(path);
        NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, static (name, _, _) => name == Lib ? _library : 0);
    }

    [LibraryImport(Lib)] public static partial void chdb_set_signal_handlers_enabled(int enabled);
    [LibraryImport(Lib)] public static partial nint* chdb_connect(int argc, byte** argv);
    [LibraryImport(Lib)] public static partial void chdb_close_conn(nint* connection);
    [LibraryImport(Lib)] public static partial int chdb_shutdown();

    [LibraryImport(Lib)] public static partial nint chdb_query_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength);
    [LibraryImport(Lib)] public static partial nint chdb_query_with_params_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength, byte** names, nuint* nameLengths, byte** values, nuint* valueLengths, nuint count);
    [LibraryImport(Lib)] public static partial nint chdb_stream_query_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength);
    [LibraryImport(Lib)] public static partial nint chdb_stream_query_with_params_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength, byte** names, nuint* nameLengths, byte** values, nuint* valueLengths, nuint count);
    [LibraryImport(Lib)] public static partial nint chdb_stream_fetch_result(nint connection, nint stream);
    [LibraryImport(Lib)] public static partial void chdb_stream_cancel_query(nint connection, nint stream);

    [LibraryImport(Lib)] public static partial void chdb_destroy_query_result(nint result);
    [LibraryImport(Lib)] public static partial byte* chdb_result_buffer(nint result);
    [LibraryImport(Lib)] public static partial nuint chdb_result_length(nint result);
    [LibraryImport(Lib)] public static partial nint chdb_result_error(nint result);
    [LibraryImport(Lib)] public static partial ulong chdb_result_rows_read(nint result);
    [LibraryImport(Lib)] public static partial ulong chdb_result_bytes_read(nint result);
    [LibraryImport(Lib)] public static partial ulong chdb_result_rows_written(nint result);
    [LibraryImport(Lib)] public static partial ulong chdb_result_bytes_written(nint result);

    [LibraryImport(Lib)] public static partial nint chdb_stream_insert_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength);
    [LibraryImport(Lib)] public static partial nint chdb_stream_insert_with_params_n(nint connection, byte* sql, nuint sqlLength, byte* format, nuint formatLength, byte** names, nuint* nameLengths, byte** values, nuint* valueLengths, nuint count);
    [LibraryImport(Lib)] public static partial nint chdb_stream_insert_error(nint stream);
    [LibraryImport(Lib)] public static partial int chdb_stream_append(nint stream, byte* data, nuint length);
    [LibraryImport(Lib)] public static partial nint chdb_stream_done(nint stream);
    [LibraryImport(Lib)] public static partial void chdb_destroy_insert_stream(nint stream);

    [LibraryImport(Lib)] public static partial int chdb_classify_query_n(nint connection, byte* sql, nuint sqlLength, byte* database, nuint databaseLength, QueryAnalysis* analysis);

    [LibraryImport("libc")] public static partial int sigaction(int signal, void* action, void* old);
    [LibraryImport("libc", EntryPoint = "kill")] public static partial int SendSignal(int pid, int signal);

    [StructLayout(LayoutKind.Sequential)]
    public struct QueryAnalysis
    {
        public uint StructSize;
        public uint StatementCount;
        public uint Flags;
        public uint QueryClass;
    }
}
