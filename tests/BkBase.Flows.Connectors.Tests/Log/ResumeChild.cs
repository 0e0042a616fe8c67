using Akka.Actor;
using Akka.Streams;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Log;
using BkBase.Flows.Definition;
using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Runtime;
using BkBase.Flows.Runtime.Checkpoints;

namespace BkBase.Flows.Connectors.Tests.Log;

/// <summary>The verb <c>resume FOLDER</c> of the test program: a flow from the embedded log to a file, until it is killed or the log ends.</summary>
internal static class ResumeChild
{
    public const string Verb = "resume";

    public static async Task<int> RunAsync(string folder)
    {
        await using var log = EmbeddedLog.Open(new EmbeddedLogOptions(Path.Combine(folder, "log")), TimeProvider.System);
        var catalog = new FlowCatalog([new LogConnector(log).Source], EtlCatalog.All, [], [new FileConnector(folder).Sink]);
        var flow = new FlowReader(catalog).Read("resume.yaml", """
            flow: resume
            biz: 2
            sources:
              - { name: input, type: log, topic: t, bounded: true, etl: { type: json, time: { path: ts, unit: ms }, fields: { i: { path: i, type: int64 } } } }
            sinks:
              - { type: file, path: out.ndjson, rotate: 200KiB }
            """).Flow!;
        using var system = ActorSystem.Create("resume", "akka.loglevel=ERROR");
        var launcher = new FlowLauncher(new DirectoryCheckpointStore(Path.Combine(folder, "checkpoints")), new FlowReader(catalog));
        var handle = await launcher.StartAsync(flow, new FlowEnvironment(TimeProvider.System, new NullSink()), system.Materializer(), CancellationToken.None);
        await handle.Completion;
        await system.Terminate();
        return 0;
    }
}
