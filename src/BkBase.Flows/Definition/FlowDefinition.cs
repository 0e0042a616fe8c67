using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Definition;

/// <summary>A flow that was read and checked without errors: it always compiles.</summary>
public sealed record FlowDefinition
{
    public required string Name { get; init; }

    /// <summary>Owner business; tables are {biz}_{table}.</summary>
    public required int Biz { get; init; }

    public IReadOnlyList<string> Owner { get; init; } = [];

    public string Description { get; init; } = "";

    /// <summary>Path of the file as the user gave it.</summary>
    public required string File { get; init; }

    /// <summary>The text of the file.</summary>
    public required string Text { get; init; }

    /// <summary>First 12 hex digits of the SHA-256 of the text.</summary>
    public required string Revision { get; init; }

    public required IReadOnlyList<SourceDefinition> Sources { get; init; }

    /// <summary>In an order in which every node stands behind its inputs.</summary>
    public required IReadOnlyList<NodeDefinition> Nodes { get; init; }

    public required IReadOnlyList<SinkDefinition> Sinks { get; init; }

    public FlowLimits Limits { get; init; } = new();
}

/// <param name="Settings">Where records come from.</param>
/// <param name="Etl">How they become rows.</param>
public sealed record SourceDefinition(string Name, string Type, ISourceSettings Settings, string EtlType, IEtlSettings Etl, StartPosition? Start);

/// <param name="From">Names of its inputs: sources, nodes, or <c>node.port</c>.</param>
/// <param name="Inputs">Schemas of the inputs.</param>
/// <param name="Schema">Schema of the rows that come out.</param>
public sealed record NodeDefinition(string Name, string Type, INodeSettings Settings, IReadOnlyList<string> From, IReadOnlyList<Schema> Inputs, Schema Schema);

/// <param name="From">Name of its input: a source, a node, or <c>node.port</c>.</param>
/// <param name="Schema">Schema of the rows that come in.</param>
public sealed record SinkDefinition(string Type, string From, ISinkSettings Settings, Schema Schema);
