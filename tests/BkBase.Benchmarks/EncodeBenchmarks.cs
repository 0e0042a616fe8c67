using System.Net;
using BenchmarkDotNet.Attributes;
using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Records;
using ClickHouse.Driver;
using ClickHouse.Driver.ADO;

namespace BkBase.Benchmarks;

/// <summary>
/// Metric rows to the bytes of one insert: the columnar Native encoder from columns, and the driver's row binary from rows
/// of objects. The driver sends to a handler that reads everything and answers, so that encoding alone is measured.
/// </summary>
[MemoryDiagnoser]
[ShortRunJob]
public class EncodeBenchmarks : IDisposable
{
    private const int Rows = 100_000;
    private static readonly string[] Names = ["time", "metric", "target", "bcs_cluster_id", "namespace", "pod", "dimensions", "value"];
    private static readonly Dictionary<string, string> Types = new(StringComparer.Ordinal)
    {
        ["time"] = "DateTime64(3, 'UTC')",
        ["metric"] = "LowCardinality(String)",
        ["target"] = "LowCardinality(String)",
        ["bcs_cluster_id"] = "LowCardinality(String)",
        ["namespace"] = "LowCardinality(String)",
        ["pod"] = "LowCardinality(String)",
        ["dimensions"] = "Map(LowCardinality(String), String)",
        ["value"] = "Float64",
    };

    private readonly NativeEncoder _encoder = new();
    private readonly SwallowingHandler _handler = new();
    private readonly HttpClient _http;
    private readonly ClickHouseClient _client;
    private readonly Schema _schema;
    private readonly BlockPart[] _parts;
    private readonly object[][] _rows;

    public EncodeBenchmarks()
    {
        _http = new HttpClient(_handler);
        _client = new ClickHouseClient(new ClickHouseClientSettings { Host = "localhost", HttpClient = _http, UseCompression = false });
        _schema = new Schema(
        [
            new Field("time", ColumnType.DateTime, FieldRole.Time),
            .. Names[1..6].Select(n => new Field(n, ColumnType.String, FieldRole.Dimension)),
            new Field("dimensions", ColumnType.Map, FieldRole.Dimension),
            new Field("value", ColumnType.Float64, FieldRole.Value),
        ]);
        var builder = new BatchBuilder(_schema);
        _rows = new object[Rows][];
        for (var i = 0; i < Rows; i++)
        {
            var time = 1_767_225_600_000 + (i / 100);
            string[] texts = [$"metric_{i % 2}", $"10.0.0.{i % 250}", $"BCS-K8S-{i % 4:00000}", $"ns-{i % 8}", $"pod-{i % 500:000}"];
            Dictionary<string, string> dimensions = new(StringComparer.Ordinal) { ["bk_biz_id"] = "2", ["instance"] = $"10.0.0.{i % 250}:9100", ["mode"] = $"mode-{i % 8}" };
            builder.SetInt64(0, time);
            for (var t = 0; t < texts.Length; t++)
            {
                builder.SetString(1 + t, builder.Strings.Intern(texts[t]));
            }

            builder.SetMap(6, builder.Maps.Intern([.. dimensions.Select(d => new MapPair(builder.Strings.Intern(d.Key), builder.Strings.Intern(d.Value)))]));
            builder.SetFloat64(7, i / 8.0);
            builder.CommitRow();
            _rows[i] = [DateTimeOffset.FromUnixTimeMilliseconds(time).UtcDateTime, .. texts, dimensions, i / 8.0];
        }

        _parts = [BlockPart.All(builder.Build(new Lineage("metrics", 0, 0, Rows - 1)))];
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Rows)]
    public async Task<long> DriverRowBinary()
    {
        await _client.InsertBinaryAsync("t", Names, _rows, new InsertOptions { ColumnTypes = Types });
        return _handler.Bytes;
    }

    [Benchmark(OperationsPerInvoke = Rows)]
    public int Native() => _encoder.Encode(_schema, _parts, 1).Length;

    public void Dispose()
    {
        _client.Dispose();
        _http.Dispose();
        _handler.Dispose();
        GC.SuppressFinalize(this);
    }

    private sealed class SwallowingHandler : HttpMessageHandler
    {
        public long Bytes { get; private set; }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            using var counter = new CountingStream();
            await request.Content!.CopyToAsync(counter, cancellationToken);
            Bytes = counter.Length;
            return new HttpResponseMessage(HttpStatusCode.OK) { Content = new StringContent("") };
        }
    }

    private sealed class CountingStream : MemoryStream
    {
        private long _length;

        public override long Length => _length;

        public override void Write(byte[] buffer, int offset, int count) => _length += count;

        public override void Write(ReadOnlySpan<byte> buffer) => _length += buffer.Length;

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken)
        {
            _length += count;
            return Task.CompletedTask;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _length += buffer.Length;
            return ValueTask.CompletedTask;
        }
    }
}
