using System.Text.Json;
using BkBase.Lab;

namespace BkBase.Host.Bench;

/// <summary>What a child process of the benchmark is to do; handed over as one argument.</summary>
internal sealed record BenchTask
{
    /// <summary>consume, parse, encode, insert, whole, naive or storage.</summary>
    public string Stage { get; init; } = "";

    /// <summary>Messages to send or take.</summary>
    public required long Records { get; init; }

    /// <summary>Messages before them that make the code warm and are not measured.</summary>
    public required long WarmRecords { get; init; }

    public required int Partitions { get; init; }

    public required ulong Seed { get; init; }

    /// <summary>Whether messages vary among five shapes.</summary>
    public required bool Mixed { get; init; }

    /// <summary>Event time of the first message, Unix milliseconds.</summary>
    public required long Start { get; init; }

    /// <summary>Whether the feed sends without heed of what the broker keeps.</summary>
    public bool Unpaced { get; init; }

    /// <summary>File with the reader's position in each partition.</summary>
    public required string Board { get; init; }

    /// <summary>Data directory of the store, which serves already.</summary>
    public required string Store { get; init; }

    /// <summary>host:port of the broker.</summary>
    public string Bootstrap { get; init; } = "";

    public int StorePid { get; init; }

    public int BrokerPid { get; init; }

    public const string Topic = "0bkmonitor_bench";

    public const string WarmTopic = "0bkmonitor_warm";

    /// <summary>Rows of one message of the benchmark's stream.</summary>
    public const int RowsPerRecord = 2;

    public static BenchTask Read(string text) => JsonSerializer.Deserialize<BenchTask>(text)!;

    public override string ToString() => JsonSerializer.Serialize(this);

    /// <summary>The stream of messages; warm ones come of another seed.</summary>
    public LabStream Stream(bool warm) => new BenchmarkStream(new LabOptions { Seed = warm ? Seed + 1 : Seed, MixedShapes = Mixed, Start = Start });
}

/// <summary>What one run of one stage took.</summary>
internal sealed record StageFigures
{
    public string Stage { get; init; } = "";

    /// <summary>Messages taken.</summary>
    public long Records { get; init; }

    /// <summary>Rows made of them; of stages that write: rows found in the table.</summary>
    public long Rows { get; init; }

    /// <summary>Sum of the rows' event times, of stages that write: with <see cref="Rows"/> it tells lost rows from doubled ones.</summary>
    public string? Times { get; init; }

    public double Seconds { get; init; }

    /// <summary>Of the stage's own process.</summary>
    public double CpuSeconds { get; init; }

    /// <summary>Elapsed while code was compiled, on any thread: a run too short to be warm, or a busy machine, shows here.</summary>
    public double CompileSeconds { get; init; }

    public double StoreCpuSeconds { get; init; }

    public double BrokerCpuSeconds { get; init; }

    /// <summary>Of processes that are no part of the benchmark.</summary>
    public double OtherCpuSeconds { get; init; }

    public long BytesAllocated { get; init; }

    /// <summary>Largest resident memory of the stage's process.</summary>
    public long PeakMemoryBytes { get; init; }

    public double RecordsPerSecond => Records / Math.Max(Seconds, 1e-9);

    public double RecordsPerCpuSecond => Records / Math.Max(CpuSeconds, 1e-9);

    public double BytesAllocatedPerRecord => BytesAllocated / (double)Math.Max(Records, 1);

    /// <summary>Several runs of one stage as one: sums, and the largest peak.</summary>
    public static StageFigures Sum(IReadOnlyList<StageFigures> runs) => new()
    {
        Stage = runs[0].Stage,
        Records = runs.Sum(r => r.Records),
        Rows = runs.Sum(r => r.Rows),
        Seconds = runs.Sum(r => r.Seconds),
        CpuSeconds = runs.Sum(r => r.CpuSeconds),
        CompileSeconds = runs.Sum(r => r.CompileSeconds),
        StoreCpuSeconds = runs.Sum(r => r.StoreCpuSeconds),
        BrokerCpuSeconds = runs.Sum(r => r.BrokerCpuSeconds),
        OtherCpuSeconds = runs.Sum(r => r.OtherCpuSeconds),
        BytesAllocated = runs.Sum(r => r.BytesAllocated),
        PeakMemoryBytes = runs.Max(r => r.PeakMemoryBytes),
    };
}
