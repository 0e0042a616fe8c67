using System.CommandLine;
using BkBase.Store;

namespace BkBase.Host;

/// <summary><c>bkbase store</c>: the embedded ClickHouse engine alone, behind ClickHouse's HTTP interface on loopback.</summary>
internal static class StoreCommand
{
    public static Command Create()
    {
        var command = new Verb("store", "Run the embedded ClickHouse engine alone, behind ClickHouse's HTTP interface on loopback, until Ctrl-C. Options: --data DIRECTORY [--port N] [--max-memory BYTES] [--max-connections N].", "bkbase store --data data --port 8123") { TreatUnmatchedTokensAsErrors = false };
        // The store has its own rules for signals.
        command.SetAction((parsed, _) => StoreEntryPoint.RunFromArgsAsync([.. parsed.UnmatchedTokens], CancellationToken.None));
        return command;
    }
}
