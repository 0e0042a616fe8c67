using System.Globalization;

namespace BkBase.Benchmarks;

/// <summary>
/// The ratios of <see cref="ParseBenchmarks"/> on a busy machine: rounds of all subjects in turn, so that a disturbance
/// meets all of them, and the median of each round's ratio to System.Text.Json. Time is the process's CPU time: a waiting
/// thread costs nothing, the garbage collector's threads cost what they use.
/// </summary>
public static class ParseRatios
{
    private const int Passes = 5;

    /// <summary>Measures all corpora, or the one named, and prints a table.</summary>
    public static void Run(string? only, int rounds = 21)
    {
        Console.WriteLine("corpus    subject        CPU ns/rec     best   B/record   x dto   x dto+rows   (medians of interleaved rounds)");
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
                    // The pass before the measured ones brings the subject's own data back into the caches.
                    all[i].Run();
                    var before = GC.GetAllocatedBytesForCurrentThread();
                    var start = Environment.CpuUsage.TotalTime;
                    for (var pass = 0; pass < Passes; pass++)
                    {
                        all[i].Run();
                    }

                    if (round >= 0)
                    {
                        times[i][round] = (Environment.CpuUsage.TotalTime - start).TotalNanoseconds / (Passes * ParseCorpus.Records);
                        bytes[i] = (double)(GC.GetAllocatedBytesForCurrentThread() - before) / (Passes * ParseCorpus.Records);
                    }
                }
            }

            for (var i = 0; i < all.Length; i++)
            {
                var (dto, rows) = (Ratio(times[0], times[i]), Ratio(times[1], times[i]));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{corpus,-9} {all[i].Name,-14} {Median(times[i]),9:0} {times[i].Min(),8:0} {bytes[i],10:0.0} {dto,7:0.00} {rows,12:0.00}"));
            }
        }
    }

    private static double Ratio(double[] baseline, double[] subject) => Median([.. baseline.Zip(subject, (b, s) => b / s)]);

    private static double Median(double[] values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}
