using System.Xml.Linq;

namespace BkBase.Host.Tests;

/// <summary>The arrows between projects, and the few rules of form that the compiler cannot hold.</summary>
public sealed class ArchitectureTests
{
    private static readonly string Root = FindRoot();

    private static readonly Dictionary<string, string[]> Allowed = new(StringComparer.Ordinal)
    {
        ["BkBase.Flows"] = [],
        ["BkBase.Store"] = [],
        ["BkBase.Flows.Connectors"] = ["BkBase.Flows"],
        ["BkBase.Flows.Runtime"] = ["BkBase.Flows"],
        ["BkBase.Lab"] = ["BkBase.Flows"],
        ["BkBase.Host"] = ["BkBase.Flows", "BkBase.Flows.Connectors", "BkBase.Flows.Runtime", "BkBase.Store", "BkBase.Lab"],
    };

    // Inside the engine: a folder may use those named; Definition names seams of Etl, Operators and Graph and no more.
    private static readonly Dictionary<string, string[]> EngineAllowed = new(StringComparer.Ordinal)
    {
        ["Records"] = [],
        ["Delivery"] = [],
        ["Telemetry"] = ["Delivery"],
        ["Expressions"] = ["Records", "Definition"],
        ["Etl"] = ["Records", "Definition", "Expressions"],
        ["Operators"] = ["Records", "Definition", "Expressions"],
        ["Definition"] = ["Records", "Etl", "Operators", "Graph"],
        ["Graph"] = ["Records", "Definition", "Delivery", "Etl", "Operators", "Telemetry"],
    };

    [Fact]
    public void Projects_reference_only_what_lies_below_them()
    {
        var found = 0;
        foreach (var project in Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories))
        {
            var name = Path.GetFileNameWithoutExtension(project);
            Assert.True(Allowed.ContainsKey(name), $"{name} is a new project: say in this test what it may reference");
            foreach (var reference in XDocument.Load(project).Descendants("ProjectReference"))
            {
                found++;
                var target = Path.GetFileNameWithoutExtension((string?)reference.Attribute("Include"));
                Assert.True(Allowed[name].Contains(target), $"{name} must not reference {target}; allowed: {string.Join(", ", Allowed[name])}");
            }
        }

        Assert.True(found >= 6, "the test reads no references any more");
    }

    [Fact]
    public void Engine_folders_use_only_what_lies_below_them()
    {
        var engine = Path.Combine(Root, "src", "BkBase.Flows");
        foreach (var (folder, allowed) in EngineAllowed)
        {
            foreach (var file in Directory.EnumerateFiles(Path.Combine(engine, folder), "*.cs"))
            {
                foreach (var line in File.ReadLines(file).Where(l => l.StartsWith("using BkBase.Flows.", StringComparison.Ordinal)))
                {
                    var used = line["using BkBase.Flows.".Length..].TrimEnd(';').Split('.')[0];
                    Assert.True(used == folder || allowed.Contains(used), $"{Path.GetRelativePath(Root, file)} uses {used}; {folder} may use {string.Join(", ", allowed)}");
                }
            }
        }
    }

    [Fact]
    public void Engine_touches_no_file_no_network_no_console()
    {
        string[] banned = ["System.IO.File.", " File.", "(File.", "HttpClient", "Socket", "Console.", "Environment.GetEnvironmentVariable", "Directory."];
        foreach (var file in Directory.EnumerateFiles(Path.Combine(Root, "src", "BkBase.Flows"), "*.cs", SearchOption.AllDirectories).Where(IsSource))
        {
            var code = string.Join('\n', File.ReadLines(file).Where(l => !l.TrimStart().StartsWith("//", StringComparison.Ordinal)));
            foreach (var word in banned.Where(w => code.Contains(w, StringComparison.Ordinal)))
            {
                Assert.Fail($"{Path.GetRelativePath(Root, file)} uses '{word}': the engine has no I/O of its own");
            }
        }
    }

    [Fact]
    public void Folders_are_at_most_one_level_under_a_project()
    {
        foreach (var project in Directory.EnumerateDirectories(Path.Combine(Root, "src")))
        {
            foreach (var file in Directory.EnumerateFiles(project, "*.cs", SearchOption.AllDirectories).Where(IsSource))
            {
                Assert.True(Path.GetRelativePath(project, file).Split(Path.DirectorySeparatorChar).Length <= 2, $"{file} lies deeper than project/folder/file");
            }
        }
    }

    private static bool IsSource(string file) =>
        !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
        && !file.Contains($"{Path.DirectorySeparatorChar}bin{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
        && !file.Contains("node_modules", StringComparison.Ordinal);

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "BkBase.Flows.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException("BkBase.Flows.sln is not above the test");
    }
}
