using System.Globalization;

namespace BkBase.Store;

/// <summary>The store as a command: its arguments, both ways.</summary>
public static class StoreEntryPoint
{
    /// <summary>Runs the store with arguments as <see cref="ToArguments"/> writes them.</summary>
    public static Task<int> RunFromArgsAsync(string[] args, CancellationToken cancellationToken = default) =>
        RunFromArgsAsync(args, Console.Out, Console.Error, cancellationToken);

    /// <summary>Runs the store with arguments as <see cref="ToArguments"/> writes them.</summary>
    public static async Task<int> RunFromArgsAsync(string[] args, TextWriter output, TextWriter error, CancellationToken cancellationToken = default)
    {
        if (Parse(args) is not { } options)
        {
            await error.WriteLineAsync("usage: store --data DIRECTORY [--port N] [--parent-pid N] [--max-memory BYTES] [--max-connections N] [--analyst-seconds N] [--analyst-memory BYTES] [--analyst-threads N] [--analyst-rows N]");
            return 2;
        }

        return await StoreServer.RunAsync(options, output, error, cancellationToken);
    }

    /// <summary>The arguments that make these options.</summary>
    public static IReadOnlyList<string> ToArguments(StoreOptions options)
    {
        List<string> arguments =
        [
            "--data", options.DataDirectory,
            "--port", Text(options.Port),
            "--max-memory", Text(options.MaxServerMemoryBytes),
            "--max-connections", Text(options.MaxConnections),
            "--analyst-seconds", Text((long)options.AnalystMaxExecutionTime.TotalSeconds),
            "--analyst-memory", Text(options.AnalystMaxMemory),
            "--analyst-threads", Text(options.AnalystMaxThreads),
            "--analyst-rows", Text(options.AnalystMaxResultRows),
        ];
        if (options.ParentPid is { } parent)
        {
            arguments.AddRange(["--parent-pid", Text(parent)]);
        }

        return arguments;
    }

    /// <summary>The options of these arguments, or null when they cannot be understood.</summary>
    public static StoreOptions? Parse(IReadOnlyList<string> args)
    {
        var options = new StoreOptions("");
        for (var i = 0; i + 1 < args.Count; i += 2)
        {
            var number = long.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var parsed) ? parsed : -1;
            var next = (args[i], number) switch
            {
                ("--data", _) => options with { DataDirectory = args[i + 1] },
                (_, < 0) => null,
                ("--port", <= 65535) => options with { Port = (int)number },
                ("--parent-pid", <= int.MaxValue) => options with { ParentPid = (int)number },
                ("--max-memory", _) => options with { MaxServerMemoryBytes = number },
                ("--max-connections", > 0 and <= 1000) => options with { MaxConnections = (int)number },
                ("--analyst-seconds", _) => options with { AnalystMaxExecutionTime = TimeSpan.FromSeconds(number) },
                ("--analyst-memory", _) => options with { AnalystMaxMemory = number },
                ("--analyst-threads", > 0 and <= 1000) => options with { AnalystMaxThreads = (int)number },
                ("--analyst-rows", _) => options with { AnalystMaxResultRows = number },
                _ => null,
            };
            if (next is null)
            {
                return null;
            }

            options = next;
        }

        return args.Count % 2 == 0 && options.DataDirectory.Length > 0 ? options : null;
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
