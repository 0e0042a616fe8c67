using System.Collections.Immutable;
using System.Globalization;
using Akka;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Definition;
using BkBase.Flows.Delivery;
using BkBase.Flows.Records;

namespace BkBase.Flows.Graph;

/// <summary>What a flow needs of the process that runs it.</summary>
/// <param name="Time">The clock.</param>
/// <param name="DeadLetters">Takes the <see cref="RejectionBatch"/>es of every node.</param>
public sealed record FlowEnvironment(TimeProvider Time, ISink DeadLetters)
{
    /// <summary>
    /// Takes the place of a source by name. A bounded one (<c>run --input</c>, flow tests) is read from its head; one
    /// without an end (the embedded log for Kafka) where the flow's <c>start</c> says, by default at its head. A mark
    /// of the flow goes before both.
    /// </summary>
    public IReadOnlyDictionary<string, ISource> Sources { get; init; } = ImmutableDictionary<string, ISource>.Empty;

    /// <summary>Takes the place of the sinks that the flow names: flow tests.</summary>
    public Func<SinkDefinition, ISink>? Sinks { get; init; }

    /// <summary>The run's checkpoint records; null for one that ends with the process. The flow's handle disposes it.</summary>
    public FlowLedger? Ledger { get; init; }

    /// <summary>
    /// Last offset to read, by source and partition; other partitions are not read. Null to read on. For runs that
    /// settle what an earlier revision began.
    /// </summary>
    public IReadOnlyDictionary<(string Source, int Partition), long>? Until { get; init; }

    /// <summary>
    /// Chooses among the rows that a source's ETL gives, before anything reads them; null for all. For a replay, which
    /// lets through only what was refused before.
    /// </summary>
    public Func<string, RecordBatch, RecordBatch>? Choose { get; init; }

    /// <summary>Further readers of nodes' outputs, by name (<c>node</c> or <c>node.port</c>): flow tests and taps.</summary>
    public IReadOnlyList<(string From, ISink Sink)> Taps { get; init; } = [];
}

/// <summary>
/// A checked flow to a running Akka.Streams graph: sources, ETL, one stage per node, broadcasts where a node has
/// several readers, and the commit tail. Added here once, for every flow.
/// </summary>
public static class FlowCompiler
{
    /// <summary>Whether some node's output depends on rows that came before, so that blocks cannot be rebuilt from the source.</summary>
    public static bool IsStateful(FlowDefinition flow) => flow.Nodes.Any(n => n.Settings.StateOf(n.Inputs) is not null);

    /// <summary>Builds and starts the flow.</summary>
    public static FlowHandle Run(FlowDefinition flow, FlowEnvironment environment, IMaterializer materializer)
    {
        var handle = new FlowHandle(flow, environment.Ledger ?? FlowLedger.InMemory(flow.Name, flow.Revision, environment.Time));
        var graph = RunnableGraph.FromGraph(GraphDsl.Create(builder =>
        {
            new Wiring(flow, environment, handle, builder).Wire();
            return ClosedShape.Instance;
        }));
        graph.Run(materializer);
        handle.Started();
        return handle;
    }

    private sealed class Wiring(FlowDefinition flow, FlowEnvironment environment, FlowHandle handle, GraphDsl.Builder<NotUsed> builder)
    {
        private readonly Dictionary<string, Outlet<StreamElement>> _outlets = new(StringComparer.Ordinal);
        private readonly Dictionary<string, List<Inlet<StreamElement>>> _readers = new(StringComparer.Ordinal);
        private readonly Dictionary<string, IReadOnlyList<string>> _sourcesOf = new(StringComparer.Ordinal);
        private readonly HashSet<string> _edges = new(StringComparer.Ordinal);

        private readonly BarrierLedger? _barriers = IsStateful(flow) ? handle.Ledger.UseBarriers() : null;

        private FlowHandle Handle => handle;

        private BarrierLedger? Barriers => _barriers;

        private FlowDefinition Flow => flow;

        private TimeProvider Time => environment.Time;

        public void Wire()
        {
            if (_barriers is not null)
            {
                _barriers.Confirmed = handle.ConfirmCut;
            }

            foreach (var source in flow.Sources)
            {
                WireSource(source);
            }

            foreach (var node in flow.Nodes)
            {
                WireNode(node);
            }

            foreach (var sink in flow.Sinks)
            {
                WireSink(sink.From, environment.Sinks?.Invoke(sink) ?? sink.Settings.Create(), sink.Schema, $"{sink.Type} {sink.Settings.Describe}", handle.Count(sink));
            }

            foreach (var (from, sink) in environment.Taps)
            {
                WireSink(from, sink, SchemaOf(from), "tap");
            }

            foreach (var (name, outlet) in _outlets)
            {
                Connect(outlet, _readers.GetValueOrDefault(name) ?? []);
            }
        }

        private Schema SchemaOf(string from)
        {
            var name = from.Split('.')[0];
            return flow.Nodes.FirstOrDefault(n => n.Name == name)?.Schema ?? flow.Sources.First(s => s.Name == name).Etl.Schema;
        }

        private void WireSource(SourceDefinition definition)
        {
            var replaced = environment.Sources.GetValueOrDefault(definition.Name);
            var source = replaced ?? definition.Settings.Create();
            var start = definition.Start is { } given && (replaced is null || !source.IsBounded) ? given
                : new StartPosition(replaced is null && definition.Type == "kafka" ? StartKind.Tail : StartKind.Head);
            var records = source.Create(new SourceContext(flow.Name, definition.Name, start, environment.Time, handle.Ledger.Source(definition.Name, source.Place)))
                .MapMaterializedValue(control =>
                {
                    handle.Attach(definition.Name, control);
                    return NotUsed.Instance;
                });
            if (environment.Until is { } until)
            {
                records = records.Via(new UntilStage(until.Where(u => u.Key.Source == definition.Name).ToDictionary(u => u.Key.Partition, u => u.Value)));
            }

            var counters = handle.Count(definition.Name, definition.EtlType);
            if (flow.Limits.Rejected < 1)
            {
                records = records.Via(new RejectionBrake(flow.Limits, counters, handle.AtStop));
            }

            var etl = builder.Add(new EtlStage(definition.Name, definition.Etl.Create(), flow.Limits, source.IsBounded, counters, () => handle.IsStopping, _barriers));
            _barriers?.Source(definition.Name);
            builder.From(builder.Add(records)).To(etl.In);
            _outlets[definition.Name] = environment.Choose is not { } choose ? etl.Out0
                : builder.From(etl.Out0).Via(Akka.Streams.Dsl.Flow.Create<StreamElement>().Select(e => e is RecordBatch rows ? choose(definition.Name, rows) : e)).Out;
            _sourcesOf[definition.Name] = [definition.Name];
            WireDeadLetters(definition.Name, etl.Out1);
        }

        private void WireNode(NodeDefinition node)
        {
            var counters = handle.Count(node.Name, node.Type);
            var state = node.Settings.StateOf(node.Inputs);
            if (state is not null)
            {
                _barriers!.Node(node.Name, node.Type, state);
            }

            var stage = new OperatorStage(
                node.Name, node.From.Count, node.Settings.Ports, node.Settings.Create(node.Inputs, flow.Limits), counters, state is null ? null : _barriers);
            // The builder copies the shape: its ports are the ones to wire. Order: own output, named ports, refusals.
            var shape = builder.Add(stage);
            for (var i = 0; i < node.From.Count; i++)
            {
                Read(node.From[i], (Inlet<StreamElement>)shape.Inlets[i]);
            }

            _outlets[node.Name] = (Outlet<StreamElement>)shape.Outlets[0];
            for (var i = 0; i < node.Settings.Ports.Count; i++)
            {
                _outlets[$"{node.Name}.{node.Settings.Ports[i]}"] = (Outlet<StreamElement>)shape.Outlets[i + 1];
            }

            _sourcesOf[node.Name] = [.. node.From.SelectMany(f => _sourcesOf[f.Split('.')[0]]).Distinct(StringComparer.Ordinal)];
            WireDeadLetters(node.Name, (Outlet<StreamElement>)shape.Outlets[^1]);
        }

        private void WireSink(string from, ISink sink, Schema schema, string to, SinkRows? counted = null)
        {
            var edge = new Edge(this, from, to, sink is IBarrierSink, sink is IRefusingSink ? 2 : 1);
            var entry = builder.Add(edge.Entry(element => counted?.Add(element is RecordBatch batch ? batch.Count : 0)));
            Read(from, entry.Inlet);
            if (sink is IRefusingSink refusing)
            {
                var shape = builder.Add(refusing.CreateRefusing(edge.Context(schema)));
                builder.From(entry.Outlet).To(shape.In);
                builder.From(shape.Out0).To(builder.Add(edge.Confirm()));
                WireDeadLetters(from, shape.Out1, $"{to} dead letters", edge.Tail);
            }
            else
            {
                builder.From(entry.Outlet).To(builder.Add(sink.Create(edge.Context(schema)).To(edge.Confirm())).Inlet);
            }
        }

        /// <param name="tail">For the refusals of a sink: barriers do not come through it, so that they are confirmed together with its rows.</param>
        private void WireDeadLetters(string from, Outlet<StreamElement> rejections, string to = "dead letters", ConfirmTail? tail = null)
        {
            var edge = new Edge(this, from, to, environment.DeadLetters is IBarrierSink, 1, tail);
            var entry = builder.Add(edge.Entry(element => handle.CountDeadLetters(element is RejectionBatch refused ? refused.Rejections.Count : 0)));
            builder.From(rejections).To(entry.Inlet);
            builder.From(entry.Outlet).To(builder.Add(environment.DeadLetters.Create(edge.Context(SchemaOf(from))).To(edge.Confirm())).Inlet);
        }

        // The name is part of checkpoint records: it must not change while what it means does not.
        private string EdgeName(string from, string to)
        {
            var name = $"{from} > {to}";
            for (var n = 2; !_edges.Add(name); n++)
            {
                name = string.Create(CultureInfo.InvariantCulture, $"{from} > {to} {n}");
            }

            return name;
        }

        private void Read(string from, Inlet<StreamElement> inlet)
        {
            if (!_readers.TryGetValue(from, out var readers))
            {
                _readers[from] = readers = [];
            }

            readers.Add(inlet);
        }

        private void Connect(Outlet<StreamElement> outlet, List<Inlet<StreamElement>> readers)
        {
            switch (readers.Count)
            {
                case 0:
                    builder.From(outlet).To(builder.Add(Sink.Ignore<StreamElement>().MapMaterializedValue(_ => NotUsed.Instance)));
                    break;
                case 1:
                    builder.From(outlet).To(readers[0]);
                    break;
                default:
                    var broadcast = builder.Add(new Broadcast<StreamElement>(readers.Count));
                    builder.From(outlet).To(broadcast.In);
                    for (var i = 0; i < readers.Count; i++)
                    {
                        builder.From(broadcast.Out(i)).To(readers[i]);
                    }

                    break;
            }
        }

        /// <summary>The end of one edge: drops what its own mark covers, and takes the sink's confirmations.</summary>
        private sealed class Edge
        {
            private readonly Wiring _wiring;
            private readonly string _from;
            private readonly int _number;
            private readonly int _slot;
            private readonly EdgeLedger _ledger;

            public Edge(Wiring wiring, string from, string to, bool answers, int ends, ConfirmTail? tail = null)
            {
                var sources = wiring._sourcesOf[from.Split('.')[0]];
                (_wiring, _from) = (wiring, from);
                _number = wiring.Handle.Edge(sources);
                var name = wiring.EdgeName(from, to);
                var barriers = tail is null ? wiring.Barriers?.Edge(name) : null;
                _ledger = wiring.Handle.Ledger.Edge(name, sources, answers ? barriers : null);
                (Tail, _slot) = tail is not null ? (tail, 1) : (barriers is null || answers ? null : new ConfirmTail(barriers, ends), 0);
            }

            public ConfirmTail? Tail { get; }

            public Flow<StreamElement, StreamElement, NotUsed> Entry(Action<StreamElement> count)
            {
                var gate = new MarkGate(_ledger);
                var entry = Akka.Streams.Dsl.Flow.Create<StreamElement>().Select(element =>
                {
                    var above = gate.Pass(element);
                    count(above);
                    if (_slot == 0)
                    {
                        Tail?.See(above);
                    }

                    return above;
                });
                return Tail is null ? entry : entry.Where(element => element is not StreamBarrier);
            }

            public SinkContext Context(Schema schema)
            {
                var flow = _wiring.Flow;
                return new SinkContext(flow.Name, flow.Revision, _from, schema, flow.Limits, _wiring.Time, _ledger) { Biz = flow.Biz };
            }

            public Sink<Confirmation, NotUsed> Confirm() => Sink.ForEach<Confirmation>(c =>
            {
                if (_wiring.Barriers is not null)
                {
                    Tail?.Confirm(_slot, c);
                    return;
                }

                _ledger.Confirm(c.Source, c.Partition, c.Offset);
                _wiring.Handle.Confirm(_number, c);
            }).MapMaterializedValue(done =>
            {
                _wiring.Handle.Attach(Tail is null ? done : EndAsync(done));
                return NotUsed.Instance;
            });

            private async Task EndAsync(Task done)
            {
                await done;
                Tail!.End();
            }
        }
    }
}
