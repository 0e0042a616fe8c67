using System.CommandLine;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary><c>bkbase schema</c> and <c>bkbase graph</c>: what may stand in a flow, and what stands in one.</summary>
internal static class DescribeCommands
{
    public static Command Schema()
    {
        var command = new Command("schema", "Print the JSON Schema of flow files. Example: bkbase schema > flows/flow.schema.json");
        command.SetAction(_ =>
        {
            Console.Out.WriteLine(JsonSchema.Of(HostCatalog.Offline()).ToJsonString(CommonOptions.JsonForm));
            return ExitCodes.Good;
        });
        return command;
    }

    public static Command Graph()
    {
        var path = new Argument<string>("flow") { Description = "flow file" };
        var command = new Command("graph", "Print a flow as a Mermaid flowchart. Example: bkbase graph flows/k8s/k8s_metrics.yaml") { path };
        command.SetAction(parsed =>
        {
            var reading = FlowFiles.Read(new FlowReader(HostCatalog.Offline()), parsed.GetValue(path)!);
            foreach (var diagnostic in reading.Diagnostics)
            {
                Console.Error.WriteLine(diagnostic);
            }

            if (reading.Flow is not { } flow)
            {
                return ExitCodes.Invalid;
            }

            Console.Out.Write(Mermaid.Of(flow));
            return ExitCodes.Good;
        });
        return command;
    }
}
