namespace BkBase.Lab;

/// <summary>The kinds of message a monitoring platform sends, one topic each.</summary>
public enum LabTopic
{
    /// <summary>bk_standard_v2_time_series, data id 1572865.</summary>
    Metrics,

    /// <summary>bk_standard_v2_event, data id 1572867.</summary>
    Events,

    /// <summary>bk_flat_batch container logs, data id 1200177.</summary>
    Logs,

    /// <summary>bk_flat_batch OTLP spans, data id 1100100.</summary>
    Spans,
}

/// <summary>A set of topics.</summary>
[Flags]
public enum LabTopics
{
    /// <summary>No topic.</summary>
    None = 0,

    /// <summary>Metrics.</summary>
    Metrics = 1,

    /// <summary>Kubernetes events.</summary>
    Events = 2,

    /// <summary>Container logs.</summary>
    Logs = 4,

    /// <summary>Spans.</summary>
    Spans = 8,

    /// <summary>Every topic.</summary>
    All = 15,
}

/// <summary>Names and data ids of topics.</summary>
public static class LabTopicNames
{
    /// <summary>The platform's data id of the topic.</summary>
    public static int DataId(this LabTopic topic) => topic switch
    {
        LabTopic.Metrics => 1_572_865,
        LabTopic.Events => 1_572_867,
        LabTopic.Logs => 1_200_177,
        _ => 1_100_100,
    };

    /// <summary>The Kafka topic: 0bkmonitor_ and the data id followed by 0.</summary>
    public static string TopicName(this LabTopic topic) => topic switch
    {
        LabTopic.Metrics => "0bkmonitor_15728650",
        LabTopic.Events => "0bkmonitor_15728670",
        LabTopic.Logs => "0bkmonitor_12001770",
        _ => "0bkmonitor_11001000",
    };
}
