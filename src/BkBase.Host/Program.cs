using System.CommandLine;
using BkBase.Host;

var root = CommandLine.Root();
var parsed = root.Parse(args);
if (args.Length == 0)
{
    root.Parse(["--help"]).Invoke();
    return ExitCodes.Usage;
}

if (parsed.Errors.Count > 0 || CommandLine.Mistakes(parsed).Count > 0)
{
    foreach (var mistake in CommandLine.Mistakes(parsed))
    {
        await Console.Error.WriteLineAsync($"bkbase: {mistake}");
    }

    await Console.Error.WriteLineAsync($"bkbase: see {string.Join(' ', new[] { "bkbase", parsed.CommandResult.Command is RootCommand ? "" : parsed.CommandResult.Command.Name, "--help" }.Where(w => w.Length > 0))}");
    return ExitCodes.Usage;
}

using var signals = new Signals();
return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, signals.Stop);
