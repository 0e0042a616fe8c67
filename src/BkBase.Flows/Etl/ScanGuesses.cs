using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace BkBase.Flows.Etl;

/// <summary>
/// What bytes followed a state of a scan before, and what they meant: two guesses per state, the one that was right last
/// first. A producer writes the same bytes around changing values, so most are right, and one comparison takes
/// the place of reading them; a wrong one costs that comparison. Fixed in size, so no sender makes it grow.
/// </summary>
internal sealed class ScanGuesses(int states)
{
    /// <summary>Longer literals are not guessed.</summary>
    public const int BytesMax = 64;

    private readonly byte[] _bytes = new byte[states * 2 * BytesMax];
    private readonly (int Length, int Meaning)[] _guesses = new (int, int)[states * 2];
    private readonly byte[] _first = new byte[states];

    /// <summary>Takes the bytes that are at <paramref name="scan"/> when they are one of the guesses of a state.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryTake(int state, ref JsonScan scan, out int meaning)
    {
        var guess = (state * 2) + _first[state];
        if (Is(guess, scan))
        {
            scan.At += _guesses[guess].Length;
            meaning = _guesses[guess].Meaning;
            return true;
        }

        return TryOther(state, ref scan, out meaning);
    }

    /// <summary>Remembers what these bytes mean in a state, in place of the older of its guesses.</summary>
    public void Learn(int state, ReadOnlySpan<byte> literal, int meaning)
    {
        if (literal.Length > BytesMax)
        {
            return;
        }

        _first[state] ^= 1;
        var guess = (state * 2) + _first[state];
        literal.CopyTo(_bytes.AsSpan(guess * BytesMax));
        _guesses[guess] = (literal.Length, meaning);
    }

    /// <summary>Forgets everything.</summary>
    public void Clear() => Array.Clear(_guesses);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool TryOther(int state, ref JsonScan scan, out int meaning)
    {
        var guess = (state * 2) + (_first[state] ^ 1);
        meaning = _guesses[guess].Meaning;
        if (!Is(guess, scan))
        {
            return false;
        }

        _first[state] ^= 1;
        scan.At += _guesses[guess].Length;
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private bool Is(int guess, in JsonScan scan)
    {
        var length = _guesses[guess].Length;
        var rest = scan.Rest;
        if (rest.Length < Vector256<byte>.Count || length > Vector256<byte>.Count)
        {
            return length > 0 && rest.StartsWith(_bytes.AsSpan(guess * BytesMax, length));
        }

        var known = Vector256.LoadUnsafe(ref MemoryMarshal.GetArrayDataReference(_bytes), (nuint)(guess * BytesMax));
        var differs = ~Vector256.Equals(known, Vector256.LoadUnsafe(ref MemoryMarshal.GetReference(rest))).ExtractMostSignificantBits();
        return length > 0 && System.Numerics.BitOperations.TrailingZeroCount(differs) >= length;
    }
}
