using BkBase.Flows.Records;

namespace BkBase.Flows.Expressions;

/// <summary>What the kernels of one compiled expression share while they run over one batch.</summary>
internal sealed class Frame
{
    public RecordBatch Batch { get; private set; } = null!;

    /// <summary>Number of this run: a kernel used twice runs once.</summary>
    public long Run { get; private set; }

    /// <summary>Holds the strings that the expression makes; swapped between two runs when full.</summary>
    public StringDictionary Strings { get; private set; } = new();

    public void Begin(RecordBatch batch)
    {
        Batch = batch;
        Run++;
        if (Strings.IsFull)
        {
            Strings = new StringDictionary();
        }
    }
}

/// <summary>
/// One step of a compiled expression: after <see cref="Run"/> it holds a value for every row of the batch. Values of null
/// rows are arbitrary. Buffers are reused from batch to batch.
/// </summary>
internal abstract class Kernel(ColumnType type, bool nullable)
{
    private long _run;

    public ColumnType Type { get; } = type;

    public bool Nullable { get; } = nullable;

    /// <summary>As <see cref="Column.Validity"/>; another kernel's or the batch's, so never written by readers.</summary>
    public ulong[]? Validity { get; protected set; }

    public void Run(Frame frame)
    {
        if (_run != frame.Run)
        {
            _run = frame.Run;
            Compute(frame, frame.Batch.Count);
        }
    }

    /// <summary>The values as an immutable column.</summary>
    public abstract Column ToColumn(int count);

    protected abstract void Compute(Frame frame, int count);

    protected ulong[]? CopyValidity(int count) => Validity?.AsSpan(0, (count + 63) >> 6).ToArray();
}

/// <summary>A kernel with values of fixed size: bool, long (int32, int64, datetime) or double.</summary>
internal abstract class Kernel<T>(ColumnType type, bool nullable) : Kernel(type, nullable)
    where T : struct
{
    private T[] _buffer = [];
    private int _count;

    public virtual ReadOnlySpan<T> Values => _buffer.AsSpan(0, _count);

    public override Column ToColumn(int count)
    {
        var values = Values[..count].ToArray();
        return values switch
        {
            bool[] bools => new BoolColumn(bools, count, CopyValidity(count)),
            double[] doubles => new Float64Column(doubles, count, CopyValidity(count)),
            long[] longs when Type == ColumnType.Int32 => new Int32Column(Array.ConvertAll(longs, l => (int)l), count, CopyValidity(count)),
            long[] longs => new Int64Column(longs, count, CopyValidity(count)),
            _ => throw new System.Diagnostics.UnreachableException(typeof(T).Name),
        };
    }

    protected Span<T> Reserve(int count)
    {
        if (_buffer.Length < count)
        {
            _buffer = new T[Math.Max(count, 1024)];
        }

        _count = count;
        return _buffer.AsSpan(0, count);
    }
}

/// <summary>Validity bitmaps.</summary>
internal static class Bits
{
    public static bool Get(ulong[]? bits, int row) => bits is null || (bits[row >> 6] & (1UL << row)) != 0;

    /// <summary>Rows valid in both; may be one of the two.</summary>
    public static ulong[]? And(ref ulong[] buffer, ulong[]? a, ulong[]? b, int count)
    {
        if (a is null || b is null || ReferenceEquals(a, b))
        {
            return a ?? b;
        }

        var words = (count + 63) >> 6;
        if (buffer.Length < words)
        {
            buffer = new ulong[words];
        }

        for (var i = 0; i < words; i++)
        {
            buffer[i] = a[i] & b[i];
        }

        return buffer;
    }

    /// <summary>A copy in the buffer that may be written.</summary>
    public static ulong[] Own(ref ulong[] buffer, ulong[]? bits, int count)
    {
        var words = (count + 63) >> 6;
        if (buffer.Length < words)
        {
            buffer = bits is null || !ReferenceEquals(bits, buffer) ? new ulong[words] : throw new System.Diagnostics.UnreachableException();
        }

        if (bits is null)
        {
            buffer.AsSpan(0, words).Fill(ulong.MaxValue);
        }
        else if (!ReferenceEquals(bits, buffer))
        {
            bits.AsSpan(0, words).CopyTo(buffer);
        }

        return buffer;
    }
}

/// <summary>bool, float64 or int64 and datetime values of a column as they are.</summary>
internal sealed class ColumnKernel<T>(int index, ColumnType type, bool nullable) : Kernel<T>(type, nullable)
    where T : struct
{
    private FixedColumn<T>? _column;

    public override ReadOnlySpan<T> Values => _column!.Values;

    protected override void Compute(Frame frame, int count)
    {
        _column = (FixedColumn<T>)frame.Batch[index];
        Validity = _column.Validity;
    }
}

/// <summary>int32 values of a column, widened.</summary>
internal sealed class Int32ColumnKernel(int index, bool nullable) : Kernel<long>(ColumnType.Int64, nullable)
{
    protected override void Compute(Frame frame, int count)
    {
        var column = (Int32Column)frame.Batch[index];
        Validity = column.Validity;
        var values = column.Values;
        var result = Reserve(count);
        for (var i = 0; i < values.Length; i++)
        {
            result[i] = values[i];
        }
    }
}

/// <summary>A map column: good for access by key and for null tests.</summary>
internal sealed class MapKernel(int index, bool nullable) : Kernel(ColumnType.Map, nullable)
{
    public MapColumn Column { get; private set; } = null!;

    public override Column ToColumn(int count) => Column;

    protected override void Compute(Frame frame, int count)
    {
        Column = (MapColumn)frame.Batch[index];
        Validity = Column.Validity;
    }
}

/// <summary>The null literal before it has a type.</summary>
internal sealed class NullKernel() : Kernel<bool>(ColumnType.Bool, nullable: true)
{
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        Reserve(count);
        Validity = Bits.Own(ref _bits, null, count);
        Validity.AsSpan().Clear();
    }
}

/// <summary>Null of a type.</summary>
internal sealed class NullKernel<T>(ColumnType type) : Kernel<T>(type, nullable: true)
    where T : struct
{
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        Reserve(count);
        Validity = Bits.Own(ref _bits, null, count);
        Validity.AsSpan().Clear();
    }
}

/// <summary>A literal.</summary>
internal sealed class ConstantKernel<T>(ColumnType type, T value) : Kernel<T>(type, nullable: false)
    where T : struct
{
    private int _filled;

    public T Value { get; } = value;

    protected override void Compute(Frame frame, int count)
    {
        var result = Reserve(count);
        if (count > _filled)
        {
            result.Fill(Value);
            _filled = count;
        }
    }
}

/// <summary>An operation on one value; false means null.</summary>
internal interface IUnary<TA, TR>
{
    static abstract bool CanFail { get; }

    static abstract bool Apply(TA a, out TR result);
}

/// <summary>An operation on two values; false means null.</summary>
internal interface IBinary<TA, TB, TR>
{
    static abstract bool CanFail { get; }

    static abstract bool Apply(TA a, TB b, out TR result);
}

/// <summary>Runs a unary operation down a column.</summary>
internal sealed class UnaryKernel<TOp, TA, TR>(Kernel<TA> operand, ColumnType type) : Kernel<TR>(type, operand.Nullable || TOp.CanFail)
    where TOp : IUnary<TA, TR>
    where TA : struct
    where TR : struct
{
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        var a = operand.Values[..count];
        var result = Reserve(count);
        if (!TOp.CanFail)
        {
            Validity = operand.Validity;
            for (var i = 0; i < a.Length; i++)
            {
                TOp.Apply(a[i], out result[i]);
            }

            return;
        }

        var bits = Bits.Own(ref _bits, operand.Validity, count);
        for (var i = 0; i < a.Length; i++)
        {
            if (!TOp.Apply(a[i], out result[i]))
            {
                bits[i >> 6] &= ~(1UL << i);
            }
        }

        Validity = bits;
    }
}

/// <summary>Runs a binary operation down two columns; null when either is.</summary>
internal sealed class BinaryKernel<TOp, TA, TB, TR>(Kernel<TA> left, Kernel<TB> right, ColumnType type)
    : Kernel<TR>(type, left.Nullable || right.Nullable || TOp.CanFail)
    where TOp : IBinary<TA, TB, TR>
    where TA : struct
    where TB : struct
    where TR : struct
{
    private ulong[] _bits = [];
    private ulong[] _both = [];

    protected override void Compute(Frame frame, int count)
    {
        left.Run(frame);
        right.Run(frame);
        var a = left.Values[..count];
        var b = right.Values[..count];
        var result = Reserve(count);
        var validity = Bits.And(ref _both, left.Validity, right.Validity, count);
        if (!TOp.CanFail)
        {
            Validity = validity;
            for (var i = 0; i < a.Length; i++)
            {
                TOp.Apply(a[i], b[i], out result[i]);
            }

            return;
        }

        var bits = Bits.Own(ref _bits, validity, count);
        for (var i = 0; i < a.Length; i++)
        {
            if (!TOp.Apply(a[i], b[i], out result[i]))
            {
                bits[i >> 6] &= ~(1UL << i);
            }
        }

        Validity = bits;
    }
}

/// <summary>and, or with SQL's three values: false and null is false, true or null is true.</summary>
internal sealed class LogicKernel(Kernel<bool> left, Kernel<bool> right, bool isAnd) : Kernel<bool>(ColumnType.Bool, left.Nullable || right.Nullable)
{
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        left.Run(frame);
        right.Run(frame);
        var a = left.Values[..count];
        var b = right.Values[..count];
        var result = Reserve(count);
        if (left.Validity is null && right.Validity is null)
        {
            Validity = null;
            for (var i = 0; i < a.Length; i++)
            {
                result[i] = isAnd ? a[i] & b[i] : a[i] | b[i];
            }

            return;
        }

        var bits = Bits.Own(ref _bits, null, count);
        for (var i = 0; i < a.Length; i++)
        {
            var known = Bits.Get(left.Validity, i);
            var knownToo = Bits.Get(right.Validity, i);
            var decided = (known && a[i] != isAnd) || (knownToo && b[i] != isAnd);
            result[i] = decided != isAnd;
            if (!decided && !(known && knownToo))
            {
                bits[i >> 6] &= ~(1UL << i);
            }
        }

        Validity = bits;
    }
}

/// <summary>is null, is not null.</summary>
internal sealed class IsNullKernel(Kernel operand, bool not) : Kernel<bool>(ColumnType.Bool, nullable: false)
{
    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        var result = Reserve(count);
        for (var i = 0; i < result.Length; i++)
        {
            result[i] = Bits.Get(operand.Validity, i) == not;
        }
    }
}

/// <summary>in a list of literals.</summary>
internal sealed class InKernel<T>(Kernel<T> operand, HashSet<T> items) : Kernel<bool>(ColumnType.Bool, operand.Nullable)
    where T : struct
{
    protected override void Compute(Frame frame, int count)
    {
        operand.Run(frame);
        Validity = operand.Validity;
        var values = operand.Values[..count];
        var result = Reserve(count);
        for (var i = 0; i < values.Length; i++)
        {
            result[i] = items.Contains(values[i]);
        }
    }
}

/// <summary>The value of the first condition that is true; null when none is.</summary>
internal sealed class CaseKernel<T>(Kernel<bool>[] conditions, Kernel<T>[] values, ColumnType type) : Kernel<T>(type, nullable: true)
    where T : struct
{
    private readonly BranchPicker _picker = new();
    private ulong[] _bits = [];

    protected override void Compute(Frame frame, int count)
    {
        var branches = _picker.Pick(frame, conditions, count);
        var result = Reserve(count);
        var bits = Bits.Own(ref _bits, null, count);
        bits.AsSpan().Clear();
        for (var b = 0; b < values.Length; b++)
        {
            values[b].Run(frame);
            var from = values[b].Values;
            var validity = values[b].Validity;
            for (var i = 0; i < branches.Length; i++)
            {
                if (branches[i] == b && Bits.Get(validity, i))
                {
                    result[i] = from[i];
                    bits[i >> 6] |= 1UL << i;
                }
            }
        }

        Validity = bits;
    }
}

/// <summary>Per row the index of the first true condition, -1 when none is.</summary>
internal sealed class BranchPicker
{
    private int[] _branches = [];

    public ReadOnlySpan<int> Pick(Frame frame, Kernel<bool>[] conditions, int count)
    {
        if (_branches.Length < count)
        {
            _branches = new int[Math.Max(count, 1024)];
        }

        var branches = _branches.AsSpan(0, count);
        branches.Fill(-1);
        for (var c = 0; c < conditions.Length; c++)
        {
            conditions[c].Run(frame);
            var holds = conditions[c].Values;
            var validity = conditions[c].Validity;
            for (var i = 0; i < branches.Length; i++)
            {
                if (branches[i] < 0 && holds[i] && Bits.Get(validity, i))
                {
                    branches[i] = c;
                }
            }
        }

        return branches;
    }
}
