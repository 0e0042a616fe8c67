namespace BkBase.Store.Engine;

/// <summary>Finds libchdb.so at run time.</summary>
internal static class LibraryLocator
{
    /// <summary>The variable that names the library by its full path.</summary>
    public const string Variable = "BKBASE_LIBCHDB";

    public const string Missing =
        "the embedded store engine (libchdb.so) was not found. Use a ClickHouse server, or set " + Variable +
        " to the full path of libchdb.so, or install Node.js with npm and run: npm ci --prefix src/BkBase.Store/native";

    /// <summary>The path of the library, or null.</summary>
    public static string? Find() => Find(AppContext.BaseDirectory, Environment.GetEnvironmentVariable(Variable));

    public static string? Find(string applicationDirectory, string? configured)
    {
        if (!string.IsNullOrEmpty(configured))
        {
            return File.Exists(configured) ? configured : null;
        }

        var beside = Path.Combine(applicationDirectory, "libchdb.so");
        if (File.Exists(beside))
        {
            return beside;
        }

        for (var directory = new DirectoryInfo(applicationDirectory); directory is not null; directory = directory.Parent)
        {
            foreach (var folder in (ReadOnlySpan<string>)["native", "src/BkBase.Store/native"])
            {
                if (FindPackage(Path.Combine(directory.FullName, folder, "node_modules", "@chdb")) is { } path)
                {
                    return path;
                }
            }
        }

        return null;
    }

    private static string? FindPackage(string scope) =>
        Directory.Exists(scope)
            ? Directory.EnumerateDirectories(scope, "lib-*").Order(StringComparer.Ordinal).Select(d => Path.Combine(d, "libchdb.so")).FirstOrDefault(File.Exists)
            : null;
}
