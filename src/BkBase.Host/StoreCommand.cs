using System.CommandLine;
using BkBase.Store;

namespace BkBase.Host;

/// <summary><c>bkbase store</c>: the embedded ClickHouse engine alone, behind ClickHouse's HTTP interface on loopback.</summary>
internal static class StoreCommand
{
    public static Command Create()
    {
        var command = new Command("store", "Run the embedded ClickHouse engine alone. Example: bkbase store --data .bkbase/store --port 8123") { TreatUnmatchedTokensAsErrors = false };
        // The store has its own rules for signals.
        command.SetAction((parsed, _) => StoreEntryPoint.RunFromArgsAsync([.. parsed.UnmatchedTokens], CancellationToken.None));
        return command;
    }
}
