using BkBase.Flows.Connectors.Tests.Log;
using BkBase.Store;

// The engine never enters the test run: the tests start this verb as a child process.
return args switch
{
    ["store", .. var rest] => await StoreEntryPoint.RunFromArgsAsync(rest),
    [ResumeChild.Verb, var folder] => await ResumeChild.RunAsync(folder),
    _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
};
