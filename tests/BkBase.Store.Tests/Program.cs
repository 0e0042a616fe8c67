using BkBase.Store;
using BkBase.Store.Tests;

// The engine never enters the test run: these verbs are what the tests start as child processes.
return args switch
{
    ["store", .. var rest] => await StoreEntryPoint.RunFromArgsAsync(rest),
    ["probe", .. var rest] => await RuntimeProbe.RunAsync(rest),
    ["mute", ..] => await Mute(),
    _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
};

static async Task<int> Mute()
{
    await Console.Error.WriteLineAsync("nothing to serve");
    return 3;
}
