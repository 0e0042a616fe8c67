using System.CommandLine;
using BkBase.Host.Bench;
using BkBase.Host.Letters;

namespace BkBase.Host;

/// <summary>The explicit list of verbs.</summary>
internal static class Verbs
{
    public static IReadOnlyList<Command> All { get; } =
    [
        DemoCommand.Create(),
        UpCommand.Create(),
        RunCommand.Create(),
        CheckCommand.Create(),
        TestCommand.Create(),
        DescribeCommands.Schema(),
        DescribeCommands.Graph(),
        QueryCommand.Create(),
        DeadLettersCommand.Create(),
        ReplayCommand.Create(),
        AuditCommand.Create(),
        BenchCommand.Create(),
        StoreCommand.Create(),
    ];
}
