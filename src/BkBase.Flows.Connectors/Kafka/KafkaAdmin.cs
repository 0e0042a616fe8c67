using Confluent.Kafka;
using Confluent.Kafka.Admin;

namespace BkBase.Flows.Connectors.Kafka;

/// <summary>First offset kept and offset of the next record, of one partition.</summary>
public readonly record struct PartitionBounds(long Low, long High);

/// <summary>
/// What readers ask a cluster beside records: partitions, bounds, offsets by time, and the committed offsets of groups.
/// Failures are <see cref="KafkaException"/>s. Safe from any thread. An interface because librdkafka's mock cluster
/// knows neither offsets by time nor new partitions.
/// </summary>
public interface ITopicAdmin : IDisposable
{
    /// <summary>What the client last complained of; null when all is well.</summary>
    string? Trouble => null;

    /// <summary>Numbers of the topic's partitions, rising; null when there is no such topic.</summary>
    Task<IReadOnlyList<int>?> PartitionsAsync(string topic);

    /// <summary>Bounds of the partitions.</summary>
    Task<IReadOnlyDictionary<int, PartitionBounds>> BoundsAsync(string topic, IReadOnlyList<int> partitions);

    /// <summary>First offset at the time (Unix milliseconds) or later; a partition without one is absent.</summary>
    Task<IReadOnlyDictionary<int, long>> OffsetsAtAsync(string topic, IReadOnlyList<int> partitions, long time);

    /// <summary>Offset of the next record to read, as the group committed it; a partition without one is absent.</summary>
    Task<IReadOnlyDictionary<int, long>> CommittedAsync(string group, string topic, IReadOnlyList<int> partitions);

    /// <summary>Commits offsets (of the next record to read) for the group.</summary>
    Task CommitAsync(string group, string topic, IReadOnlyList<(int Partition, long Offset)> offsets);
}

/// <summary>One client for all flows of the process: groups need no member to have offsets.</summary>
public sealed class KafkaAdmin : ITopicAdmin
{
    private readonly KafkaOptions _options;
    private readonly ClientTrouble _trouble;
    private readonly SemaphoreSlim _gate = new(1);
    private readonly IAdminClient _client;
    private Error? _failure;
    private int _failures;

    /// <exception cref="KafkaFailureException">A setting cannot be used.</exception>
    public KafkaAdmin(KafkaOptions options)
    {
        (_options, _trouble) = (options, new ClientTrouble(options));
        _client = options.Build(() => new AdminClientBuilder(new AdminClientConfig(options.Client()))
            .SetErrorHandler((_, e) => _trouble.Add(e))
            .SetLogHandler((_, _) => { })
            .Build());
    }

    public string? Trouble => _trouble.Text;

    public async Task<IReadOnlyList<int>?> PartitionsAsync(string topic)
    {
        // The client's call blocks a thread: one at a time, and who has waited behind a failure shares it.
        var failures = Volatile.Read(ref _failures);
        await _gate.WaitAsync();
        try
        {
            if (_failure is { } shared && _failures > failures)
            {
                throw new KafkaException(shared);
            }

            var found = (await Task.Run(() => _client.GetMetadata(topic, _options.RequestTimeout))).Topics.FirstOrDefault(t => t.Topic == topic);
            _trouble.Clear();
            return found is null || KafkaErrors.IsUnknownTopic(found.Error) || (!found.Error.IsError && found.Partitions.Count == 0) ? null
                : found.Error.IsError ? throw new KafkaException(found.Error)
                : [.. found.Partitions.Select(p => p.PartitionId).Order()];
        }
        catch (KafkaException e)
        {
            _failure = e.Error;
            _failures++;
            throw;
        }
        finally
        {
            _gate.Release();
        }
    }

    public async Task<IReadOnlyDictionary<int, PartitionBounds>> BoundsAsync(string topic, IReadOnlyList<int> partitions)
    {
        var low = await OffsetsAsync(topic, partitions, OffsetSpec.Earliest());
        var high = await OffsetsAsync(topic, partitions, OffsetSpec.Latest());
        return partitions.ToDictionary(p => p, p => new PartitionBounds(low[p], Math.Max(low[p], high[p])));
    }

    public async Task<IReadOnlyDictionary<int, long>> OffsetsAtAsync(string topic, IReadOnlyList<int> partitions, long time) =>
        (await OffsetsAsync(topic, partitions, OffsetSpec.ForTimestamp(time))).Where(o => o.Value >= 0).ToDictionary();

    public async Task<IReadOnlyDictionary<int, long>> CommittedAsync(string group, string topic, IReadOnlyList<int> partitions)
    {
        try
        {
            var found = await _client.ListConsumerGroupOffsetsAsync(
                [new ConsumerGroupTopicPartitions(group, [.. partitions.Select(p => new TopicPartition(topic, p))])],
                new ListConsumerGroupOffsetsOptions { RequestTimeout = _options.RequestTimeout });
            return found[0].Partitions.Where(p => !p.Offset.IsSpecial).ToDictionary(p => p.Partition.Value, p => p.Offset.Value);
        }
        catch (ListConsumerGroupOffsetsException e)
        {
            throw First(e, e.Results[0].Error, e.Results[0].Partitions);
        }
    }

    public async Task CommitAsync(string group, string topic, IReadOnlyList<(int Partition, long Offset)> offsets)
    {
        try
        {
            await _client.AlterConsumerGroupOffsetsAsync(
                [new ConsumerGroupTopicPartitionOffsets(group, [.. offsets.Select(o => new TopicPartitionOffset(topic, o.Partition, o.Offset))])],
                new AlterConsumerGroupOffsetsOptions { RequestTimeout = _options.RequestTimeout });
        }
        catch (AlterConsumerGroupOffsetsException e)
        {
            throw First(e, e.Results[0].Error, e.Results[0].Partitions);
        }
    }

    public void Dispose()
    {
        _client.Dispose();
        _gate.Dispose();
    }

    private async Task<Dictionary<int, long>> OffsetsAsync(string topic, IReadOnlyList<int> partitions, OffsetSpec spec)
    {
        if (partitions.Count == 0)
        {
            return [];
        }

        var asked = partitions.Select(p => new TopicPartitionOffsetSpec { TopicPartition = new TopicPartition(topic, p), OffsetSpec = spec });
        try
        {
            var found = await _client.ListOffsetsAsync(asked, new ListOffsetsOptions { RequestTimeout = _options.RequestTimeout });
            return found.ResultInfos.ToDictionary(r => r.TopicPartitionOffsetError.Partition.Value, r => r.TopicPartitionOffsetError.Offset.Value);
        }
        catch (ListOffsetsException e)
        {
            throw First(e, e.Result.Error, [.. e.Result.ResultInfos.Select(r => r.TopicPartitionOffsetError)]);
        }
    }

    // The client's own exception only says that something in its lists went wrong.
    private static KafkaException First(KafkaException e, Error? whole, IReadOnlyList<TopicPartitionOffsetError> parts) =>
        new(parts.Select(p => p.Error).FirstOrDefault(p => p.IsError) ?? (whole is { IsError: true } ? whole : e.Error), e);
}
