using System.Globalization;
using System.Text;
using BkBase.Flows.Definition;

namespace BkBase.Flows.Graph;

/// <summary>A flow as a Mermaid flowchart.</summary>
public static class Mermaid
{
    public static string Of(FlowDefinition flow)
    {
        var text = new StringBuilder("flowchart LR\n");
        foreach (var source in flow.Sources)
        {
            text.Append(CultureInfo.InvariantCulture, $"  {source.Name}([\"{Escape(source.Settings.Describe)}<br/>{source.EtlType}\"])\n");
        }

        foreach (var node in flow.Nodes)
        {
            text.Append(CultureInfo.InvariantCulture, $"  {node.Name}[\"{node.Name}<br/>{node.Type}\"]\n");
            foreach (var from in node.From)
            {
                Arrow(from, node.Name);
            }
        }

        for (var i = 0; i < flow.Sinks.Count; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"  sink{i}[(\"{Escape(flow.Sinks[i].Settings.Describe)}\")]\n");
            Arrow(flow.Sinks[i].From, $"sink{i}");
        }

        return text.ToString();

        void Arrow(string from, string to)
        {
            var parts = from.Split('.');
            text.Append(parts.Length == 1 ? $"  {from} --> {to}\n" : $"  {parts[0]} -- {parts[1]} --> {to}\n");
        }
    }

    private static string Escape(string text) => text.Replace("\"", "#quot;", StringComparison.Ordinal);
}
