using System.Numerics;

namespace BkBase.Lab;

/// <summary>Stateless random numbers: each is a function of the seed and of what it is for.</summary>
internal static class LabHash
{
    internal static ulong Mix(ulong x)
    {
        x += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    internal static ulong Mix(ulong a, ulong b) => Mix(BitOperations.RotateLeft(a, 23) ^ Mix(b));

    internal static ulong Mix(ulong a, ulong b, ulong c) => Mix(Mix(a, b), c);

    /// <summary>From 0 to just under 1.</summary>
    internal static double Unit(ulong x) => (x >> 11) * (1.0 / (1UL << 53));

    /// <summary>From 0 to n - 1.</summary>
    internal static int Below(ulong x, int n) => (int)(((x >> 32) * (uint)n) >> 32);
}
