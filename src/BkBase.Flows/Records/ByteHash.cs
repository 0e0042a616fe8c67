using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace BkBase.Flows.Records;

/// <summary>The hash of byte strings in tables of one process: folded multiplications of 16 bytes, two at a time.</summary>
internal static class ByteHash
{
    private const ulong A = 0xA0761D6478BD642F;
    private const ulong B = 0xE7037ED1A0B428DB;
    private const ulong C = 0x8EBC6AF09C88C6E3;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Of(ReadOnlySpan<byte> bytes)
    {
        ref var at = ref MemoryMarshal.GetReference(bytes);
        var length = bytes.Length;
        if (length > 16)
        {
            return Long(ref at, length);
        }

        var (low, high) = (0UL, 0UL);
        if (length >= 8)
        {
            (low, high) = (Word(ref at, 0), Word(ref at, length - 8));
        }
        else if (length >= 4)
        {
            (low, high) = (Half(ref at, 0), Half(ref at, length - 4));
        }
        else if (length > 0)
        {
            low = at | ((ulong)Unsafe.Add(ref at, length >> 1) << 8) | ((ulong)Unsafe.Add(ref at, length - 1) << 16);
        }

        return Fold(Fold(low ^ A, high ^ B) ^ (ulong)length, C);
    }

    private static ulong Long(ref byte at, int length)
    {
        var (one, two) = (A, B);
        var i = 0;
        for (; i + 32 < length; i += 32)
        {
            one = Fold(Word(ref at, i) ^ A, Word(ref at, i + 8) ^ one);
            two = Fold(Word(ref at, i + 16) ^ B, Word(ref at, i + 24) ^ two);
        }

        if (i + 16 < length)
        {
            one = Fold(Word(ref at, i) ^ C, Word(ref at, i + 8) ^ one);
        }

        // The last 16 bytes, some of them perhaps a second time.
        two = Fold(Word(ref at, length - 16) ^ A, Word(ref at, length - 8) ^ two);
        return Fold(one ^ two ^ (ulong)length, C);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Fold(ulong a, ulong b)
    {
        var high = Math.BigMul(a, b, out var low);
        return high ^ low;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Word(ref byte from, int at) => Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref from, at));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Half(ref byte from, int at) => Unsafe.ReadUnaligned<uint>(ref Unsafe.Add(ref from, at));
}
