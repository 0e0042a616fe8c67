using System.CommandLine;
using System.Text.Json;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;

namespace BkBase.Host;

/// <summary><c>bkbase schema</c> and <c>bkbase graph</c>: what may stand in a flow, and what stands in one.</summary>
internal static class DescribeCommands
{
    public static Command Schema()
    {
        var command = new Verb("schema", "Print the JSON Schema of flow files, for editors.", "bkbase schema > flow.schema.json");
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
        var json = CommonOptions.Json();
        var command = new Verb("graph", "Print a flow as a Mermaid flowchart, or its nodes and edges as JSON.", "bkbase graph flows/k8s/k8s_metrics.yaml", "bkbase graph flows/k8s/k8s_metrics.yaml --json") { path, json };
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

            if (parsed.GetValue(json))
            {
                Console.Out.WriteLine(JsonSerializer.Serialize(new
                {
                    flow = flow.Name,
                    sources = flow.Sources.Select(s => new { s.Name, s.Type, etl = s.EtlType, reads = s.Settings.Describe }),
                    nodes = flow.Nodes.Select(n => new { n.Name, n.Type, n.From, columns = n.Schema.Fields.Select(f => f.Name) }),
                    sinks = flow.Sinks.Select(s => new { s.Type, s.From, writes = s.Settings.Describe, columns = s.Schema.Fields.Select(f => f.Name) }),
                }, CommonOptions.JsonForm));
                return ExitCodes.Good;
            }

            Console.Out.Write(Mermaid.Of(flow));
            return ExitCodes.Good;
        });
        return command;
    }
}
