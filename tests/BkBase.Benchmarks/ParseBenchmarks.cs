using BenchmarkDotNet.Attributes;

namespace BkBase.Benchmarks;

/// <summary>Metric records to rows: the product's parser beside System.Text.Json source-generated objects. Figures are per record.</summary>
[MemoryDiagnoser]
[ShortRunJob]
public class ParseBenchmarks
{
    private ParseSubjects _subjects = null!;

    /// <summary>What is read; see <see cref="ParseCorpus"/>.</summary>
    [ParamsSource(nameof(Corpora))]
    public string Corpus { get; set; } = "same";

    /// <summary>Values of <see cref="Corpus"/>.</summary>
    public static IEnumerable<string> Corpora => ParseCorpus.Names;

    [GlobalSetup]
    public void Setup() => _subjects = new ParseSubjects(Corpus);

    /// <summary>Objects alone.</summary>
    [Benchmark(Baseline = true, OperationsPerInvoke = ParseCorpus.Records)]
    public int StjDto() => _subjects.Dto();

    /// <summary>Objects, then rows and batches.</summary>
    [Benchmark(OperationsPerInvoke = ParseCorpus.Records)]
    public int StjDtoToRows() => _subjects.DtoRows();

    /// <summary>Rows and batches; what is allocated are the batches' columns.</summary>
    [Benchmark(OperationsPerInvoke = ParseCorpus.Records)]
    public int Etl() => _subjects.Etl();

    /// <summary>Rows into the reused builder, no batches.</summary>
    [Benchmark(OperationsPerInvoke = ParseCorpus.Records)]
    public int EtlParseOnly() => _subjects.EtlParseOnly();

    /// <summary>Rows and batches by the general way alone.</summary>
    [Benchmark(OperationsPerInvoke = ParseCorpus.Records)]
    public int EtlGeneral() => _subjects.General();
}
