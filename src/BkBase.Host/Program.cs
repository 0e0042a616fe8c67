using System.CommandLine;
using BkBase.Host;

var root = new RootCommand("bkbase: a monitoring stream processor. Flows read Kafka, an embedded log or files, and leave ClickHouse tables.");
foreach (var command in Verbs.All)
{
    root.Subcommands.Add(command);
}

var parsed = root.Parse(args);
if (parsed.Errors.Count > 0)
{
    foreach (var error in parsed.Errors)
    {
        await Console.Error.WriteLineAsync($"bkbase: {error.Message}");
    }

    await Console.Error.WriteLineAsync("bkbase: see bkbase --help");
    return ExitCodes.Usage;
}

using var signals = new Signals();
return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, signals.Stop);
