using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// An ETL format at work: turns the payload of one record into rows. Single-threaded by contract; one instance per
/// stage. A bad item never costs its neighbours: it goes to <see cref="EtlOutput.Reject"/>, the rest stays.
/// </summary>
public interface IEtl
{
    /// <summary>Schema of the rows.</summary>
    Schema Schema { get; }

    /// <summary>Parses one payload. Never throws for any bytes.</summary>
    void Parse(ReadOnlySpan<byte> payload, EtlOutput output);
}

/// <summary>Where an <see cref="IEtl"/> writes: rows through <see cref="Rows"/>, refusals through <see cref="Reject"/>.</summary>
public sealed class EtlOutput(Schema schema, long dictionaryBytesMax = StringDictionary.BytesMaxDefault)
{
    private readonly List<Rejection> _rejections = [];
    private long _offset;

    /// <summary>Rows of the batch being built.</summary>
    public BatchBuilder Rows { get; } = new(schema, dictionaryBytesMax);

    /// <summary>When the current record was appended to its topic, Unix milliseconds; 0 when unknown. The future guard and <c>now()</c> use it.</summary>
    public long AppendTime { get; private set; }

    /// <summary>Refusals since the last batch.</summary>
    public IReadOnlyList<Rejection> Rejections => _rejections;

    /// <summary>Records of the batch that left no row and no refusal (empty data, metrics not selected): the format decided to drop them.</summary>
    public long Filtered { get; set; }

    /// <summary>Starts a record.</summary>
    public void BeginRecord(int origin, long offset, long appendTime)
    {
        Rows.BeginRecord(origin);
        _offset = offset;
        AppendTime = appendTime;
    }

    /// <summary>Refuses a record or item. <paramref name="raw"/> is copied up to the sample bound.</summary>
    public void Reject(string reason, string path, string message, ReadOnlySpan<byte> raw, long eventTime = 0) =>
        _rejections.Add(Rejection.Create(reason, path, message, _offset, eventTime, raw) with { AppendTime = AppendTime });

    /// <summary>Forgets the rows and refusals beyond so many.</summary>
    internal void RollbackTo(int rows, int rejections)
    {
        Rows.RollbackTo(rows);
        _rejections.RemoveRange(rejections, _rejections.Count - rejections);
    }

    /// <summary>Hands over the refusals and forgets them.</summary>
    public Rejection[] TakeRejections()
    {
        Rejection[] taken = [.. _rejections];
        _rejections.Clear();
        return taken;
    }
}
