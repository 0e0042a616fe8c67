using System.Buffers;
using System.Buffers.Binary;
using System.Globalization;
using BkBase.Flows.Definition;
using BkBase.Flows.Records;

namespace BkBase.Flows.Operators;

/// <summary>Drops rows whose key came already within a span of event time; the first one read stays.</summary>
public sealed record DedupeSettings(IReadOnlyList<Located> By, TimeSpan Within) : INodeSettings
{
    public static IReadOnlyList<Key> Keys { get; } =
    [
        new("by", KeyKind.Texts, "columns that make the key", Required: true),
        new("within", KeyKind.Duration, "span of event time in which a key comes once", Required: true),
    ];

    public static CatalogEntry<INodeSettings> Entry { get; } = new(
        "dedupe", "Drops repeats of a key within a span of event time; limits.keys bounds the keys it remembers.",
        "type: dedupe\nby: [host]\nwithin: 10m\n", Keys, Read);

    public static DedupeSettings Read(Section section)
    {
        var within = section.Duration("within");
        if (within < TimeSpan.FromMilliseconds(1))
        {
            section.Error("within", DiagnosticCodes.OutOfRange, "'within' is at least 1ms");
        }

        return new(section.Texts("by"), within ?? TimeSpan.FromMinutes(10));
    }

    public Schema? Resolve(IReadOnlyList<Schema> inputs, DiagnosticBag diagnostics)
    {
        var input = inputs[0];
        var names = input.Fields.Select(f => f.Name);
        var failed = false;
        foreach (var column in By.Where(c => input.IndexOf(c.Text) < 0))
        {
            failed = true;
            diagnostics.Error(column.At, DiagnosticCodes.UnknownColumn, $"no column '{column.Text}' here; columns are {string.Join(", ", names)}.{Suggestion.For(column.Text, names)}");
        }

        return failed ? null : input;
    }

    public string? StateOf(IReadOnlyList<Schema> inputs)
    {
        var columns = By.Where(c => inputs[0].IndexOf(c.Text) >= 0).Select(c => $"{c.Text} {inputs[0][inputs[0].IndexOf(c.Text)].Type.ToString().ToLowerInvariant()}");
        return string.Create(CultureInfo.InvariantCulture, $"by {string.Join(", ", columns)} within {(long)Within.TotalMilliseconds} ms");
    }

    public IOperator Create(IReadOnlyList<Schema> inputs) => Create(inputs, new FlowLimits());

    public IOperator Create(IReadOnlyList<Schema> inputs, FlowLimits limits) =>
        new Dedupe([.. By.Select(c => inputs[0].IndexOf(c.Text))], (long)Within.TotalMilliseconds, limits);
}

/// <summary>
/// The operator of <see cref="DedupeSettings"/>. A row is dropped when the row of its key that passed last differs from
/// it by less than the span. A key is forgotten when it lies two spans behind the largest event time seen, rounded down
/// to a sixteenth of the span: so rows that come up to one span late are still compared. What is forgotten depends on the
/// rows alone, never on when memory is tidied. At the bounds (<c>limits.keys</c>, <c>limits.state</c>) rows of new keys pass
/// and are not remembered, and the node tells so.
/// </summary>
/// <param name="columns">Numbers of the key's columns.</param>
/// <param name="withinMs">The span in milliseconds.</param>
public sealed class Dedupe(int[] columns, long withinMs, FlowLimits limits) : IOperator, ISnapshot
{
    private readonly long _step = Math.Max(1, withinMs / 16);
    private readonly long _bytesMax = Math.Min(limits.State, 1L << 30);
    private readonly KeyTable _table = new();
    private byte[] _key = new byte[256];
    private int _length;
    private int[] _rows = [];
    private long _newest = long.MinValue;
    private long _swept = long.MinValue;
    private bool _isTroubled;

    public int SnapshotVersion => 1;

    /// <summary>Keys in memory.</summary>
    public int Count => _table.Count;

    public void OnBatch(RecordBatch batch, int input, Output output)
    {
        if (_rows.Length < batch.Count)
        {
            _rows = new int[batch.Count];
        }

        var times = batch.Times;
        var (kept, unremembered) = (0, 0);
        for (var row = 0; row < times.Length; row++)
        {
            _length = 0;
            foreach (var column in columns)
            {
                Append(batch[column], row);
            }

            _newest = Math.Max(_newest, times[row]);
            if (Passes(_key.AsSpan(0, _length), times[row], ref unremembered))
            {
                _rows[kept++] = row;
            }
        }

        if (kept < batch.Count)
        {
            output.Filtered(batch.Count - kept);
        }

        if (unremembered > 0 || _isTroubled)
        {
            _isTroubled = unremembered > 0;
            output.Trouble(_isTroubled
                ? string.Create(CultureInfo.InvariantCulture, $"remembers {_table.Count} keys and has no room for more (limits.keys, limits.state): {unremembered} rows of the last batch passed unremembered, repeats of them may pass too")
                : null);
        }

        output.Emit(batch.Take(_rows.AsSpan(0, kept)));
    }

    public void Snapshot(IBufferWriter<byte> target)
    {
        BinaryPrimitives.WriteInt64LittleEndian(target.GetSpan(8), _newest);
        target.Advance(8);
        _table.Write(target, Least());
    }

    public void Restore(ReadOnlySpan<byte> state, int version)
    {
        if (state.Length < 8)
        {
            throw new InvalidDataException($"{state.Length} bytes are no state of a dedupe node");
        }

        _newest = BinaryPrimitives.ReadInt64LittleEndian(state);
        _table.Read(state[8..]);
        _swept = Least();
    }

    // Times below it are forgotten.
    private long Least() => _newest < long.MinValue + (4 * withinMs) || withinMs > long.MaxValue / 8 ? long.MinValue : _newest - (_newest % _step) - (2 * withinMs);

    private bool Passes(ReadOnlySpan<byte> key, long time, ref int unremembered)
    {
        var least = Least();
        var found = _table.Find(key);
        if (found >= 0 && _table.TimeOf(found) is var last && last >= least)
        {
            if (Math.Abs(time - last) < withinMs)
            {
                return false;
            }

            _table.SetTime(found, Math.Max(time, last));
            return true;
        }

        if (time < least)
        {
            // It would be forgotten at once.
            return true;
        }

        // A forgotten key must be gone before it comes anew: it counts at the bound as any new one does.
        if (_swept < least && (found >= 0 || _table.IsFull(key.Length) || IsAtBound(key.Length)))
        {
            _table.Sweep(least);
            _swept = least;
        }

        if (IsAtBound(key.Length))
        {
            unremembered++;
        }
        else
        {
            _table.Add(key, time);
        }

        return true;
    }

    private bool IsAtBound(int keyLength) => _table.Count >= limits.Keys || _table.Bytes + keyLength > _bytesMax;

    // Each value with a byte for null, and its length where that varies: different keys are different bytes.
    private void Append(Column column, int row)
    {
        if (column.IsNull(row))
        {
            Room(1)[0] = 0;
            return;
        }

        Room(1)[0] = 1;
        switch (column)
        {
            case BoolColumn c: Room(1)[0] = c[row] ? (byte)1 : (byte)0; break;
            case Int32Column c: BinaryPrimitives.WriteInt32LittleEndian(Room(4), c[row]); break;
            case Int64Column c: BinaryPrimitives.WriteInt64LittleEndian(Room(8), c[row]); break;
            case Float64Column c: BinaryPrimitives.WriteDoubleLittleEndian(Room(8), c[row]); break;
            case StringColumn c: Append(c[row]); break;
            case TextColumn c: Append(c[row]); break;
            case MapColumn c:
                var pairs = c.Dictionary[c.Ids[row]];
                BinaryPrimitives.WriteInt32LittleEndian(Room(4), pairs.Length);
                foreach (var pair in pairs)
                {
                    Append(c.Dictionary.Strings[pair.Key]);
                    Append(c.Dictionary.Strings[pair.Value]);
                }

                break;
            default: throw new InvalidOperationException($"a key of {column.GetType().Name}");
        }
    }

    private void Append(ReadOnlySpan<byte> utf8)
    {
        BinaryPrimitives.WriteInt32LittleEndian(Room(4), utf8.Length);
        utf8.CopyTo(Room(utf8.Length));
    }

    private Span<byte> Room(int count)
    {
        if (_length + count > _key.Length)
        {
            Array.Resize(ref _key, Math.Max(_length + count, _key.Length * 2));
        }

        _length += count;
        return _key.AsSpan(_length - count, count);
    }
}
