using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>Flow files and their tests below paths that a user named.</summary>
internal static class FlowFiles
{
    private const string TestSuffix = ".test.yaml";

    /// <summary>All flow files, in order; a finding for a path that does not exist.</summary>
    public static IReadOnlyList<string> Find(IEnumerable<string> paths, List<Diagnostic> diagnostics)
    {
        var files = new List<string>();
        foreach (var path in paths)
        {
            if (File.Exists(path))
            {
                files.Add(path);
            }
            else if (Directory.Exists(path))
            {
                files.AddRange(Directory.EnumerateFiles(path, "*.yaml", SearchOption.AllDirectories)
                    .Where(f => !f.EndsWith(TestSuffix, StringComparison.Ordinal))
                    .Order(StringComparer.Ordinal));
            }
            else
            {
                diagnostics.Add(new Diagnostic(path, 1, 1, DiagnosticCodes.Unreadable, "no such file or folder"));
            }
        }

        return files;
    }

    /// <summary>The test file beside a flow file, whether or not it exists.</summary>
    public static string TestOf(string flowFile) => Path.ChangeExtension(flowFile, null) + TestSuffix;

    /// <summary>Reads all files; names must differ between them.</summary>
    public static IReadOnlyList<FlowReading> ReadAll(FlowCatalog catalog, IReadOnlyList<string> files, List<Diagnostic> diagnostics)
    {
        var reader = new FlowReader(catalog);
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        var readings = new List<FlowReading>();
        foreach (var file in files)
        {
            var reading = Read(reader, file);
            readings.Add(reading);
            diagnostics.AddRange(reading.Diagnostics);
            if (reading.Flow is { } flow && !names.TryAdd(flow.Name, file))
            {
                diagnostics.Add(new Diagnostic(file, 1, 1, DiagnosticCodes.Conflict, $"the flow '{flow.Name}' stands in {names[flow.Name]} already; give one of them another name"));
            }
        }

        diagnostics.AddRange(TableConflicts.Of(readings.Select(r => r.Flow).OfType<FlowDefinition>()));
        return readings;
    }

    public static FlowReading Read(FlowReader reader, string file)
    {
        try
        {
            return new FileInfo(file).Length > FlowReader.BytesMax
                ? Failed(DiagnosticCodes.TooLarge, $"the file has {new FileInfo(file).Length} bytes; a flow has at most {FlowReader.BytesMax}: is this a flow file?")
                : reader.Read(file, File.ReadAllText(file));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return Failed(DiagnosticCodes.Unreadable, e.Message);
        }

        FlowReading Failed(string code, string message) => new(null, [new Diagnostic(file, 1, 1, code, message)]);
    }
}
