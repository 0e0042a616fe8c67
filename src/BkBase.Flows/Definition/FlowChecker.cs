using BkBase.Flows.Records;

namespace BkBase.Flows.Definition;

/// <summary>
/// Checks structure and types of a flow whose parts were read: names, inputs, cycles, then schemas from the sources
/// down, compiling every expression against the columns it will see.
/// </summary>
internal sealed class FlowChecker(DiagnosticBag diagnostics)
{
    private readonly Dictionary<string, Schema?> _schemas = new(StringComparer.Ordinal);
    private readonly HashSet<string> _read = new(StringComparer.Ordinal);

    public CheckedStructure? Check(IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes, IReadOnlyList<SinkDraft> sinks)
    {
        var distinct = CheckNames(sources, nodes);
        var inputs = nodes.Select((n, i) => InputsOf(n, i, sources, nodes)).ToList();
        var known = Known(sources, nodes);
        for (var i = 0; i < nodes.Count; i++)
        {
            CheckInputs(nodes[i].From, inputs[i], known, nodes[i].Position);
            CheckCount(nodes[i], inputs[i].Count);
        }

        var sinkInputs = sinks.Select(s => SinkInput(s, sources, nodes)).ToList();
        for (var i = 0; i < sinks.Count; i++)
        {
            CheckInputs(sinks[i].From, [sinkInputs[i]], known, sinks[i].Position);
        }

        // With a name that stands twice nobody knows who feeds whom.
        if (!distinct || Order(nodes, inputs) is not { } order)
        {
            return null;
        }

        foreach (var source in sources)
        {
            _schemas[source.Name] = source.Etl?.Schema;
        }

        var checkedNodes = order.Select(i => Resolve(nodes[i], inputs[i])).ToList();
        var checkedSinks = sinks.Select((s, i) => Resolve(s, sinkInputs[i])).ToList();
        WarnUnread(sources, nodes);
        return diagnostics.HasErrors ? null : new CheckedStructure(
            [.. sources.Select(s => new SourceDefinition(s.Name, s.Type, s.Settings!, s.EtlType, s.Etl!, s.Start))],
            [.. checkedNodes.Select(n => n!)],
            [.. checkedSinks.Select(s => s!)]);
    }

    private static HashSet<string> Known(IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes)
    {
        var known = new HashSet<string>(StringComparer.Ordinal);
        known.UnionWith(sources.Select(s => s.Name));
        foreach (var node in nodes)
        {
            if (node.Settings?.HasOwnOutput ?? true)
            {
                known.Add(node.Name);
            }

            known.UnionWith((node.Settings?.Ports ?? []).Select(p => $"{node.Name}.{p}"));
        }

        known.Remove("");
        return known;
    }

    private static IReadOnlyList<string> InputsOf(NodeDraft node, int index, IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes) =>
        node.From.Count > 0 ? [.. node.From.Select(f => f.Text)]
        : index > 0 ? [nodes[index - 1].Name]
        : sources.Count > 0 ? [sources[^1].Name] : [];

    private static string SinkInput(SinkDraft sink, IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes) =>
        sink.From.Count > 0 ? sink.From[0].Text
        : nodes.Count > 0 ? nodes[^1].Name
        : sources.Count > 0 ? sources[^1].Name : "";

    private bool CheckNames(IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes)
    {
        var distinct = true;
        var seen = new Dictionary<string, Position>(StringComparer.Ordinal);
        foreach (var (name, at) in sources.Select(s => (s.Name, s.At)).Concat(nodes.Select(n => (n.Name, n.At))))
        {
            if (name.Length > 0 && !seen.TryAdd(name, at))
            {
                diagnostics.Error(at, DiagnosticCodes.DuplicateName, $"the name '{name}' stands twice; line {seen[name].Line} has it already");
                distinct = false;
            }
        }

        return distinct;
    }

    private void CheckInputs(IReadOnlyList<Located> written, IReadOnlyList<string> inputs, HashSet<string> known, Position otherwise)
    {
        for (var i = 0; i < inputs.Count; i++)
        {
            _read.Add(inputs[i].Split('.')[0]);
            if (!known.Contains(inputs[i]) && (i < written.Count || inputs[i].Length > 0))
            {
                diagnostics.Error(i < written.Count ? written[i].At : otherwise, DiagnosticCodes.UnknownInput,
                    $"no source or node '{inputs[i]}'; there are {string.Join(", ", known.Order(StringComparer.Ordinal))}.{Suggestion.For(inputs[i], known)}");
            }
        }
    }

    private void CheckCount(NodeDraft node, int count)
    {
        if (node.Settings is { } settings && count > settings.InputsMax)
        {
            diagnostics.Error(node.From[settings.InputsMax].At, DiagnosticCodes.Contradiction, $"a {node.Type} node takes {settings.InputsMax} input, not {count}; put a merge in front of it");
        }

        if (count == 0)
        {
            diagnostics.Error(node.Position, DiagnosticCodes.UnknownInput, $"node '{node.Name}' has no input");
        }
    }

    // Depth-first over the inputs; a node met again while its own inputs are being visited closes a circle.
    private List<int>? Order(IReadOnlyList<NodeDraft> nodes, IReadOnlyList<IReadOnlyList<string>> inputs)
    {
        var byName = new Dictionary<string, int>(StringComparer.Ordinal);
        for (var i = 0; i < nodes.Count; i++)
        {
            byName.TryAdd(nodes[i].Name, i);
        }

        var order = new List<int>();
        var state = new byte[nodes.Count];
        var good = true;
        for (var i = 0; i < nodes.Count; i++)
        {
            Visit(i, []);
        }

        return good ? order : null;

        void Visit(int node, List<string> path)
        {
            if (state[node] == 2)
            {
                return;
            }

            path.Add(nodes[node].Name);
            if (state[node] == 1)
            {
                good = false;
                diagnostics.Error(nodes[node].At, DiagnosticCodes.Cycle, $"nodes feed each other in a circle: {string.Join(" <- ", path)}; let one of them read from a source or an earlier node");
                path.RemoveAt(path.Count - 1);
                return;
            }

            state[node] = 1;
            foreach (var input in inputs[node])
            {
                if (byName.TryGetValue(input.Split('.')[0], out var next))
                {
                    Visit(next, path);
                }
            }

            state[node] = 2;
            path.RemoveAt(path.Count - 1);
            order.Add(node);
        }
    }

    private NodeDefinition? Resolve(NodeDraft node, IReadOnlyList<string> inputs)
    {
        var schemas = inputs.Select(i => _schemas.GetValueOrDefault(i.Split('.')[0])).ToList();
        if (node.Settings is not { } settings || schemas.Count == 0 || schemas.Exists(s => s is null))
        {
            _schemas[node.Name] = null;
            return null;
        }

        var schema = settings.Resolve([.. schemas.Select(s => s!)], diagnostics);
        _schemas[node.Name] = schema;
        return schema is null ? null : new NodeDefinition(node.Name, node.Type, settings, inputs, [.. schemas.Select(s => s!)], schema);
    }

    private SinkDefinition? Resolve(SinkDraft sink, string input)
    {
        if (sink.From.Count > 1)
        {
            diagnostics.Error(sink.From[1].At, DiagnosticCodes.Contradiction, "a sink takes one input; put a merge in front of it");
        }

        if (sink.Settings is not { } settings || _schemas.GetValueOrDefault(input.Split('.')[0]) is not { } schema)
        {
            return null;
        }

        settings.Resolve(schema, diagnostics);
        return new SinkDefinition(sink.Type, input, settings, schema);
    }

    private void WarnUnread(IReadOnlyList<SourceDraft> sources, IReadOnlyList<NodeDraft> nodes)
    {
        foreach (var (name, at) in sources.Select(s => (s.Name, s.At)).Concat(nodes.Select(n => (n.Name, n.At))))
        {
            if (name.Length > 0 && !_read.Contains(name))
            {
                diagnostics.Warning(at, DiagnosticCodes.Unread, $"nobody takes the rows of '{name}'");
            }
        }
    }
}

internal sealed record CheckedStructure(IReadOnlyList<SourceDefinition> Sources, IReadOnlyList<NodeDefinition> Nodes, IReadOnlyList<SinkDefinition> Sinks);
