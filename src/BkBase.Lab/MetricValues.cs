namespace BkBase.Lab;

/// <summary>Values of series in closed form: any time can be asked for without the times before it.</summary>
internal static class MetricValues
{
    private const double Day = 2 * Math.PI / 86_400;

    /// <summary>A counter that starts at zero at a time and never falls: a daily wave and jitter less than its slowest step.</summary>
    internal static double Counter(ulong seed, double rate, long from, long at, int step, double wave = 0.5)
    {
        var seconds = Math.Max(0, at - from) / 1000.0;
        var phase = LabHash.Unit(seed) * 2 * Math.PI;
        var origin = from % 86_400_000 / 1000.0 * Day;
        var season = wave / Day * (Math.Cos(origin + (seconds * Day) + phase) - Math.Cos(origin + phase));
        var jitter = LabHash.Unit(LabHash.Mix(seed, (ulong)(at / step))) * Math.Min(0.3, 0.6 * (1 - wave)) * step / 1000.0;
        return rate * (seconds - season + jitter);
    }

    /// <summary>A gauge with a daily wave and five percent of noise.</summary>
    internal static double Gauge(ulong seed, double level, double wave, long at)
    {
        var phase = LabHash.Unit(seed) * 2 * Math.PI;
        var noise = LabHash.Unit(LabHash.Mix(seed, (ulong)at)) - 0.5;
        return level * (1 + (wave * Math.Sin((at % 86_400_000 / 1000.0 * Day) + phase)) + (0.05 * noise));
    }
}
