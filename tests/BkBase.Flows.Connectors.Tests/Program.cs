using BkBase.Store;

// The engine never enters the test run: the tests start this verb as a child process.
return args is ["store", .. var rest]
    ? await StoreEntryPoint.RunFromArgsAsync(rest)
    : await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args);
