using System.CommandLine;
using System.Text.Json;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary><c>bkbase check</c>: reads flows and prints every finding, one per line.</summary>
internal static class CheckCommand
{
    public static Command Create()
    {
        var paths = new Argument<string[]>("path") { Description = "flow files or folders", Arity = ArgumentArity.OneOrMore };
        var json = CommonOptions.Json();
        var command = new Verb("check", "Read and check flows: every finding with file, line, column and code; 78 when there are errors.", "bkbase check flows", "bkbase check flows/k8s/k8s_metrics.yaml --json") { paths, json };
        command.SetAction((parsed, _) => Guard.RunAsync(() => Task.FromResult(Run(parsed.GetValue(paths)!, parsed.GetValue(json)))));
        return command;
    }

    private static int Run(string[] paths, bool json)
    {
        var diagnostics = new List<Diagnostic>();
        var files = FlowFiles.Find(paths, diagnostics);
        FlowFiles.ReadAll(HostCatalog.Offline(), files, diagnostics);
        diagnostics.Sort();
        var errors = diagnostics.Count(d => d.Severity == Severity.Error);
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(new
            {
                files = files.Count,
                errors,
                diagnostics = diagnostics.Select(CommonOptions.JsonOf),
            }, CommonOptions.JsonForm));
        }
        else
        {
            diagnostics.ForEach(Console.Out.WriteLine);
            Console.Out.WriteLine($"{files.Count} flows checked, {errors} errors, {diagnostics.Count - errors} warnings");
        }

        return errors == 0 ? ExitCodes.Good : ExitCodes.Invalid;
    }
}
