using System.Buffers;

namespace BkBase.Lab;

/// <summary>An endless stream of messages of one topic in the order of their event times.</summary>
public abstract class LabStream
{
    private protected LabStream(LabTopic topic) => Topic = topic;

    /// <summary>The topic of every message.</summary>
    public LabTopic Topic { get; }

    /// <summary>The event time of the message the next call writes, Unix milliseconds; long.MaxValue when there is none.</summary>
    public long NextTime { get; private protected set; }

    /// <summary>The partition key hash of the message written last: equal for equal series, pods, objects and traces.</summary>
    public ulong KeyHash { get; private protected set; }

    /// <summary>The records (items, lines, spans) of the message written last.</summary>
    public int Records { get; private protected set; }

    private protected LabPen Pen { get; } = new();

    /// <summary>Appends the next message, UTF-8 JSON without a newline, and returns its bytes.</summary>
    public int Write(IBufferWriter<byte> into)
    {
        ArgumentNullException.ThrowIfNull(into);
        if (NextTime == long.MaxValue)
        {
            return 0;
        }

        Pen.Clear();
        Compose();
        into.Write(Pen.Written);
        return Pen.Length;
    }

    private protected abstract void Compose();

    /// <summary>The fields the GSE output adds after the data.</summary>
    private protected void Gse(LabNode node, long index)
    {
        Pen.Raw(",\"bizid\":0,\"bk_biz_id\":"u8);
        Pen.Int(node.Cluster.BizId);
        Pen.Raw(",\"cloudid\":0,\"ip\":\""u8);
        Pen.Raw(node.IpBytes);
        Pen.Raw("\",\"hostname\":\""u8);
        Pen.Raw(node.NameBytes);
        Pen.Raw("\",\"gseindex\":"u8);
        Pen.Int(index);
        Pen.Raw(",\"bk_agent_id\":\"\",\"bk_host_id\":"u8);
        Pen.Int((node.Cluster.Index * 100_000) + node.Index + 1);
    }
}
