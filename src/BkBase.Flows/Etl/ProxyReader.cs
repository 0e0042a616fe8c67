using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>Reads one <see cref="ProxyRequest"/>.</summary>
internal sealed class ProxyReader : IDisposable
{
    private const string TimeSeries = "time_series";
    private const string Event = "event";

    private readonly ProxyRules _rules;
    private readonly long _now;
    private readonly JsonTape _tape = new();
    private readonly ArrayBufferWriter<byte> _item = new();
    private readonly ArrayBufferWriter<byte> _items = new();
    private readonly Utf8JsonWriter _writer;
    private readonly List<ReadOnlyMemory<byte>> _records = [];
    private ProxyError? _error;

    public ProxyReader(ProxyRules rules, long now)
    {
        (_rules, _now) = (rules, now);
        _writer = new Utf8JsonWriter(_item, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
    }

    public (ProxyRequest? Request, ProxyError? Error) Read(ReadOnlySpan<byte> body)
    {
        if (_tape.Read(body, out _) is { } reason)
        {
            return (null, new ProxyError(reason, "", reason switch
            {
                RejectReason.TooDeep => $"a body is nested at most {JsonTape.DepthMax} levels deep",
                RejectReason.BadEncoding => "a body is UTF-8",
                _ => body.Trim("\0\n\r\t "u8).IsEmpty ? "the body is empty; it is one JSON object with data_id and data" : "the body is not JSON; it is one JSON object with data_id and data",
            }));
        }

        var root = _tape.Root(body);
        if (ReadHead(root, out var dataId) && ReadItems(root["data"u8], root, dataId, out var type, out var count))
        {
            return (new ProxyRequest(dataId, TextOf(root["access_token"u8]), type, count, _records), null);
        }

        return (null, _error);
    }

    public void Dispose() => _writer.Dispose();

    private static string TextOf(in JsonItem value) => value.IsText ? value.String : "";

    private static bool IsName(ReadOnlySpan<byte> name) =>
        !name.IsEmpty && name[0] is not (>= (byte)'0' and <= (byte)'9') && !name.ContainsAnyExcept(NameBytes);

    private static readonly SearchValues<byte> NameBytes = SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"u8);

    private bool ReadHead(in JsonItem root, out long dataId)
    {
        dataId = 0;
        if (!root.IsObject)
        {
            return Refuse(RejectReason.WrongType, "", "the body is one JSON object with data_id and data");
        }

        if (_rules.Version != "v2")
        {
            return Refuse(RejectReason.Unsupported, "", $"rules of version '{_rules.Version}' are not known; the version is v2");
        }

        if (!root["data_id"u8].TryInt64(out dataId) || dataId <= 0)
        {
            return Refuse(root["data_id"u8].IsNothing ? RejectReason.MissingField : RejectReason.WrongType, "data_id", "'data_id' is a whole number above 0");
        }

        return root["access_token"u8] is { IsNothing: true } or { IsText: true } || Refuse(RejectReason.WrongType, "access_token", "'access_token' is a text");
    }

    private bool ReadItems(in JsonItem data, in JsonItem root, long dataId, out string type, out int count)
    {
        (type, count) = ("", 0);
        if (!data.IsArray || data.IsEmpty)
        {
            return Refuse(data.IsNothing || data.IsArray ? RejectReason.MissingField : RejectReason.WrongType, "data", "'data' is a list of at least one item");
        }

        type = _rules.Type ?? (root["type"u8] is { IsText: true } own ? own.String
            : data[0]["event"u8].Exists || data[0]["event_name"u8].Exists ? Event : TimeSeries);
        if (type is not (TimeSeries or Event))
        {
            return Refuse(RejectReason.Unsupported, "type", $"'{type}' is not a type of items; types are {TimeSeries}, {Event}");
        }

        foreach (var item in data.Elements)
        {
            if (!ReadItem(item, type, $"data[{count}]", root, dataId))
            {
                return false;
            }

            count++;
        }

        Flush(root, dataId);
        return true;
    }

    private bool ReadItem(in JsonItem item, string type, string path, in JsonItem root, long dataId)
    {
        if (!item.IsObject)
        {
            return Refuse(RejectReason.WrongType, path, "an item is an object");
        }

        if (!(type == Event ? CheckEvent(item, path) : CheckMetrics(item["metrics"u8], path)) || !CheckTime(item["timestamp"u8], path, out var time))
        {
            return false;
        }

        _item.ResetWrittenCount();
        _writer.Reset();
        _writer.WriteStartObject();
        foreach (var value in item.Properties)
        {
            if (!value.Name.SequenceEqual("dimension"u8) && !value.Name.SequenceEqual("timestamp"u8))
            {
                _writer.WritePropertyName(value.Name);
                _writer.WriteRawValue(value.Raw, skipInputValidation: true);
            }
        }

        if (!WriteDimensions(item["dimension"u8], path + ".dimension", isChecked: type == TimeSeries))
        {
            return false;
        }

        _writer.WriteNumber("timestamp"u8, time);
        _writer.WriteEndObject();
        _writer.Flush();
        if (_item.WrittenCount > _rules.RecordBytesMax)
        {
            return Refuse(RejectReason.TooLarge, path, $"an item has at most {_rules.RecordBytesMax} bytes");
        }

        if (_items.WrittenCount + _item.WrittenCount > _rules.RecordBytesMax)
        {
            Flush(root, dataId);
        }

        if (_items.WrittenCount > 0)
        {
            _items.Write(","u8);
        }

        _items.Write(_item.WrittenSpan);
        return true;
    }

    private bool CheckMetrics(in JsonItem metrics, string path)
    {
        if (!metrics.IsObject || metrics.IsEmpty)
        {
            return Refuse(metrics.IsNothing || metrics.IsObject ? RejectReason.MissingField : RejectReason.WrongType, path + ".metrics", "'metrics' is an object of at least one number");
        }

        foreach (var value in metrics.Properties)
        {
            if (!IsName(value.Name))
            {
                return Refuse(RejectReason.NoMatch, Under(path + ".metrics", value.Name), "the name of a metric has letters a-z, A-Z, digits and '_' and starts with no digit");
            }

            if (!value.TryDouble(out _))
            {
                return Refuse(value.IsNumber ? RejectReason.NotFinite : RejectReason.WrongType, Under(path + ".metrics", value.Name), "a metric is a number");
            }
        }

        return true;
    }

    private bool CheckEvent(in JsonItem item, string path)
    {
        var target = item["target"u8];
        if (!target.IsText || target.Text.IsEmpty)
        {
            return Refuse(target.IsNothing || target.IsText ? RejectReason.MissingField : RejectReason.WrongType, path + ".target", "'target' is a text that is not empty");
        }

        if (!item["event_name"u8].IsText)
        {
            return Refuse(item["event_name"u8].IsNothing ? RejectReason.MissingField : RejectReason.WrongType, path + ".event_name", "'event_name' is a text");
        }

        var said = item["event"u8];
        if (!said.IsObject)
        {
            return Refuse(said.IsNothing ? RejectReason.MissingField : RejectReason.WrongType, path + ".event", "'event' is an object with 'content'");
        }

        return said["content"u8].Exists || Refuse(RejectReason.MissingField, path + ".event.content", "'event' is an object with 'content'");
    }

    private bool CheckTime(in JsonItem stamp, string path, out long time)
    {
        time = _now;
        if (!stamp.Exists)
        {
            return true;
        }

        if (!stamp.TryDouble(out var given))
        {
            return Refuse(stamp.IsNumber ? RejectReason.BadTime : RejectReason.WrongType, path + ".timestamp", "'timestamp' is a number of milliseconds since 1970");
        }

        if (given == 0)
        {
            return true;
        }

        if (given > _now + _rules.FutureMax.TotalMilliseconds)
        {
            return Refuse(RejectReason.FutureTime, path + ".timestamp", $"'timestamp', in milliseconds, lies at most {_rules.FutureMax.TotalSeconds:0} s ahead of now");
        }

        time = given < long.MinValue ? long.MinValue : stamp.TryInt64(out var whole) ? whole : (long)given;
        return true;
    }

    private bool WriteDimensions(in JsonItem given, string path, bool isChecked)
    {
        if (!given.IsObject && !given.IsNothing)
        {
            return Refuse(RejectReason.WrongType, path, "'dimension' is an object");
        }

        _writer.WriteStartObject("dimension"u8);
        foreach (var value in given.Properties)
        {
            if (isChecked && !IsName(value.Name))
            {
                return Refuse(RejectReason.NoMatch, Under(path, value.Name), "the name of a dimension has letters a-z, A-Z, digits and '_' and starts with no digit");
            }

            if (value.IsObject || value.IsArray)
            {
                return Refuse(RejectReason.WrongType, Under(path, value.Name), "a dimension is a text, number or boolean");
            }

            if (!value.IsNothing)
            {
                _writer.WriteString(value.Name, value.Text);
            }
        }

        _writer.WriteEndObject();
        return true;
    }

    private void Flush(in JsonItem root, long dataId)
    {
        var record = new ArrayBufferWriter<byte>(_items.WrittenCount + 128);
        using var writer = new Utf8JsonWriter(record, new JsonWriterOptions { SkipValidation = true });
        writer.WriteStartObject();
        writer.WriteNumber("dataid"u8, dataId);
        writer.WriteString("version"u8, TextOf(root["version"u8]));
        writer.WriteStartArray("data"u8);
        writer.WriteRawValue(_items.WrittenSpan, skipInputValidation: true);
        writer.WriteEndArray();
        writer.WriteNumber("time"u8, _now / 1000);
        writer.WriteNumber("timestamp"u8, _now / 1000);
        writer.WriteEndObject();
        writer.Flush();
        _records.Add(record.WrittenMemory);
        _items.ResetWrittenCount();
    }

    private static string Under(string path, ReadOnlySpan<byte> name) => $"{path}.{Encoding.UTF8.GetString(name)}";

    private bool Refuse(string reason, string path, string message)
    {
        _error = new ProxyError(reason, path, message);
        return false;
    }
}
