using System.Text.Json;
using System.Text.Json.Serialization;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Benchmarks;

/// <summary>The parsers that are compared, each over one corpus: the same rows into the same builder, or objects alone.</summary>
public sealed class ParseSubjects
{
    private const int BatchRecords = 1024;
    private static readonly MetricOptions Options = new(["bcs_cluster_id", "namespace", "pod"], [], new Dictionary<string, string>(), new Dictionary<string, string>());

    private readonly byte[][] _messages;
    private readonly bool _churns;
    private readonly TimeSeriesEtl _fast = new(Options);
    private readonly TimeSeriesEtl _general = new(Options, isGeneral: true);
    private readonly EtlOutput _fastOut = new(Options.Schema);
    private readonly EtlOutput _generalOut = new(Options.Schema);
    private readonly BatchBuilder _dtoRows = new(Options.Schema);
    private readonly List<MapPair> _pairs = [];
    private long _number;

    public ParseSubjects(string corpus)
    {
        _messages = ParseCorpus.Make(corpus);
        _churns = corpus == "churn";
    }

    /// <summary>Payload bytes of the corpus.</summary>
    public long Bytes => _messages.Sum(m => (long)m.Length);

    /// <summary>The product's parser, batches built. Returns rows.</summary>
    public int Etl() => Run(_fast, _fastOut, build: true);

    /// <summary>The product's parser, rows forgotten instead of built.</summary>
    public int EtlParseOnly() => Run(_fast, _fastOut, build: false);

    /// <summary>The product's general way alone (a plain reader over every token), batches built.</summary>
    public int General() => Run(_general, _generalOut, build: true);

    /// <summary>System.Text.Json, source generated: objects and nothing else. Returns their metrics.</summary>
    public int Dto()
    {
        var made = 0;
        foreach (var message in _messages)
        {
            Next(message);
            foreach (var item in JsonSerializer.Deserialize(message, DtoContext.Default.MessageDto)!.Data)
            {
                made += item.Metrics.Count;
            }
        }

        return made;
    }

    /// <summary>System.Text.Json, source generated, then the rows that the product's parser makes.</summary>
    public int DtoRows()
    {
        var (made, records) = (0, 0);
        foreach (var message in _messages)
        {
            Next(message);
            foreach (var item in JsonSerializer.Deserialize(message, DtoContext.Default.MessageDto)!.Data)
            {
                Append(item);
            }

            if (++records % BatchRecords == 0)
            {
                made += _dtoRows.Build(default).Count;
            }
        }

        return made + _dtoRows.Build(default).Count;
    }

    private int Run(TimeSeriesEtl etl, EtlOutput output, bool build)
    {
        var (made, records) = (0, 0);
        foreach (var message in _messages)
        {
            Next(message);
            output.BeginRecord(records, records, 0);
            etl.Parse(message, output);
            if (++records % BatchRecords == 0)
            {
                made += Finish(output, build);
            }
        }

        return made + Finish(output, build);
    }

    private static int Finish(EtlOutput output, bool build)
    {
        var rows = output.Rows.Count;
        if (build)
        {
            output.Rows.Build(default);
        }
        else
        {
            output.Rows.RollbackTo(0);
        }

        return output.Rejections.Count == 0 ? rows : throw new InvalidOperationException("a benchmark's record was refused");
    }

    private void Next(byte[] message)
    {
        if (_churns)
        {
            ParseCorpus.Churn(message, _number++);
        }
    }

    private void Append(ItemDto item)
    {
        var strings = _dtoRows.Strings;
        var target = item.Target is null ? 0 : strings.Intern(item.Target);
        var (cluster, space, pod) = (0, 0, 0);
        _pairs.Clear();
        foreach (var (name, text) in item.Dimension)
        {
            switch (name)
            {
                case "bcs_cluster_id": cluster = strings.Intern(text); break;
                case "namespace": space = strings.Intern(text); break;
                case "pod": pod = strings.Intern(text); break;
                default: _pairs.Add(new MapPair(strings.Intern(name), strings.Intern(text))); break;
            }
        }

        var map = _dtoRows.Maps.Intern(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_pairs));
        foreach (var (name, value) in item.Metrics)
        {
            _dtoRows.SetInt64(0, item.Timestamp);
            _dtoRows.SetString(1, strings.Intern(name));
            _dtoRows.SetString(2, target);
            _dtoRows.SetString(3, cluster);
            _dtoRows.SetString(4, space);
            _dtoRows.SetString(5, pod);
            _dtoRows.SetMap(6, map);
            _dtoRows.SetFloat64(7, value);
            _dtoRows.CommitRow();
        }
    }
}

/// <summary>A message as objects.</summary>
public sealed class MessageDto
{
    [JsonPropertyName("dataid")]
    public long DataId { get; set; }

    [JsonPropertyName("version")]
    public string? Version { get; set; }

    [JsonPropertyName("data")]
    public List<ItemDto> Data { get; set; } = [];
}

/// <summary>An item as an object.</summary>
public sealed class ItemDto
{
    [JsonPropertyName("metrics")]
    public Dictionary<string, double> Metrics { get; set; } = [];

    [JsonPropertyName("target")]
    public string? Target { get; set; }

    [JsonPropertyName("dimension")]
    public Dictionary<string, string> Dimension { get; set; } = [];

    [JsonPropertyName("timestamp")]
    public long Timestamp { get; set; }
}

[JsonSerializable(typeof(MessageDto))]
internal sealed partial class DtoContext : JsonSerializerContext;
