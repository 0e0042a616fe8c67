using System.Numerics;

namespace BkBase.Flows.Expressions;

// The scalar operations that kernels run. Integers that overflow and floats that leave the finite numbers become null.
internal readonly struct AddLong : IBinary<long, long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, long b, out long result)
    {
        result = unchecked(a + b);
        return ((a ^ result) & (b ^ result)) >= 0;
    }
}

internal readonly struct SubtractLong : IBinary<long, long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, long b, out long result)
    {
        result = unchecked(a - b);
        return ((a ^ b) & (a ^ result)) >= 0;
    }
}

internal readonly struct MultiplyLong : IBinary<long, long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, long b, out long result)
    {
        var high = Math.BigMul(a, b, out result);
        return high == result >> 63;
    }
}

internal readonly struct ModuloLong : IBinary<long, long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, long b, out long result)
    {
        // long.MinValue % -1 traps on x86.
        result = b is 0 or -1 ? 0 : a % b;
        return b != 0;
    }
}

internal readonly struct AddDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = a + b);
}

internal readonly struct SubtractDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = a - b);
}

internal readonly struct MultiplyDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = a * b);
}

internal readonly struct DivideDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = a / b);
}

internal readonly struct ModuloDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = a % b);
}

internal readonly struct PowDouble : IBinary<double, double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, double b, out double result) => double.IsFinite(result = Math.Pow(a, b));
}

internal readonly struct RoundTo : IBinary<double, long, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, long b, out double result) =>
        double.IsFinite(result = Math.Round(a, (int)Math.Clamp(b, 0, 15), MidpointRounding.AwayFromZero));
}

internal readonly struct Equal<T> : IBinary<T, T, bool>
    where T : IEqualityOperators<T, T, bool>
{
    public static bool CanFail => false;

    public static bool Apply(T a, T b, out bool result)
    {
        result = a == b;
        return true;
    }
}

internal readonly struct NotEqual<T> : IBinary<T, T, bool>
    where T : IEqualityOperators<T, T, bool>
{
    public static bool CanFail => false;

    public static bool Apply(T a, T b, out bool result)
    {
        result = a != b;
        return true;
    }
}

internal readonly struct EqualBool : IBinary<bool, bool, bool>
{
    public static bool CanFail => false;

    public static bool Apply(bool a, bool b, out bool result)
    {
        result = a == b;
        return true;
    }
}

internal readonly struct NotEqualBool : IBinary<bool, bool, bool>
{
    public static bool CanFail => false;

    public static bool Apply(bool a, bool b, out bool result)
    {
        result = a != b;
        return true;
    }
}

internal readonly struct Less<T> : IBinary<T, T, bool>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool CanFail => false;

    public static bool Apply(T a, T b, out bool result)
    {
        result = a < b;
        return true;
    }
}

internal readonly struct LessOrEqual<T> : IBinary<T, T, bool>
    where T : IComparisonOperators<T, T, bool>
{
    public static bool CanFail => false;

    public static bool Apply(T a, T b, out bool result)
    {
        result = a <= b;
        return true;
    }
}

internal readonly struct NotBool : IUnary<bool, bool>
{
    public static bool CanFail => false;

    public static bool Apply(bool a, out bool result)
    {
        result = !a;
        return true;
    }
}

internal readonly struct NegateLong : IUnary<long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, out long result)
    {
        result = unchecked(-a);
        return a != long.MinValue;
    }
}

internal readonly struct NegateDouble : IUnary<double, double>
{
    public static bool CanFail => false;

    public static bool Apply(double a, out double result)
    {
        result = -a;
        return true;
    }
}

internal readonly struct AbsLong : IUnary<long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, out long result)
    {
        result = a < 0 ? unchecked(-a) : a;
        return a != long.MinValue;
    }
}

internal readonly struct AbsDouble : IUnary<double, double>
{
    public static bool CanFail => false;

    public static bool Apply(double a, out double result)
    {
        result = Math.Abs(a);
        return true;
    }
}

internal readonly struct RoundDouble : IUnary<double, double>
{
    public static bool CanFail => false;

    public static bool Apply(double a, out double result)
    {
        result = Math.Round(a, MidpointRounding.AwayFromZero);
        return true;
    }
}

internal readonly struct FloorDouble : IUnary<double, double>
{
    public static bool CanFail => false;

    public static bool Apply(double a, out double result)
    {
        result = Math.Floor(a);
        return true;
    }
}

internal readonly struct CeilDouble : IUnary<double, double>
{
    public static bool CanFail => false;

    public static bool Apply(double a, out double result)
    {
        result = Math.Ceiling(a);
        return true;
    }
}

internal readonly struct SqrtDouble : IUnary<double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, out double result) => double.IsFinite(result = Math.Sqrt(a));
}

internal readonly struct LogDouble : IUnary<double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, out double result) => double.IsFinite(result = Math.Log(a));
}

internal readonly struct Log10Double : IUnary<double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, out double result) => double.IsFinite(result = Math.Log10(a));
}

internal readonly struct ExpDouble : IUnary<double, double>
{
    public static bool CanFail => true;

    public static bool Apply(double a, out double result) => double.IsFinite(result = Math.Exp(a));
}

internal readonly struct LongToDouble : IUnary<long, double>
{
    public static bool CanFail => false;

    public static bool Apply(long a, out double result)
    {
        result = a;
        return true;
    }
}

internal readonly struct DoubleToLong : IUnary<double, long>
{
    public static bool CanFail => true;

    public static bool Apply(double a, out long result)
    {
        var fits = a is >= -9223372036854775808.0 and < 9223372036854775808.0;
        result = fits ? (long)a : 0;
        return fits;
    }
}

internal readonly struct LongToInt32 : IUnary<long, long>
{
    public static bool CanFail => true;

    public static bool Apply(long a, out long result)
    {
        result = a;
        return a is >= int.MinValue and <= int.MaxValue;
    }
}

internal readonly struct LongAsIs : IUnary<long, long>
{
    public static bool CanFail => false;

    public static bool Apply(long a, out long result)
    {
        result = a;
        return true;
    }
}

internal readonly struct BoolToLong : IUnary<bool, long>
{
    public static bool CanFail => false;

    public static bool Apply(bool a, out long result)
    {
        result = a ? 1 : 0;
        return true;
    }
}

internal readonly struct LongToBool : IUnary<long, bool>
{
    public static bool CanFail => false;

    public static bool Apply(long a, out bool result)
    {
        result = a != 0;
        return true;
    }
}

/// <summary>Start of the span of time that a moment lies in.</summary>
internal sealed class TruncateKernel(Kernel<long> time, string unit) : Kernel<long>(Records.ColumnType.DateTime, time.Nullable)
{
    public static readonly string[] Units = ["second", "minute", "hour", "day", "week", "month", "year"];

    private const long DayMs = 86_400_000;
    private static readonly long CalendarMin = DateTimeOffset.MinValue.ToUnixTimeMilliseconds();
    private static readonly long CalendarMax = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    protected override void Compute(Frame frame, int count)
    {
        time.Run(frame);
        Validity = time.Validity;
        var from = time.Values[..count];
        var result = Reserve(count);
        // 1970-01-01 was a Thursday: weeks start three days before it.
        var (size, shift) = unit switch
        {
            "second" => (1000L, 0L),
            "minute" => (60_000L, 0L),
            "hour" => (3_600_000L, 0L),
            "day" => (DayMs, 0L),
            "week" => (7 * DayMs, 3 * DayMs),
            _ => (0L, 0L),
        };
        for (var i = 0; i < from.Length; i++)
        {
            result[i] = size > 0 ? Floor(from[i], size, shift) : Calendar(from[i]);
        }
    }

    private static long Floor(long ms, long size, long shift)
    {
        var rest = (ms + shift) % size;
        return ms - (rest < 0 ? rest + size : rest);
    }

    private long Calendar(long ms)
    {
        var at = DateTimeOffset.FromUnixTimeMilliseconds(Math.Clamp(ms, CalendarMin, CalendarMax));
        return new DateTimeOffset(at.Year, unit == "year" ? 1 : at.Month, 1, 0, 0, 0, TimeSpan.Zero).ToUnixTimeMilliseconds();
    }
}
