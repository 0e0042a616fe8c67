using System.Text;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Types that the clean format's columns are assigned with.</summary>
internal enum CleanType
{
    String,
    Text,
    Int,
    Long,
    Double,

    /// <summary>A whole number of any size: its digits, as text.</summary>
    BigInt,

    /// <summary>A decimal number of any size: its digits, as text.</summary>
    BigDecimal,

    /// <summary>The JSON text of an object.</summary>
    Json,
}

/// <summary>Which branches of which selectors lead to a node: two nodes whose branches differ never meet in one row.</summary>
internal sealed record CleanBranch(CleanBranch? Outer, object Selector, int Index)
{
    /// <summary>Whether a row that passes through one can pass through the other.</summary>
    public static bool CanMeet(CleanBranch? a, CleanBranch? b)
    {
        for (; a is not null; a = a.Outer)
        {
            for (var other = b; other is not null; other = other.Outer)
            {
                if (ReferenceEquals(a.Selector, other.Selector) && a.Index != other.Index)
                {
                    return false;
                }
            }
        }

        return true;
    }
}

/// <summary>A column of the clean format: one cell of a row of its level.</summary>
internal sealed class CleanColumn(string name, CleanType type, bool isDimension, int slot)
{
    public string Name { get; } = name;

    public CleanType Type { get; } = type;

    public bool IsDimension { get; } = isDimension;

    /// <summary>Position in its level.</summary>
    public int Slot { get; } = slot;

    /// <summary>Whether nobody asked for it: an iteration's number. Of several of one name the innermost comes out.</summary>
    public bool IsImplied { get; set; }

    /// <summary>Where in the record its value is.</summary>
    public string Path { get; set; } = "";

    /// <summary>Position among all columns of all levels.</summary>
    public int Flat { get; set; }

    /// <summary>Position in the rows that come out; -1 when it does not come out.</summary>
    public int Output { get; set; } = -1;

    public bool IsNumber => Type is CleanType.Int or CleanType.Long or CleanType.Double;

    public Field Field => new(Name, Type switch
    {
        CleanType.String => ColumnType.String,
        CleanType.Int => ColumnType.Int32,
        CleanType.Long => ColumnType.Int64,
        CleanType.Double => ColumnType.Float64,
        CleanType.Json => ColumnType.Json,
        _ => ColumnType.Text,
    }, IsDimension ? FieldRole.Dimension : FieldRole.Value, !IsDimension);
}

/// <summary>
/// The columns assigned between two iterations. A row of the whole is a row of the outermost level with one of the
/// level nested in it, and so on.
/// </summary>
internal sealed class CleanLevel
{
    private readonly List<(CleanColumn Column, List<CleanBranch?> By)> _columns = [];
    private readonly List<CleanBranch?> _nestedBy = [];

    public IEnumerable<CleanColumn> Columns => _columns.Select(c => c.Column);

    public int Width => _columns.Count;

    /// <summary>The rows under each row of this level; null when there are none.</summary>
    public CleanLevel? Nested { get; private set; }

    /// <summary>A column, new or of a branch that excludes this one. Null when it is taken or of another type.</summary>
    public CleanColumn? Add(string name, CleanType type, bool isDimension, CleanBranch? by)
    {
        var at = _columns.FindIndex(c => c.Column.Name == name);
        if (at < 0)
        {
            _columns.Add((new CleanColumn(name, type, isDimension, _columns.Count), [by]));
            return _columns[^1].Column;
        }

        var (column, others) = _columns[at];
        if (column.Type != type || column.IsDimension != isDimension || others.Exists(o => CleanBranch.CanMeet(o, by)))
        {
            return null;
        }

        others.Add(by);
        return column;
    }

    public CleanColumn? Find(string name) => _columns.Find(c => c.Column.Name == name).Column;

    /// <summary>Opens the level of an iteration. True when it takes the place of another that a row can meet as well.</summary>
    public bool OpenNested(CleanBranch? by, out CleanLevel nested)
    {
        var isReplaced = Nested is not null && _nestedBy.Exists(o => CleanBranch.CanMeet(o, by));
        if (isReplaced)
        {
            _nestedBy.Clear();
        }

        Nested = nested = isReplaced || Nested is null ? new CleanLevel() : Nested;
        _nestedBy.Add(by);
        return isReplaced;
    }

    /// <summary>This level and all nested in it.</summary>
    public IEnumerable<CleanLevel> Chain()
    {
        for (var level = this; level is not null; level = level.Nested)
        {
            yield return level;
        }
    }
}

/// <summary>Where in a record a node stands: <c>data[3].ts</c>, with a mark for each iteration.</summary>
internal static class CleanPath
{
    private const char Index = '\u0001';
    private const char Name = '\u0002';

    public static string Key(string path, string key) => path.Length == 0 ? key : $"{path}.{key}";

    public static string At(string path, int index) => $"{path}[{index}]";

    public static string EachIndex(string path) => path + Index;

    public static string EachKey(string path) => path + Name;

    /// <summary>The path with the iterations' positions: an index, or the value that is the key.</summary>
    public static string Format(string path, ReadOnlySpan<int> positions, CleanValues values)
    {
        var text = new StringBuilder(path.Length + 8);
        foreach (var letter in path)
        {
            if (letter is not (Index or Name))
            {
                text.Append(letter);
                continue;
            }

            var position = positions.IsEmpty ? 0 : positions[0];
            positions = positions.IsEmpty ? positions : positions[1..];
            if (letter == Index)
            {
                text.Append('[').Append(position).Append(']');
            }
            else
            {
                text.Append(text.Length == 0 ? "" : ".").Append(Encoding.UTF8.GetString(values.Text(position)));
            }
        }

        return text.ToString();
    }
}
