using BkBase.Flows.Connectors.Kafka;

namespace BkBase.Flows.Connectors.Tests.Kafka;

/// <summary>The real admin client where a test has no script for an answer: what the mock cluster cannot do is said here.</summary>
internal sealed class ScriptedAdmin(KafkaOptions options) : ITopicAdmin
{
    private readonly KafkaAdmin _real = new(options);

    /// <summary>In the place of the partitions found; null as an answer is "no such topic".</summary>
    public Func<IReadOnlyList<int>?, IReadOnlyList<int>?> Partitions { get; set; } = found => found;

    /// <summary>In the place of the offset at a time.</summary>
    public Func<int, long, long?>? OffsetAt { get; set; }

    /// <summary>In the place of committed offsets.</summary>
    public Dictionary<int, long>? Committed { get; set; }

    /// <summary>In the place of the first offsets of partitions.</summary>
    public long? Low { get; set; }

    /// <summary>What was committed.</summary>
    public List<(string Group, int Partition, long Offset)> Commits { get; } = [];

    public string? Trouble => _real.Trouble;

    public async Task<IReadOnlyList<int>?> PartitionsAsync(string topic) => Partitions(await _real.PartitionsAsync(topic));

    public async Task<IReadOnlyDictionary<int, PartitionBounds>> BoundsAsync(string topic, IReadOnlyList<int> partitions) =>
        (await _real.BoundsAsync(topic, partitions)).ToDictionary(b => b.Key, b => b.Value with { Low = Low ?? b.Value.Low });

    public async Task<IReadOnlyDictionary<int, long>> OffsetsAtAsync(string topic, IReadOnlyList<int> partitions, long time) => OffsetAt is null
        ? await _real.OffsetsAtAsync(topic, partitions, time)
        : partitions.Where(p => OffsetAt(p, time) is not null).ToDictionary(p => p, p => OffsetAt(p, time)!.Value);

    public async Task<IReadOnlyDictionary<int, long>> CommittedAsync(string group, string topic, IReadOnlyList<int> partitions) =>
        Committed ?? await _real.CommittedAsync(group, topic, partitions);

    public async Task CommitAsync(string group, string topic, IReadOnlyList<(int Partition, long Offset)> offsets)
    {
        await _real.CommitAsync(group, topic, offsets);
        lock (Commits)
        {
            Commits.AddRange(offsets.Select(o => (group, o.Partition, o.Offset)));
        }
    }

    public void Dispose() => _real.Dispose();
}
