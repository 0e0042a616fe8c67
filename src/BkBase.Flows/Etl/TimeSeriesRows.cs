using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Rows of one time series item on their way into a batch, and what was learned about names and dimensions seen before.</summary>
internal sealed class TimeSeriesRows
{
    private const int SeriesBytesMax = 1 << 24;
    private const int NameBytesMax = 1 << 18;

    private readonly int _promoted;
    private readonly MetricNames _names;
    private readonly SpanCache _series;
    private readonly SpanCache _ids = new(1, NameBytesMax);
    private readonly int[] _current;
    private int[] _metrics = new int[64];
    private double[] _values = new double[64];
    private int _count;
    private StringDictionary? _generation;

    public TimeSeriesRows(MetricOptions options)
    {
        _promoted = options.Dimensions.Count;
        _names = new MetricNames(options);
        _series = new SpanCache(_promoted + 2, SeriesBytesMax);
        _current = new int[_promoted + 2];
        Dimensions = new DimensionSet(options.Dimensions, options.DimensionReplace);
    }

    /// <summary>Dimensions being read; <see cref="KeepSeries"/> takes them over.</summary>
    public DimensionSet Dimensions { get; }

    /// <summary>Starts an item.</summary>
    public void Begin(BatchBuilder rows)
    {
        if (!ReferenceEquals(_generation, rows.Strings))
        {
            // Ids of another generation, or of another builder, are void.
            _generation = rows.Strings;
            _series.Clear();
            _ids.Clear();
        }

        _count = 0;
        Array.Clear(_current);
    }

    /// <summary>Takes the dimensions that were once written in these bytes. False when they are new.</summary>
    public bool TrySeries(ReadOnlySpan<byte> dimension)
    {
        var known = _series.Find(dimension);
        known.CopyTo(_current);
        return !known.IsEmpty;
    }

    /// <summary>Takes <see cref="Dimensions"/>, and remembers that <paramref name="dimension"/> means them.</summary>
    public void KeepSeries(ReadOnlySpan<byte> dimension, BatchBuilder rows)
    {
        _current[0] = Dimensions.Map(rows.Maps);
        _current[1] = Math.Max(0, Dimensions.Target);
        Dimensions.Promoted.CopyTo(_current.AsSpan(2));
        if (!dimension.IsEmpty && _series.Find(dimension).IsEmpty)
        {
            _series.Add(dimension, _current);
        }
    }

    /// <summary>String id of a metric, or -1 when it is not selected.</summary>
    public int Metric(ReadOnlySpan<byte> name, BatchBuilder rows)
    {
        var known = _ids.Find(name);
        if (!known.IsEmpty)
        {
            return known[0];
        }

        var id = _names.Id(name, rows.Strings);
        _ids.Add(name, [id]);
        return id;
    }

    /// <summary>Whether a metric of that id has a value in this item already.</summary>
    public bool Has(int metric) => _metrics.AsSpan(0, _count).Contains(metric);

    /// <summary>One row more.</summary>
    public void Add(int metric, double value)
    {
        if (_count == _values.Length)
        {
            Array.Resize(ref _metrics, _count * 2);
            Array.Resize(ref _values, _count * 2);
        }

        _metrics[_count] = metric;
        _values[_count++] = value;
    }

    /// <summary>Ends the item: its rows are in the batch.</summary>
    /// <param name="time">Unix milliseconds.</param>
    /// <param name="target">String id of its target; -1 for that of its dimensions.</param>
    /// <param name="rows">The batch.</param>
    public void Commit(long time, int target, BatchBuilder rows)
    {
        if (_count == 0)
        {
            return;
        }

        rows.FillInt64(0, time, _count);
        rows.FillIds(1, _metrics.AsSpan(0, _count));
        rows.FillId(2, target < 0 ? _current[1] : target, _count);
        for (var i = 0; i < _promoted; i++)
        {
            rows.FillId(3 + i, _current[2 + i], _count);
        }

        rows.FillId(3 + _promoted, _current[0], _count);
        rows.FillFloat64(4 + _promoted, _values.AsSpan(0, _count));
        rows.CommitRows(_count);
    }
}
