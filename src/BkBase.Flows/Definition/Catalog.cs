using System.Collections.Frozen;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Operators;
using BkBase.Flows.Records;

namespace BkBase.Flows.Definition;

/// <summary>One component that a flow may name: everything that reading, help and JSON Schema need.</summary>
/// <param name="Name">The YAML word after <c>type:</c>.</param>
/// <param name="Description">One line.</param>
/// <param name="Example">YAML of one entry that reads clean.</param>
/// <param name="Keys">Its keys, without those every entry of its kind has (name, type, from ...).</param>
/// <param name="Read">Turns the mapping into settings; reports what is wrong and goes on.</param>
public sealed record CatalogEntry<T>(string Name, string Description, string Example, IReadOnlyList<Key> Keys, Func<Section, T> Read);

/// <summary>Settings of an ETL format, read and checked.</summary>
public interface IEtlSettings
{
    /// <summary>Schema of the rows it makes.</summary>
    Schema Schema { get; }

    /// <summary>A parser for one stage.</summary>
    IEtl Create();
}

/// <summary>Settings of a node, read; types are checked when its inputs are known.</summary>
public interface INodeSettings
{
    /// <summary>Number of inputs it takes at most.</summary>
    int InputsMax => 1;

    /// <summary>False when rows come out on named ports only.</summary>
    bool HasOwnOutput => true;

    /// <summary>Names of outputs beside its own; a reader names them <c>node.port</c>.</summary>
    IReadOnlyList<string> Ports => [];

    /// <summary>Files it reads, relative to the flow file's folder.</summary>
    IReadOnlyList<string> Files => [];

    /// <summary>
    /// Checks the settings against the inputs' schemas (expressions compile here) and returns the schema of the rows
    /// that come out, the same on all ports; null after errors.
    /// </summary>
    Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics);

    /// <summary>An operator for one stage. Called after a <see cref="Resolve"/> without errors for the same inputs.</summary>
    IOperator Create(IReadOnlyList<Schema> inputs);

    /// <summary>As <see cref="Create(IReadOnlyList{Schema})"/>, for nodes that the flow's limits bound.</summary>
    IOperator Create(IReadOnlyList<Schema> inputs, FlowLimits limits) => Create(inputs);

    /// <summary>
    /// What the meaning of the node's state depends on, as text: state is carried over to a node of the same name, type
    /// and text. Null for nodes without state; others make an operator that is an <see cref="ISnapshot"/>.
    /// </summary>
    string? StateOf(IReadOnlyList<Schema> inputs) => null;
}

/// <summary>Settings of a source, read.</summary>
public interface ISourceSettings
{
    /// <summary>What it reads, for messages and graphs: "topic 0bkmonitor_15728650".</summary>
    string Describe { get; }

    /// <summary>The topic it reads, when it reads one: what an embedded log in its place is asked for.</summary>
    string? Topic => null;

    /// <summary>The source; opens nothing until it runs.</summary>
    ISource Create();
}

/// <summary>Settings of a sink, read.</summary>
public interface ISinkSettings
{
    /// <summary>What it writes, for messages and graphs: "table 2_pod_cpu_1m".</summary>
    string Describe { get; }

    /// <summary>Checks the settings against the rows that come in.</summary>
    void Resolve(Schema input, DiagnosticBag diagnostics);

    /// <summary>The sink; opens nothing until it runs.</summary>
    ISink Create();
}

/// <summary>All components that flows may name, from explicit lists.</summary>
public sealed class FlowCatalog(
    IEnumerable<CatalogEntry<ISourceSettings>> sources,
    IEnumerable<CatalogEntry<IEtlSettings>> etls,
    IEnumerable<CatalogEntry<INodeSettings>> nodes,
    IEnumerable<CatalogEntry<ISinkSettings>> sinks)
{
    public FrozenDictionary<string, CatalogEntry<ISourceSettings>> Sources { get; } = sources.ToFrozenDictionary(e => e.Name, StringComparer.Ordinal);

    public FrozenDictionary<string, CatalogEntry<IEtlSettings>> Etls { get; } = etls.ToFrozenDictionary(e => e.Name, StringComparer.Ordinal);

    public FrozenDictionary<string, CatalogEntry<INodeSettings>> Nodes { get; } = nodes.ToFrozenDictionary(e => e.Name, StringComparer.Ordinal);

    public FrozenDictionary<string, CatalogEntry<ISinkSettings>> Sinks { get; } = sinks.ToFrozenDictionary(e => e.Name, StringComparer.Ordinal);
}
