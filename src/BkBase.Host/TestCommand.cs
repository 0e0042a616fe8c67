using System.CommandLine;
using System.Text.Json;
using Akka.Actor;
using Akka.Streams;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary><c>bkbase test</c>: runs the tests that stand beside flows, without Kafka or ClickHouse.</summary>
internal static class TestCommand
{
    public static Command Create()
    {
        var paths = new Argument<string[]>("path") { Description = "flow files or folders", Arity = ArgumentArity.OneOrMore };
        var json = CommonOptions.Json();
        var command = new Verb("test", "Run the tests of flows (NAME.test.yaml beside NAME.yaml), without Kafka or ClickHouse.", "bkbase test flows", "bkbase test flows --json") { paths, json };
        command.SetAction((parsed, _) => Guard.RunAsync(() => RunAsync(parsed.GetValue(paths)!, parsed.GetValue(json))));
        return command;
    }

    private static async Task<int> RunAsync(string[] paths, bool json)
    {
        var diagnostics = new List<Diagnostic>();
        var readings = FlowFiles.ReadAll(HostCatalog.Offline(), FlowFiles.Find(paths, diagnostics), diagnostics);
        var (passed, failed, without) = (0, 0, 0);
        using var system = ActorSystem.Create("test", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");
        using var materializer = system.Materializer();
        foreach (var flow in readings.Select(r => r.Flow).OfType<FlowDefinition>())
        {
            var file = FlowFiles.TestOf(flow.File);
            if (!File.Exists(file))
            {
                without++;
                continue;
            }

            var bag = new DiagnosticBag(file);
            var cases = FlowTestReader.Read(await File.ReadAllTextAsync(file), bag);
            diagnostics.AddRange(bag.Sorted());
            foreach (var test in bag.HasErrors ? [] : cases)
            {
                var found = await FlowTester.RunAsync(flow, file, test, TimeProvider.System, materializer);
                diagnostics.AddRange(found);
                _ = found.Count == 0 ? passed++ : failed++;
            }
        }

        diagnostics.Sort();
        if (json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(new { passed, failed, flowsWithoutTests = without, diagnostics = diagnostics.Select(CommonOptions.JsonOf) }, CommonOptions.JsonForm));
        }
        else
        {
            diagnostics.ForEach(Console.Out.WriteLine);
            Console.Out.WriteLine($"{passed} flow tests held, {failed} did not, {without} flows have none");
        }

        return diagnostics.Exists(d => d.Severity == Severity.Error) ? failed > 0 ? ExitCodes.Failed : ExitCodes.Invalid : ExitCodes.Good;
    }
}
