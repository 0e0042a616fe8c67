using System.Text;
using System.Text.Json;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Connectors.Tests.ClickHouse;
using BkBase.Flows.Records;
using CsCheck;

namespace BkBase.Flows.Connectors.Tests.Files;

public sealed class JsonRowWriterTests
{
    private static readonly Schema Texts = new(Schema.Time, new Field("a \"b\"\n", ColumnType.String), new Field("t", ColumnType.Text), new Field("f", ColumnType.Float64), new Field("m", ColumnType.Map), new Field("j", ColumnType.Json));

    [Fact]
    public void EveryTypeReadsBackAsItWas()
    {
        var batch = Rows.Everything(100);
        var writer = new JsonRowWriter(batch.Schema);
        for (var row = 0; row < batch.Count; row++)
        {
            writer.Clear();
            writer.Write(batch, row);
            using var json = JsonDocument.Parse(writer.Written.ToArray());
            Assert.Equal(batch.Schema.Fields.Select(f => f.Name), json.RootElement.EnumerateObject().Select(p => p.Name));
            for (var c = 0; c < batch.Schema.Count; c++)
            {
                AssertSame(batch.Schema[c], batch[c].GetValue(row), json.RootElement.GetProperty(batch.Schema[c].Name));
            }
        }
    }

    [Fact]
    public void AnyBytesGiveOneLineOfValidJson() => Gen.Select(Gen.Byte.Array[0, 60], Gen.String, Gen.Double).Sample((bytes, text, number) =>
    {
        var value = double.IsFinite(number) ? number : 0;
        var builder = new BatchBuilder(Texts);
        builder.SetInt64(0, long.MinValue);
        builder.SetString(1, Encoding.UTF8.GetBytes(text));
        builder.SetText(2, bytes);
        builder.SetFloat64(3, value);
        builder.SetMap(4, builder.Maps.Intern([new MapPair(builder.Strings.Intern(text), builder.Strings.Intern(bytes))]));
        builder.SetText(5, Encoding.UTF8.GetBytes("{\r\n \"x\": " + JsonSerializer.Serialize(text) + "\n}"));
        builder.CommitRow();
        var writer = new JsonRowWriter(Texts);
        writer.Write(builder.Build(new Lineage("s", 0, 0, 0)), 0);
        Assert.Equal(-1, writer.Written.IndexOf((byte)'\n'));
        using var json = JsonDocument.Parse(writer.Written.ToArray());
        var clean = Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)); // lone surrogates have no UTF-8
        Assert.Equal(clean, json.RootElement.GetProperty("a \"b\"\n").GetString());
        Assert.Equal(Encoding.UTF8.GetString(bytes), json.RootElement.GetProperty("t").GetString());
        Assert.Equal(value, json.RootElement.GetProperty("f").GetDouble());
        Assert.Equal(Encoding.UTF8.GetString(bytes), json.RootElement.GetProperty("m").GetProperty(clean).GetString());
        Assert.Equal(clean, json.RootElement.GetProperty("j").GetProperty("x").GetString());
    });

    [Fact]
    public void WritesWithoutGarbage()
    {
        var batch = Rows.Metrics(0, 1_000);
        var writer = new JsonRowWriter(batch.Schema);
        Write();
        var before = GC.GetAllocatedBytesForCurrentThread();
        Write();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Write()
        {
            for (var row = 0; row < batch.Count; row++)
            {
                writer.Write(batch, row);
                writer.WriteLine();
            }

            writer.Clear();
        }
    }

    private static void AssertSame(Field field, object? expected, JsonElement actual)
    {
        switch (expected)
        {
            case null: Assert.Equal(JsonValueKind.Null, actual.ValueKind); break;
            case bool b: Assert.Equal(b, actual.GetBoolean()); break;
            case int i: Assert.Equal(i, actual.GetInt32()); break;
            case long l: Assert.Equal(l, actual.GetInt64()); break;
            case double d: Assert.Equal(d, actual.GetDouble()); break;
            case string s when field.Type == ColumnType.Json: Assert.Equal(s.Length == 0 ? "null" : s, actual.GetRawText()); break;
            case string s: Assert.Equal(s, actual.GetString()); break;
            case IReadOnlyDictionary<string, string> m: Assert.Equal(m, actual.EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!)); break;
            default: Assert.Fail($"a {expected.GetType()}"); break;
        }
    }
}
