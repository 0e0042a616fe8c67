using System.Buffers;
using System.Runtime.InteropServices;

namespace BkBase.Lab;

/// <summary>What one message was.</summary>
/// <param name="Topic">Where it goes.</param>
/// <param name="EventTime">When it happened, Unix milliseconds.</param>
/// <param name="KeyHash">The hash of its partition key.</param>
/// <param name="Bytes">Its length, bytes; 0 when every stream is at its end.</param>
/// <param name="Records">The items, lines or spans in it.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct LabRecord(LabTopic Topic, long EventTime, ulong KeyHash, int Bytes, int Records)
{
    /// <summary>The partition among so many.</summary>
    public int Partition(int partitions) => (int)(KeyHash % (ulong)partitions);
}

/// <summary>Mixes the streams of a world in the order of event time.</summary>
public sealed class LabGenerator
{
    private readonly LabStream[] _streams;

    /// <summary>Builds the world of the options and its streams.</summary>
    public LabGenerator(LabOptions options)
        : this(new LabWorld(options))
    {
    }

    /// <summary>Mixes the streams of a world.</summary>
    public LabGenerator(LabWorld world)
    {
        ArgumentNullException.ThrowIfNull(world);
        World = world;
        var streams = new List<LabStream>(4);
        var topics = world.Options.Topics;
        if (topics.HasFlag(LabTopics.Metrics))
        {
            streams.Add(new MetricStream(world));
        }

        if (topics.HasFlag(LabTopics.Events))
        {
            streams.Add(new EventStream(world));
        }

        if (topics.HasFlag(LabTopics.Logs))
        {
            streams.Add(new LogStream(world));
        }

        if (topics.HasFlag(LabTopics.Spans))
        {
            streams.Add(new SpanStream(world));
        }

        _streams = [.. streams];
    }

    /// <summary>The simulated clusters.</summary>
    public LabWorld World { get; }

    /// <summary>The event time of the next message, Unix milliseconds; long.MaxValue when there is none.</summary>
    public long NextTime
    {
        get
        {
            var next = long.MaxValue;
            foreach (var stream in _streams)
            {
                next = Math.Min(next, stream.NextTime);
            }

            return next;
        }
    }

    /// <summary>Appends the next message, UTF-8 JSON without a newline, and says what it was.</summary>
    public LabRecord Next(IBufferWriter<byte> into)
    {
        LabStream? first = null;
        foreach (var stream in _streams)
        {
            if (first is null || stream.NextTime < first.NextTime)
            {
                first = stream;
            }
        }

        if (first is null || first.NextTime == long.MaxValue)
        {
            return default;
        }

        var time = first.NextTime;
        var bytes = first.Write(into);
        return new LabRecord(first.Topic, time, first.KeyHash, bytes, first.Records);
    }

    /// <summary>Appends the next message and returns its bytes.</summary>
    public int Next(out LabTopic topic, IBufferWriter<byte> into)
    {
        var record = Next(into);
        topic = record.Topic;
        return record.Bytes;
    }
}
