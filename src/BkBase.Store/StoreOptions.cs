namespace BkBase.Store;

/// <summary>What one store process serves, and within which limits.</summary>
/// <param name="DataDirectory">The directory that holds the tables; made when missing.</param>
public sealed record StoreOptions(string DataDirectory)
{
    /// <summary>The name of the user whose requests are read only and limited.</summary>
    public const string AnalystUser = "analyst";

    /// <summary>The loopback port; 0 takes any free one.</summary>
    public int Port { get; init; }

    /// <summary>The engine's memory for everything together.</summary>
    public long MaxServerMemoryBytes { get; init; } = 4L << 30;

    /// <summary>Statements that run at the same time; others wait.</summary>
    public int MaxConnections { get; init; } = 16;

    /// <summary>Sessions (temporary tables, settings) that are kept at the same time.</summary>
    public int MaxSessions { get; init; } = 32;

    /// <summary>Statements of analysts that run at the same time, a part of <see cref="MaxConnections"/>.</summary>
    public int AnalystMaxConnections { get; init; } = 4;

    /// <summary>The longest statement of an analyst.</summary>
    public TimeSpan AnalystMaxExecutionTime { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The memory of one statement of an analyst.</summary>
    public long AnalystMaxMemory { get; init; } = 1L << 30;

    /// <summary>The threads of one statement of an analyst.</summary>
    public int AnalystMaxThreads { get; init; } = 2;

    /// <summary>The rows of one result of an analyst.</summary>
    public long AnalystMaxResultRows { get; init; } = 1_000_000;

    /// <summary>When set, the store ends as soon as this process is gone.</summary>
    public int? ParentPid { get; init; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
