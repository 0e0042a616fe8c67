using System.Text;
using System.Threading.Channels;
using Akka;
using Akka.Actor;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Definition;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;
using Microsoft.Extensions.Time.Testing;

namespace BkBase.Host.Tests;

/// <summary>Starting again, draining, and giving up on time, on a clock that the test moves.</summary>
public sealed class UpRunnerTests : IDisposable
{
    private static readonly RestartPolicy Policy = new(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10), Seed: 7);
    private readonly ActorSystem _system = ActorSystem.Create("runner", "akka.loglevel = OFF\nakka.stdout-loglevel = OFF");
    private readonly ActorMaterializer _materializer;
    private readonly TimerCount _time = new();
    private readonly List<(FlowState State, string? Message)> _changes = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public UpRunnerTests() => _materializer = _system.Materializer();

    [Fact]
    public async Task It_starts_again_with_growing_waits_and_begins_anew_after_a_healthy_run()
    {
        var starts = 0;
        using var runner = Create(() => ++starts <= 3 ? throw new InvalidOperationException("no way") : Run(new MemorySource([(0, "{}"u8.ToArray(), 0)]), new MemorySink()));
        runner.Start();
        for (var failure = 1; failure <= 3; failure++)
        {
            await UntilAsync(FlowState.Failed, failure);
            await _time.UntilAsync(failure);
            var full = Math.Min(10, Math.Pow(2, failure - 1));
            _time.Advance(TimeSpan.FromSeconds(full / 2) - TimeSpan.FromMilliseconds(1)); // less than the least jitter allows
            Assert.Equal(failure, starts);
            _time.Advance(TimeSpan.FromSeconds(full / 2) + TimeSpan.FromMilliseconds(1));
        }

        await UntilAsync(FlowState.Finished, 1);
        Assert.Equal(3, runner.Restarts);
        Assert.Equal("no way", runner.Error);
        Assert.Contains("no way; starts again in", _changes.First(c => c.State == FlowState.Failed).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Waits_are_bounded_spread_and_the_same_for_a_seed()
    {
        var waits = Enumerable.Range(1, 40).Select(n => Policy.Delay(n, new Random(n))).ToList();
        Assert.All(waits, w => Assert.InRange(w, TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(10)));
        Assert.True(waits.Skip(5).Distinct().Count() > 20);
        Assert.Equal(waits, Enumerable.Range(1, 40).Select(n => Policy.Delay(n, new Random(n))));
    }

    [Fact]
    public async Task A_failed_edge_ends_the_run_although_the_source_has_no_end()
    {
        using var runner = Create(() => Run(new Endless(), new Failing()));
        runner.Start();
        await UntilAsync(FlowState.Failed, 1);
        Assert.Equal("the sink is broken", runner.Error);
        Assert.True(await runner.StopAsync(TimeSpan.FromSeconds(5)));
        Assert.Equal(FlowState.Stopped, runner.State);
    }

    [Fact]
    public async Task Stopping_drains_what_was_read()
    {
        var source = new Endless();
        using var runner = Create(() => Run(source, new MemorySink()));
        runner.Start();
        await UntilAsync(FlowState.Running, 1);
        await source.Read.Task.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.True(await runner.StopAsync(TimeSpan.FromSeconds(5)));
        Assert.Equal(FlowState.Stopped, runner.State);
        Assert.Equal(source.Last, source.Confirmed);
    }

    [Fact]
    public async Task A_drain_that_does_not_end_is_given_up_at_the_bound()
    {
        using var runner = Create(() => Run(new Endless(), new Stuck()));
        runner.Start();
        await UntilAsync(FlowState.Running, 1);
        var stopping = runner.StopAsync(TimeSpan.FromSeconds(5));
        await _time.UntilAsync(1);
        _time.Advance(TimeSpan.FromSeconds(4));
        Assert.False(stopping.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.False(await stopping);
    }

    [Theory]
    [InlineData("", false, StartKind.Head)]
    [InlineData(", start: tail", false, StartKind.Tail)]
    [InlineData(", start: tail", true, StartKind.Head)]
    public async Task A_stand_in_without_an_end_begins_where_the_flow_says(string start, bool bounded, StartKind expected)
    {
        var source = new Probe(bounded);
        var handle = Run(source, new MemorySink(), start);
        await handle.Completion.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        Assert.Equal(expected, source.Start);
    }

    public void Dispose()
    {
        _materializer.Dispose();
        _system.Dispose();
    }

    private FlowRunner Create(Func<FlowHandle> start)
    {
        var runner = new FlowRunner(Flow(), _ => Task.FromResult(start()), Policy, _time);
        runner.Changed += (_, change) =>
        {
            lock (_changes)
            {
                _changes.Add((change.State, change.Message));
                _changed.TrySetResult();
                _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        };
        return runner;
    }

    private async Task UntilAsync(FlowState state, int times)
    {
        while (true)
        {
            Task changed;
            lock (_changes)
            {
                if (_changes.Count(c => c.State == state) >= times)
                {
                    return;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
        }
    }

    private FlowHandle Run(ISource source, ISink sink, string start = "") => FlowCompiler.Run(
        Flow(start),
        new FlowEnvironment(_time, new MemorySink()) { Sources = new Dictionary<string, ISource>(StringComparer.Ordinal) { ["input"] = source }, Sinks = _ => sink },
        _materializer);

    private static FlowDefinition Flow(string start = "") => new FlowReader(HostCatalog.Offline()).Read("f.yaml", $$"""
        flow: f
        biz: 2
        sources:
          - { name: input, type: kafka, topic: t, etl: { type: json, fields: { a: { path: a, type: int64 } } }{{start}} }
        sinks:
          - { type: clickhouse, from: input, table: f }
        """).Flow!;

    /// <summary>A clock that tells when somebody has begun to wait.</summary>
    private sealed class TimerCount : FakeTimeProvider
    {
        private readonly Channel<bool> _begun = Channel.CreateUnbounded<bool>();
        private int _seen;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            _begun.Writer.TryWrite(true);
            return timer;
        }

        /// <summary>Until so many waits have begun in all.</summary>
        public async Task UntilAsync(int timers)
        {
            for (; _seen < timers; _seen++)
            {
                await _begun.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(TimeSpan.FromSeconds(30));
            }
        }
    }

    /// <summary>Nothing to read; remembers where it was to begin.</summary>
    private sealed class Probe(bool bounded) : ISource
    {
        public bool IsBounded => bounded;

        public StartKind? Start { get; private set; }

        public Source<RawBatch, ISourceControl> Create(SourceContext context)
        {
            Start = context.Start.Kind;
            return Source.Empty<RawBatch>().MapMaterializedValue(_ => (ISourceControl)new MemorySource([]));
        }
    }

    /// <summary>Records without end, until stopped.</summary>
    private sealed class Endless : ISource, ISourceControl
    {
        private readonly SharedKillSwitch _switch = KillSwitches.Shared("endless");

        public TaskCompletionSource Read { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public long Last { get; private set; } = -1;

        public long Confirmed { get; private set; } = -1;

        public Source<RawBatch, ISourceControl> Create(SourceContext context) =>
            Source.Repeat(0).Select(_ =>
            {
                var batch = RawBatch.Rent(context.Source, 0, 1, 16);
                batch.Add(Encoding.UTF8.GetBytes("{\"a\":1}"), ++Last, 0);
                Read.TrySetResult();
                return batch;
            }).Via(_switch.Flow<RawBatch>()).MapMaterializedValue(_ => (ISourceControl)this);

        public void Confirm(int partition, long offset) => Confirmed = offset;

        public void Stop() => _switch.Shutdown();

        public IReadOnlyList<PartitionLag> Lag() => [];
    }

    private sealed class Failing : ISink
    {
        public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context) =>
            Akka.Streams.Dsl.Flow.Create<StreamElement>().Select<StreamElement, StreamElement, Confirmation, NotUsed>(_ => throw new InvalidOperationException("the sink is broken"));
    }

    private sealed class Stuck : ISink
    {
        public Flow<StreamElement, Confirmation, NotUsed> Create(SinkContext context) =>
            Akka.Streams.Dsl.Flow.Create<StreamElement>().SelectAsync(1, _ => new TaskCompletionSource<Confirmation>().Task);
    }
}
