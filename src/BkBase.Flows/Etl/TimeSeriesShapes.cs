using System.Buffers.Text;
using System.Runtime.InteropServices;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// The fast way through time series: a producer writes the same bytes around changing numbers, so the literal parts are
/// learned and compared, and the target-and-dimension part is looked up whole. JSON is read left to right, so bytes equal
/// to ones that were read before mean the same; anything else is left to the general way.
/// </summary>
internal sealed class TimeSeriesShapes(MetricNames metrics, TimeUnit unit, int promoted)
{
    private const int ShapesMax = 8;
    private static readonly double[] Powers = [.. Enumerable.Range(0, 23).Select(i => double.Parse($"1e{i}", System.Globalization.CultureInfo.InvariantCulture))];

    private readonly List<Segment[]> _heads = [];
    private readonly List<Segment[]> _items = [];
    private readonly List<Segment[]> _tails = [];
    private StringDictionary _series = new(16 << 20);
    private int[] _ids = new int[1024];
    private StringDictionary? _strings;

    private enum Kind
    {
        End,
        Skip,
        Metric,
        Time,
        Series,
    }

    /// <summary>Rows of the whole message, or false and no rows.</summary>
    public bool TryParse(ReadOnlySpan<byte> json, BatchBuilder rows)
    {
        Refresh(rows);
        var (before, at) = (rows.Count, 0);
        if (!Any(_heads, json, ref at, rows))
        {
            return false;
        }

        do
        {
            if (!Any(_items, json, ref at, rows))
            {
                rows.RollbackTo(before);
                return false;
            }
        }
        while (at < json.Length && json[at] == ',' && ++at > 0);

        if (Any(_tails, json, ref at, rows) && at == json.Length && rows.Count > before)
        {
            return true;
        }

        rows.RollbackTo(before);
        return false;
    }

    /// <summary>Remembers what the target and dimension of an accepted item stand for.</summary>
    public void AddSeries(in JsonItem item, in JsonItem root, ReadOnlySpan<byte> json, int target, DimensionSet dimensions, BatchBuilder rows)
    {
        Refresh(rows);
        if (!root["target"u8].IsNothing || !Region(item, out var start, out var end))
        {
            return;
        }

        var id = _series.Intern(json[start..end]);
        var width = promoted + 2;
        if ((id + 1) * width > _ids.Length)
        {
            Array.Resize(ref _ids, (id + 1) * width * 2);
        }

        _ids[id * width] = target;
        _ids[(id * width) + 1] = dimensions.Map(rows.Maps);
        dimensions.Promoted.CopyTo(_ids.AsSpan((id * width) + 2));
    }

    /// <summary>Learns from a message that the general way took whole.</summary>
    public void Learn(in JsonItem root, ReadOnlySpan<byte> json, BatchBuilder rows)
    {
        var data = root["data"u8];
        if (_items.Count >= ShapesMax || HasRepeats(root) || !root["target"u8].IsNothing)
        {
            return;
        }

        foreach (var item in data.Elements)
        {
            if (_items.Count < ShapesMax && Usable(item))
            {
                AddNew(_items, LearnItem(item, json));
            }
        }

        var (head, tail, cursor, isTail) = (new List<Segment>(), new List<Segment>(), root.Start, false);
        foreach (var value in root.Properties)
        {
            if (value.Start == data.Start)
            {
                head.Add(new Segment(Kind.End, json[cursor..(value.Start + 1)].ToArray(), []));
                (cursor, isTail) = (value.Start + value.Raw.Length - 1, true);
            }
            else if (value.IsNumber)
            {
                (isTail ? tail : head).Add(new Segment(Kind.Skip, json[cursor..value.Start].ToArray(), []));
                cursor = value.Start + value.Raw.Length;
            }
        }

        tail.Add(new Segment(Kind.End, json[cursor..].ToArray(), []));
        AddNew(_heads, [.. head]);
        AddNew(_tails, [.. tail]);
        Name(rows);
    }

    private static void AddNew(List<Segment[]> shapes, Segment[] shape)
    {
        if (shapes.Count < ShapesMax && !shapes.Exists(s => s.Length == shape.Length && s.Zip(shape).All(p => p.First.Kind == p.Second.Kind && p.First.Literal.AsSpan().SequenceEqual(p.Second.Literal))))
        {
            shapes.Add(shape);
        }
    }

    private static bool HasRepeats(in JsonItem item)
    {
        foreach (var value in item.Properties)
        {
            if (item[value.Name].Start != value.Start)
            {
                return true;
            }
        }

        return false;
    }

    private static bool Usable(in JsonItem item) =>
        item["timestamp"u8].IsNumber && !HasRepeats(item) && !HasRepeats(item["metrics"u8]) && Region(item, out _, out _);

    // Target and dimension side by side, in any order, or one of them alone.
    private static bool Region(in JsonItem item, out int start, out int end)
    {
        (start, end) = (-1, -1);
        var (isOpen, isClosed) = (false, false);
        foreach (var value in item.Properties)
        {
            if (value.Name.SequenceEqual("target"u8) || value.Name.SequenceEqual("dimension"u8))
            {
                if (isClosed)
                {
                    return false;
                }

                start = isOpen ? start : value.Start;
                end = value.Start + value.Raw.Length;
                isOpen = true;
            }
            else
            {
                isClosed = isOpen;
            }
        }

        return isOpen && !HasRepeats(item);
    }

    private static Segment[] LearnItem(in JsonItem item, ReadOnlySpan<byte> json)
    {
        Region(item, out var start, out var end);
        var (segments, cursor) = (new List<Segment>(), item.Start);
        foreach (var value in item.Properties)
        {
            if (value.Start == start)
            {
                segments.Add(new Segment(Kind.Series, json[cursor..start].ToArray(), []) { Last = json[end - 1] });
                cursor = end;
            }
            else if (value.Name.SequenceEqual("metrics"u8))
            {
                foreach (var metric in value.Properties)
                {
                    if (metric.IsNumber)
                    {
                        segments.Add(new Segment(Kind.Metric, json[cursor..metric.Start].ToArray(), metric.Name.ToArray()));
                        cursor = metric.Start + metric.Raw.Length;
                    }
                }
            }
            else if (value.IsNumber && value.Start > cursor)
            {
                segments.Add(new Segment(value.Name.SequenceEqual("timestamp"u8) ? Kind.Time : Kind.Skip, json[cursor..value.Start].ToArray(), []));
                cursor = value.Start + value.Raw.Length;
            }
        }

        segments.Add(new Segment(Kind.End, json[cursor..(item.Start + item.Raw.Length)].ToArray(), []));
        for (var i = 0; i + 1 < segments.Count; i++)
        {
            segments[i].Search = [segments[i].Last, .. segments[i + 1].Literal];
        }

        return [.. segments];
    }

    private static bool TryNumber(ReadOnlySpan<byte> json, ref int at, out double value)
    {
        var (start, mantissa, digits, fraction) = (at, 0L, 0, -1);
        var isNegative = at < json.Length && json[at] == '-';
        at += isNegative ? 1 : 0;
        var first = at;
        for (; at < json.Length; at++)
        {
            var digit = (uint)json[at] - '0';
            if (digit <= 9)
            {
                mantissa = (mantissa * 10) + digit;
                digits++;
                fraction += fraction >= 0 ? 1 : 0;
            }
            else if (json[at] == '.' && fraction < 0 && digits > 0)
            {
                fraction = 0;
            }
            else
            {
                break;
            }
        }

        value = 0;
        if (digits == 0 || fraction == 0 || (json[first] == '0' && digits > 1 && json[first + 1] != '.'))
        {
            return false;
        }

        if (digits > 18 || mantissa >= 1L << 53 || fraction > 22)
        {
            return Utf8Parser.TryParse(json[start..at], out value, out _) && double.IsFinite(value);
        }

        value = fraction > 0 ? mantissa / Powers[fraction] : mantissa;
        value = isNegative ? -value : value;
        return true;
    }

    private void Refresh(BatchBuilder rows)
    {
        if (_series.IsFull || !ReferenceEquals(_strings, rows.Strings))
        {
            // Ids of another generation, or of another builder, are void.
            _series = new StringDictionary(16 << 20);
        }

        if (!ReferenceEquals(_strings, rows.Strings))
        {
            _strings = rows.Strings;
            Name(rows);
        }
    }

    private void Name(BatchBuilder rows)
    {
        foreach (var segment in _items.SelectMany(s => s))
        {
            segment.Id = segment.Kind == Kind.Metric ? metrics.Id(segment.Name, rows.Strings) : 0;
        }
    }

    private bool Any(List<Segment[]> shapes, ReadOnlySpan<byte> json, ref int at, BatchBuilder rows)
    {
        foreach (var shape in CollectionsMarshal.AsSpan(shapes))
        {
            var end = at;
            if (Match(shape, json, ref end, rows))
            {
                at = end;
                return true;
            }
        }

        return false;
    }

    private bool Match(Segment[] shape, ReadOnlySpan<byte> json, ref int at, BatchBuilder rows)
    {
        Span<double> values = stackalloc double[64];
        var (time, series, count) = (0L, 0, 0);
        foreach (var segment in shape)
        {
            if (!json[at..].StartsWith(segment.Literal))
            {
                return false;
            }

            at += segment.Literal.Length;
            switch (segment.Kind)
            {
                case Kind.End:
                    break;
                case Kind.Series:
                    var found = json[at..].IndexOf(segment.Search);
                    series = found < 0 ? -1 : _series.Find(json.Slice(at, found + 1));
                    if (series <= 0)
                    {
                        return false;
                    }

                    at += found + 1;
                    break;
                case Kind.Time:
                    if (!Utf8Parser.TryParse(json[at..], out long given, out var used) || json[at] is (byte)'0' or (byte)'-' or (byte)'+' || !EventTime.TryMilliseconds(given, unit, out time))
                    {
                        return false;
                    }

                    at += used;
                    break;
                default:
                    if (count == values.Length || !TryNumber(json, ref at, out var value))
                    {
                        return false;
                    }

                    values[count] = value;
                    count += segment.Kind == Kind.Metric ? 1 : 0;
                    break;
            }
        }

        if (count > 0)
        {
            Write(shape, values, time, series * (promoted + 2), rows);
        }

        return true;
    }

    private void Write(Segment[] shape, ReadOnlySpan<double> values, long time, int series, BatchBuilder rows)
    {
        var next = 0;
        foreach (var segment in shape)
        {
            if (segment.Kind != Kind.Metric)
            {
                continue;
            }

            var value = values[next++];
            if (segment.Id < 0)
            {
                continue;
            }

            rows.SetInt64(0, time);
            rows.SetString(1, segment.Id);
            rows.SetString(2, _ids[series]);
            for (var i = 0; i < promoted; i++)
            {
                rows.SetString(3 + i, _ids[series + 2 + i]);
            }

            rows.SetMap(3 + promoted, _ids[series + 1]);
            rows.SetFloat64(4 + promoted, value);
            rows.CommitRow();
        }
    }

    private sealed class Segment(Kind kind, byte[] literal, byte[] name)
    {
        public Kind Kind { get; } = kind;

        public byte[] Literal { get; } = literal;

        public byte[] Name { get; } = name;

        public byte[] Search { get; set; } = [];

        public byte Last { get; init; }

        public int Id { get; set; }
    }
}
