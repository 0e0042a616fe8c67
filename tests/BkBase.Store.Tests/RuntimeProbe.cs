using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace BkBase.Store.Tests;

/// <summary>Runs in a child process with the engine open: does the runtime still work as it should?</summary>
internal static class RuntimeProbe
{
    private static long _sink;

    public static async Task<int> RunAsync(string[] args)
    {
        using var stop = new CancellationTokenSource();
        using var output = new ReadyWriter();
        var server = StoreEntryPoint.RunFromArgsAsync(args, output, Console.Error, stop.Token);
        await Task.WhenAny(output.Ready, server);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"gc {GcMilliseconds()}"));
        Console.WriteLine("null " + Catches<NullReferenceException>(() => Text(args.Length > 99).Length));
        Console.WriteLine("zero " + Catches<DivideByZeroException>(() => 5 / (args.Length - args.Length)));
        await stop.CancelAsync();
        return await server;
    }

    // A tight loop can only be suspended by the signal.
    private static long GcMilliseconds()
    {
        var watch = Stopwatch.StartNew();
        Spin(100_000_000);
        var rounds = (long)(100_000_000 / watch.Elapsed.TotalSeconds * 4);
        using var begun = new ManualResetEventSlim();
        var thread = new Thread(() =>
        {
            begun.Set();
            _sink = Spin(rounds);
        });
        thread.Start();
        begun.Wait();
        var longest = 0L;
        for (var i = 0; i < 5; i++)
        {
            watch.Restart();
            GC.Collect();
            longest = Math.Max(longest, watch.ElapsedMilliseconds);
        }

        thread.Join();
        return longest;
    }

    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static long Spin(long rounds)
    {
        var x = 1L;
        for (var i = 0L; i < rounds; i++)
        {
            x = unchecked((x * 6364136223846793005) + 1442695040888963407);
        }

        return x;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static string Text(bool some) => some ? "x" : null!;

    private static bool Catches<T>(Func<int> action)
        where T : Exception
    {
        try
        {
            _sink += action();
            return false;
        }
        catch (T)
        {
            return true;
        }
    }

    private sealed class ReadyWriter : StringWriter
    {
        private readonly TaskCompletionSource _ready = new();

        public Task Ready => _ready.Task;

        public override Task WriteLineAsync(string? value)
        {
            _ready.TrySetResult();
            return Task.CompletedTask;
        }
    }
}
