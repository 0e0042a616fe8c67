using System.Buffers;
using System.Buffers.Text;
using System.Globalization;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// One record on its way through a clean tree: its values, and the rows of each level as they come about. Arrays are
/// reused from record to record.
/// </summary>
internal sealed class CleanRun
{
    // A row of a level: next row, what is nested in it, first and last nested row, position in the iteration, whether
    // anything was written; then its cells.
    private const int Next = 0;
    private const int State = 1;
    private const int First = 2;
    private const int Last = 3;
    private const int Position = 4;
    private const int Written = 5;
    private const int Head = 6;

    private const int Visited = 1;
    private const int NullRow = 2;

    private static readonly SearchValues<byte> DecimalBytes = SearchValues.Create("0123456789.eE+-"u8);

    private readonly int[] _positions = new int[256];
    private int[] _frames = new int[1024];
    private long[] _numbers = new long[256];
    private int _framesUsed;
    private int _numberCount;
    private EtlOutput _output = null!;

    public CleanValues Values { get; } = new();

    /// <summary>Bytes in the work of one node.</summary>
    public List<byte> Bytes { get; } = [];

    /// <summary>More bytes in the work of one node.</summary>
    public List<byte> MoreBytes { get; } = [];

    /// <summary>Values in the work of one node.</summary>
    public List<int> Parts { get; } = [];

    /// <summary>The row being written.</summary>
    public int Frame { get; set; }

    /// <summary>Iterations around the node at work.</summary>
    public int Depth { get; private set; }

    public EtlOutput Output => _output;

    /// <summary>Starts a record and its outermost row.</summary>
    public void Begin(EtlOutput output, CleanLevel root)
    {
        (_output, _framesUsed, _numberCount, Depth) = (output, 0, 0, 0);
        Values.Clear();
        if (_frames.Length > 1 << 20)
        {
            (_frames, _numbers) = (new int[1024], new long[256]);
        }

        Frame = NewRow(root.Width, 0);
    }

    /// <summary>Refuses the row in work; always false.</summary>
    public bool Refuse(string reason, string path, string message, int value)
    {
        Report(reason, path, message, value);
        return false;
    }

    /// <summary>Counts a bad value; the row goes on.</summary>
    public void Report(string reason, string path, string message, int value) =>
        _output.Reject(reason, CleanPath.Format(path, _positions.AsSpan(0, Depth), Values), message, Values.AsText(value));

    /// <summary>Adds a number for a cell.</summary>
    public int AddNumber(long bits)
    {
        if (_numberCount == _numbers.Length)
        {
            Array.Resize(ref _numbers, _numberCount * 2);
        }

        _numbers[_numberCount] = bits;
        return _numberCount++;
    }

    /// <summary>A number added before: whole, or the bits of a double.</summary>
    public long Number(int cell) => _numbers[cell];

    /// <summary>Writes a cell of the row in work.</summary>
    public void Set(CleanColumn column, int cell)
    {
        _frames[Frame + Head + column.Slot] = cell;
        _frames[Frame + Written] = 1;
    }

    /// <summary>Converts a value to the column's type and writes it; what cannot be converted is reported and null.</summary>
    public void Assign(CleanColumn column, int value, string path)
    {
        var cell = CleanValues.None;
        if (Values.Kind(value) != CleanKind.Null && !TryConvert(column.Type, value, out cell))
        {
            Report(RejectReason.WrongType, path, $"'{column.Name}' is {column.Type switch
            {
                CleanType.Json => "an object",
                CleanType.Int => "a whole number of 32 bits",
                CleanType.Long => "a whole number of 64 bits",
                CleanType.BigInt => "a whole number",
                _ => "a number",
            }}", value);
        }

        Set(column, cell);
    }

    /// <summary>Whether the row in work has anything in it.</summary>
    public bool IsWritten => _frames[Frame + Written] != 0;

    /// <summary>Starts an iteration under the row in work.</summary>
    public void OpenNested()
    {
        _frames[Frame + State] = Visited;
        _frames[Frame + Written] = 1;
    }

    /// <summary>Where nothing was iterated, one row of nulls stands.</summary>
    public void FillNested()
    {
        if (_frames[Frame + State] == 0)
        {
            _frames[Frame + State] = NullRow;
            _frames[Frame + Written] = 1;
        }
    }

    /// <summary>Starts a row of an iteration; position is its index or the value that is its key.</summary>
    public int BeginRow(CleanLevel level, int position)
    {
        var parent = Frame;
        Frame = NewRow(level.Width, position);
        _positions[Depth++] = position;
        return parent;
    }

    /// <summary>Ends a row: keeps it under its parent or forgets it.</summary>
    public void EndRow(int parent, bool isKept)
    {
        Depth--;
        if (!isKept)
        {
            _framesUsed = Frame;
        }
        else if (_frames[parent + First] == 0)
        {
            (_frames[parent + First], _frames[parent + Last]) = (Frame, Frame);
        }
        else
        {
            _frames[_frames[parent + Last] + Next] = Frame;
            _frames[parent + Last] = Frame;
        }

        Frame = parent;
    }

    /// <summary>Adds the rows under a row of a level to the table: each with the cells of all levels around it.</summary>
    public void Flatten(CleanLevel? level, int frame, int at, Span<int> row, CleanRows rows)
    {
        if (level is null)
        {
            rows.Add(row, _positions.AsSpan(0, Depth));
            return;
        }

        if (frame < 0)
        {
            row.Slice(at, level.Width).Fill(CleanValues.None);
            Flatten(level.Nested, -1, at + level.Width, row, rows);
            return;
        }

        _frames.AsSpan(frame + Head, level.Width).CopyTo(row[at..]);
        at += level.Width;
        if (level.Nested is null || _frames[frame + State] == NullRow)
        {
            Flatten(level.Nested, -1, at, row, rows);
        }
        else if (_frames[frame + State] == Visited)
        {
            for (var nested = _frames[frame + First]; nested != 0; nested = _frames[nested + Next])
            {
                _positions[Depth++] = _frames[nested + Position];
                Flatten(level.Nested, nested, at, row, rows);
                Depth--;
            }
        }
    }

    private int NewRow(int width, int position)
    {
        var frame = _framesUsed;
        _framesUsed += Head + width;
        if (_framesUsed > _frames.Length)
        {
            Array.Resize(ref _frames, Math.Max(_frames.Length * 2, _framesUsed));
        }

        _frames.AsSpan(frame, Head).Clear();
        _frames.AsSpan(frame + Head, width).Fill(CleanValues.None);
        _frames[frame + Position] = position;
        return frame;
    }

    private bool TryConvert(CleanType type, int value, out int cell)
    {
        cell = value;
        if (type is CleanType.String or CleanType.Text)
        {
            return true;
        }

        var kind = Values.Kind(value);
        if (type == CleanType.Json)
        {
            cell = kind == CleanKind.Map ? value : CleanValues.None;
            return cell == value;
        }

        cell = CleanValues.None;
        if (kind is not (CleanKind.Text or CleanKind.Number))
        {
            return false;
        }

        var text = Values.Text(value).Trim(" \t\r\n\""u8);
        return text.IsEmpty || IsNullWord(text) || TryNumber(type, value, text, isText: kind == CleanKind.Text, ref cell);
    }

    private static bool IsNullWord(ReadOnlySpan<byte> text) => text.Length == 4 && System.Text.Ascii.EqualsIgnoreCase(text, "null"u8);

    private bool TryNumber(CleanType type, int value, ReadOnlySpan<byte> text, bool isText, ref int cell)
    {
        var start = Values.Text(value).IndexOf(text);
        var whole = text.IndexOf((byte)'.') is >= 0 and var point ? text[..point] : text;
        switch (type)
        {
            case CleanType.Double when double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number):
                cell = AddNumber(BitConverter.DoubleToInt64Bits(number));
                return true;
            case CleanType.BigDecimal when IsDecimal(text):
                cell = Values.Slice(value, start, text.Length);
                return true;
            case CleanType.BigInt when IsDecimal(whole) && whole.IndexOfAny((byte)'e', (byte)'E') < 0:
                cell = Values.Slice(value, start, whole.Length);
                return true;
            case CleanType.Int or CleanType.Long when TryWhole(isText ? whole : text, isText, out var number) && (type == CleanType.Long || number is >= int.MinValue and <= int.MaxValue):
                cell = AddNumber(number);
                return true;
            default:
                return false;
        }
    }

    private static bool TryWhole(ReadOnlySpan<byte> text, bool isText, out long number)
    {
        // What stands before the point of '.5' is nothing: 0.
        number = 0;
        if (text.IsEmpty || (Utf8Parser.TryParse(text, out number, out var used) && used == text.Length))
        {
            return true;
        }

        // A JSON number with a fraction or an exponent is cut, a text with an exponent is not a whole number.
        var isCut = Utf8Parser.TryParse(text, out double real, out used) && used == text.Length && !isText && Math.Abs(real) < 9.2e18;
        number = isCut ? (long)real : 0;
        return isCut;
    }

    private static bool IsDecimal(ReadOnlySpan<byte> text)
    {
        text = !text.IsEmpty && text[0] is (byte)'+' or (byte)'-' ? text[1..] : text;
        return text.IndexOfAnyInRange((byte)'0', (byte)'9') >= 0 && text.IndexOfAnyExcept(DecimalBytes) < 0
            && double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out _);
    }
}
