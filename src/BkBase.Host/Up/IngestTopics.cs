using System.Collections.Frozen;
using BkBase.Flows.Definition;

namespace BkBase.Host;

/// <summary>A flow's source that reads a topic.</summary>
internal readonly record struct TopicReader(string Flow, string Source);

/// <summary>A topic that flows read or the configuration names.</summary>
/// <param name="IsKafka">Whether flows read it from Kafka: the embedded log is no place for its records then.</param>
/// <param name="ProxyType">What the collector's push body may hold here: time_series, event, or null for neither.</param>
internal sealed record IngestTopic(string Name, bool IsKafka, string? ProxyType, IReadOnlyList<TopicReader> Readers);

/// <summary>The topics that records may be posted to.</summary>
internal static class IngestTopics
{
    public static FrozenDictionary<string, IngestTopic> Of(IEnumerable<FlowDefinition> flows, bool hasKafka, string further)
    {
        var topics = flows.SelectMany(f => f.Sources.Where(s => s.Settings.Topic is not null).Select(s => (Flow: f.Name, Source: s)))
            .GroupBy(r => r.Source.Settings.Topic!, StringComparer.Ordinal)
            .Select(g => new IngestTopic(
                g.Key,
                hasKafka && g.All(r => r.Source.Type == "kafka"),
                g.Select(r => ProxyTypeOf(r.Source.EtlType)).FirstOrDefault(t => t is not null),
                [.. g.Select(r => new TopicReader(r.Flow, r.Source.Name))]))
            .ToDictionary(t => t.Name, StringComparer.Ordinal);
        foreach (var name in Names(further))
        {
            topics.TryAdd(name, new IngestTopic(name, false, null, []));
        }

        return topics.ToFrozenDictionary(StringComparer.Ordinal);
    }

    /// <summary>Names with commas between.</summary>
    public static IEnumerable<string> Names(string text) => text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static string? ProxyTypeOf(string etl) => etl switch
    {
        "bk_standard_v2_time_series" => "time_series",
        "bk_standard_v2_event" => "event",
        _ => null,
    };
}
