using System.Globalization;

namespace BkBase.Benchmarks;

/// <summary>
/// The ratios of <see cref="ParseBenchmarks"/> on a busy machine: rounds of all subjects in turn, so that a disturbance
/// meets all of them, and the median of each round's ratio to System.Text.Json. Time is the process's CPU time: a waiting
/// thread costs nothing, the garbage collector's threads cost what they use.
/// </summary>
public static class ParseRatios
{
    /// <summary>Measures all corpora, or the one named, and prints a table.</summary>
    public static void Run(string? only, int rounds = 31)
    {
        Console.WriteLine("corpus    subject        CPU ns/rec   B/record   x dto   x dto+rows   (medians of interleaved rounds)");
        foreach (var corpus in ParseCorpus.Names.Where(n => only is null || n == only))
        {
            var subjects = new ParseSubjects(corpus);
            (string Name, Func<int> Run)[] all =
            [
                ("dto", subjects.Dto), ("dto+rows", subjects.DtoRows), ("etl", subjects.Etl), ("etl parse only", subjects.EtlParseOnly), ("etl general", subjects.General),
            ];
            var times = all.Select(_ => new double[rounds]).ToArray();
            var bytes = new double[all.Length];
            for (var round = -10; round < rounds; round++)
            {
                for (var i = 0; i < all.Length; i++)
                {
                    var before = GC.GetAllocatedBytesForCurrentThread();
                    var start = Environment.CpuUsage.TotalTime;
                    all[i].Run();
                    if (round >= 0)
                    {
                        times[i][round] = (Environment.CpuUsage.TotalTime - start).TotalNanoseconds / ParseCorpus.Records;
                        bytes[i] = (double)(GC.GetAllocatedBytesForCurrentThread() - before) / ParseCorpus.Records;
                    }
                }
            }

            for (var i = 0; i < all.Length; i++)
            {
                var (dto, rows) = (Ratio(times[0], times[i]), Ratio(times[1], times[i]));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{corpus,-9} {all[i].Name,-14} {Median(times[i]),9:0} {bytes[i],10:0.0} {dto,7:0.00} {rows,12:0.00}"));
            }
        }
    }

    internal static void Hot(string corpus)
    {
        var subjects = new ParseSubjects(corpus);
        for (var i = 0; i < 400; i++) subjects.EtlParseOnly();
        var best = double.MaxValue;
        for (var i = 0; i < 400; i++)
        {
            var start = Environment.CpuUsage.TotalTime;
            subjects.EtlParseOnly();
            best = Math.Min(best, (Environment.CpuUsage.TotalTime - start).TotalNanoseconds / ParseCorpus.Records);
        }

        Console.WriteLine($"{corpus} best {best:0.0} ns");
    }

    private static double Ratio(double[] baseline, double[] subject) => Median([.. baseline.Zip(subject, (b, s) => b / s)]);

    private static double Median(double[] values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
