using System.Buffers;
using System.Globalization;
using System.Text;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>What a clean configuration comes to.</summary>
/// <param name="Tree">Root of the operator tree.</param>
/// <param name="Root">Columns and levels.</param>
/// <param name="Columns">The columns of all levels, by <see cref="CleanColumn.Flat"/>.</param>
/// <param name="Time">How event times are read.</param>
/// <param name="TimeColumn">Column that holds the event time; null for the append time.</param>
/// <param name="TimeOutput">Position of the column that repeats the event time as a number; -1 for none.</param>
/// <param name="Steps">What is done to the rows, in order.</param>
/// <param name="Routes">Data ids that rows are copied to.</param>
/// <param name="RouteOutput">Position of the column of data ids.</param>
internal sealed record CleanPlan(
    CleanNode Tree,
    CleanLevel Root,
    CleanColumn[] Columns,
    CleanTime Time,
    CleanColumn? TimeColumn,
    int TimeOutput,
    CleanStep[] Steps,
    (long DataId, CleanRowCondition Condition)[] Routes,
    int RouteOutput);

/// <summary>The flat rows of one record, from the time they are known to the time they are written.</summary>
internal sealed class CleanRows(CleanPlan plan, CleanRun run)
{
    private readonly List<int> _cells = [];
    private readonly List<long> _times = [];

    public int Count => _times.Count;

    private int Width => plan.Columns.Length;

    public CleanValues Values => run.Values;

    public void Clear()
    {
        _cells.Clear();
        _times.Clear();
    }

    /// <summary>Adds a row; without an event time it is refused.</summary>
    public void Add(ReadOnlySpan<int> row, ReadOnlySpan<int> positions)
    {
        var time = run.Output.AppendTime / plan.Time.Round * plan.Time.Round;
        if (plan.TimeColumn is { } column && !TryTime(column, row[column.Flat], out time))
        {
            run.Output.Reject(
                RejectReason.BadTime, CleanPath.Format(column.Path, positions, Values), $"'{column.Name}' is no event time of the configured form", TimeText(column, row[column.Flat]));
            return;
        }

        _cells.AddRange(row);
        _times.Add(time);
    }

    public int Cell(int row, CleanColumn column) => _cells[(row * Width) + column.Flat];

    public void Set(int row, CleanColumn column, int cell) => _cells[(row * Width) + column.Flat] = cell;

    /// <summary>A cell as a number; null when it is null or no number.</summary>
    public double? Number(int row, CleanColumn column)
    {
        var cell = Cell(row, column);
        return cell == CleanValues.None ? null
            : column.IsNumber ? column.Type == CleanType.Double ? BitConverter.Int64BitsToDouble(run.Number(cell)) : run.Number(cell)
            : double.TryParse(Values.Text(cell), NumberStyles.Float, CultureInfo.InvariantCulture, out var number) ? number : null;
    }

    /// <summary>Writes a number; null, and what the column cannot hold, becomes null.</summary>
    public void SetNumber(int row, CleanColumn column, double? number)
    {
        var bound = column.Type == CleanType.Int ? int.MaxValue : 9.2e18;
        var cell = number is not { } value || !double.IsFinite(value) ? CleanValues.None
            : column.Type == CleanType.Double ? run.AddNumber(BitConverter.DoubleToInt64Bits(value))
            : Math.Abs(value) <= bound ? run.AddNumber((long)value)
            : CleanValues.None;
        Set(row, column, cell);
    }

    /// <summary>Keeps the first row only.</summary>
    public void KeepFirst()
    {
        _times.RemoveRange(1, Count - 1);
        _cells.RemoveRange(Width, _cells.Count - Width);
    }

    /// <summary>Makes several rows of each, one after the other.</summary>
    public void Repeat(int times)
    {
        var (once, cells) = (_times.ToArray(), _cells.ToArray());
        Clear();
        for (var row = 0; row < once.Length; row++)
        {
            for (var i = 0; i < times; i++)
            {
                _times.Add(once[row]);
                _cells.AddRange(cells.AsSpan(row * Width, Width));
            }
        }
    }

    /// <summary>Writes all rows, each once more per data id it goes to.</summary>
    public void Write(BatchBuilder rows)
    {
        for (var row = 0; row < Count; row++)
        {
            Write(rows, row, 0);
            foreach (var (dataId, condition) in plan.Routes)
            {
                if (condition.Holds(this, row))
                {
                    Write(rows, row, dataId);
                }
            }
        }
    }

    private void Write(BatchBuilder rows, int row, long dataId)
    {
        rows.SetInt64(0, _times[row]);
        foreach (var column in plan.Columns)
        {
            var cell = Cell(row, column);
            if (column.Output < 0 || cell == CleanValues.None)
            {
                continue;
            }

            switch (column.Type)
            {
                case CleanType.String: rows.SetString(column.Output, Values.AsText(cell)); break;
                case CleanType.Int: rows.SetInt32(column.Output, (int)run.Number(cell)); break;
                case CleanType.Long: rows.SetInt64(column.Output, run.Number(cell)); break;
                case CleanType.Double: rows.SetFloat64(column.Output, BitConverter.Int64BitsToDouble(run.Number(cell))); break;
                default: rows.SetText(column.Output, Values.AsText(cell)); break;
            }
        }

        if (plan.TimeOutput >= 0)
        {
            rows.SetInt64(plan.TimeOutput, _times[row]);
        }

        if (plan.RouteOutput >= 0)
        {
            rows.SetInt64(plan.RouteOutput, dataId);
        }

        rows.CommitRow();
    }

    private bool TryTime(CleanColumn column, int cell, out long time)
    {
        time = 0;
        return cell != CleanValues.None
            && (plan.Time.Length > 0 && column.Type is CleanType.Int or CleanType.Long
                ? plan.Time.TryRead(run.Number(cell), out time)
                : plan.Time.TryRead(TimeText(column, cell), out time));
    }

    private ReadOnlySpan<byte> TimeText(CleanColumn column, int cell) =>
        cell == CleanValues.None ? default
        : !column.IsNumber ? Values.AsText(cell)
        : Encoding.ASCII.GetBytes(column.Type == CleanType.Double
            ? BitConverter.Int64BitsToDouble(run.Number(cell)).ToString("0.###", CultureInfo.InvariantCulture)
            : run.Number(cell).ToString(CultureInfo.InvariantCulture));
}

/// <summary>Something done to all rows of a record.</summary>
internal abstract class CleanStep
{
    public abstract void Run(CleanRows rows);
}

/// <summary>convert, trim: a text column without the white space around it.</summary>
internal sealed class CleanTrim(CleanColumn column) : CleanStep
{
    private static readonly SearchValues<byte> White = SearchValues.Create(" \t\r\n\f\v"u8);

    public override void Run(CleanRows rows)
    {
        for (var row = 0; row < rows.Count; row++)
        {
            var cell = rows.Cell(row, column);
            var text = rows.Values.Text(cell);
            var (start, last) = (text.IndexOfAnyExcept(White), text.LastIndexOfAnyExcept(White));
            if (rows.Values.Kind(cell) == CleanKind.Text)
            {
                rows.Set(row, column, rows.Values.Slice(cell, Math.Max(0, start), start < 0 ? 0 : last - start + 1));
            }
        }
    }
}

/// <summary>calculate: a number of each row from its columns.</summary>
internal sealed class CleanCalculate(CleanColumn target, CleanNumber value) : CleanStep
{
    public override void Run(CleanRows rows)
    {
        for (var row = 0; row < rows.Count; row++)
        {
            rows.SetNumber(row, target, value.Of(rows, row));
        }
    }
}

/// <summary>calculate, max: the largest value of a column over the record's rows, at least 0; the first row alone remains.</summary>
internal sealed class CleanMax(CleanColumn target, CleanColumn column) : CleanStep
{
    public override void Run(CleanRows rows)
    {
        var max = 0d;
        for (var row = 0; row < rows.Count; row++)
        {
            max = Math.Max(max, rows.Number(row, column) ?? 0);
        }

        if (rows.Count > 0)
        {
            rows.SetNumber(0, target, max);
            rows.KeepFirst();
        }
    }
}

/// <summary>derive: of each row one per named column, with the column's name in one column and its value in another.</summary>
internal sealed class CleanDerive((CleanColumn From, byte[] Name)[] entries, CleanColumn dimension, CleanColumn value) : CleanStep
{
    public override void Run(CleanRows rows)
    {
        rows.Repeat(entries.Length);
        for (var row = 0; row < rows.Count; row++)
        {
            var (from, name) = entries[row % entries.Length];
            rows.Set(row, value, rows.Cell(row, from));
            rows.Set(row, dimension, rows.Values.Add(CleanKind.Text, name));
        }
    }
}

/// <summary>An arithmetic expression over the columns of a row.</summary>
/// <param name="Op">+ - * / or percent; '' for a column or constant.</param>
/// <param name="IsStrict">True when a null makes the result null; else it counts as 0.</param>
internal sealed record CleanNumber(string Op, CleanNumber? Left, CleanNumber? Right, CleanColumn? Column, double Constant, bool IsStrict)
{
    public double? Of(CleanRows rows, int row)
    {
        if (Left is null || Right is null)
        {
            return Column is null ? Constant : rows.Number(row, Column) ?? (IsStrict ? null : 0);
        }

        var (a, b) = (Left.Of(rows, row), Right.Of(rows, row));
        return Op switch
        {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            _ => b == 0 ? 0 : a / b * 100,
        };
    }
}

/// <summary>A condition of 'dispatch' over the columns of a row.</summary>
/// <param name="Op">and, or, equal, not_equal.</param>
internal sealed record CleanRowCondition(string Op, CleanRowCondition? Left, CleanRowCondition? Right, CleanRowOperand? A, CleanRowOperand? B)
{
    public bool Holds(CleanRows rows, int row) => Op switch
    {
        "and" => Left!.Holds(rows, row) && Right!.Holds(rows, row),
        "or" => Left!.Holds(rows, row) || Right!.Holds(rows, row),
        "equal" => AreEqual(rows, row),
        _ => !AreEqual(rows, row),
    };

    private bool AreEqual(CleanRows rows, int row) =>
        A!.Number(rows, row) is { } a && B!.Number(rows, row) is { } b ? a.Equals(b)
        : A.Text(rows, row) is { } text && text.AsSpan().SequenceEqual(B!.Text(rows, row));
}

/// <summary>A column or a constant in a condition of 'dispatch'.</summary>
internal sealed record CleanRowOperand(CleanColumn? Column, string? Constant, double? ConstantNumber)
{
    public double? Number(CleanRows rows, int row) => Column is null ? ConstantNumber : Column.IsNumber ? rows.Number(row, Column) : null;

    public byte[]? Text(CleanRows rows, int row) =>
        Column is null ? Encoding.UTF8.GetBytes(Constant ?? "")
        : Column.IsNumber || rows.Cell(row, Column) == CleanValues.None ? null
        : rows.Values.AsText(rows.Cell(row, Column)).ToArray();
}
