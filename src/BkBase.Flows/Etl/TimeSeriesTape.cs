using System.Text;
using System.Text.Unicode;
using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>The general way through time series: takes any JSON and says what is wrong with an item that leaves no row.</summary>
internal sealed class TimeSeriesTape(TimeUnit unit, TimeSeriesRows rows)
{
    // Around an item stand the message and its list.
    private const int LevelsAround = 2;

    private readonly JsonTape _tape = new();
    private readonly LastOfName _last = new();

    /// <summary>Rows and refusals of a whole message.</summary>
    public void Parse(ReadOnlySpan<byte> payload, EtlOutput output)
    {
        if (!EtlRecord.Read(_tape, payload, output, out var root))
        {
            return;
        }

        var data = root["data"u8];
        if (!data.IsArray && !data.IsNothing)
        {
            output.Reject(RejectReason.WrongType, "data", "'data' is a list of items", root.Raw);
            return;
        }

        var (before, refused, index) = (output.Rows.Count, output.Rejections.Count, 0);
        foreach (var item in data.Elements)
        {
            ParseItem(item, root, index++, output);
        }

        output.Filtered += output.Rows.Count == before && output.Rejections.Count == refused ? 1 : 0;
    }

    /// <summary>
    /// Rows or the refusal of the item at which <paramref name="scan"/> stands, which is good JSON up to there. False when the
    /// item has no time of its own, so that only the whole message can say; or when it is no good JSON, and so neither is the message.
    /// </summary>
    /// <param name="scan">Stands behind the item afterwards.</param>
    /// <param name="index">Number of the item.</param>
    /// <param name="output">Takes rows and refusals.</param>
    /// <param name="broken">Why the message is no good JSON.</param>
    /// <param name="lacksTarget">Whether the item has no target of its own.</param>
    public bool TryParseAlone(ref JsonScan scan, int index, EtlOutput output, out string? broken, out bool lacksTarget)
    {
        var rest = scan.Rest;
        lacksTarget = false;

        // What was read so far is UTF-8.
        broken = Utf8.IsValid(rest) ? null : RejectReason.BadEncoding;
        if (broken is not null)
        {
            return false;
        }

        broken = _tape.Read(rest, out var consumed, JsonTape.DepthMax - LevelsAround, isPrefix: true);
        if (broken is not null)
        {
            return false;
        }

        var item = _tape.Root(rest);
        if (item.IsObject && HasNoTime(item))
        {
            return false;
        }

        lacksTarget = item["target"u8].IsNothing;
        ParseItem(item, _tape.None, index, output);
        scan.At += consumed;
        return true;
    }

    private static bool HasNoTime(in JsonItem item) =>
        item["timestamp"u8] is var stamp && (stamp.IsNothing || (stamp.TryInt64(out var zero) && zero == 0));

    private void ParseItem(in JsonItem item, in JsonItem root, int index, EtlOutput output)
    {
        if (!item.IsObject)
        {
            Refuse(output, RejectReason.WrongType, index, "", "an item is an object", item);
            return;
        }

        var stamp = item["timestamp"u8];
        var given = unit;
        if (HasNoTime(item))
        {
            stamp = root["timestamp"u8];
            given = TimeUnit.Auto;
        }

        if (stamp.IsNothing)
        {
            Refuse(output, RejectReason.MissingField, index, ".timestamp", "an item needs a timestamp", item);
        }
        else if (!stamp.IsNumber)
        {
            Refuse(output, RejectReason.WrongType, index, ".timestamp", "a timestamp is a number", item);
        }
        else if (!stamp.TryInt64(out var number) || !EventTime.TryMilliseconds(number, given, out var time))
        {
            Refuse(output, RejectReason.BadTime, index, ".timestamp", "a timestamp is a time after 1970", item);
        }
        else if (item["metrics"u8] is { IsObject: false } metrics)
        {
            Refuse(output, metrics.IsNothing ? RejectReason.MissingField : RejectReason.WrongType, index, ".metrics", "'metrics' is an object of numbers", item);
        }
        else if (ReadSeries(item, root, index, output, out var target) && ReadMetrics(item, index, output))
        {
            rows.Commit(time, target, output.Rows);
        }
    }

    private bool ReadSeries(in JsonItem item, in JsonItem root, int index, EtlOutput output, out int target)
    {
        target = -1;
        rows.Begin(output.Rows);
        rows.Dimensions.Clear();
        var dimension = item["dimension"u8];
        if (!dimension.IsObject && !dimension.IsNothing)
        {
            return Refuse(output, RejectReason.WrongType, index, ".dimension", "'dimension' is an object", item);
        }

        if (!(dimension.IsObject && rows.TrySeries(dimension.Raw)))
        {
            _last.Read(dimension);
            foreach (var value in dimension.Properties)
            {
                if (_last.Is(dimension, value) && !rows.Dimensions.Add(value.Name, value, output.Rows.Strings))
                {
                    return Refuse(output, RejectReason.WrongType, index, $".dimension.{Encoding.UTF8.GetString(value.Name)}", "a dimension is a text, number or boolean", item);
                }
            }

            rows.KeepSeries(dimension.IsObject ? dimension.Raw : default, output.Rows);
        }

        var given = item["target"u8];
        if (given.IsNothing)
        {
            given = root["target"u8];
        }

        if (given.IsObject || given.IsArray)
        {
            return Refuse(output, RejectReason.WrongType, index, ".target", "a target is a text", item);
        }

        target = given.IsNothing ? -1 : output.Rows.Strings.Intern(given.Text);
        return true;
    }

    private bool ReadMetrics(in JsonItem item, int index, EtlOutput output)
    {
        var metrics = item["metrics"u8];
        _last.Read(metrics);
        foreach (var value in metrics.Properties)
        {
            var metric = rows.Metric(value.Name, output.Rows);
            if (metric < 0 || value.IsNothing || !_last.Is(metrics, value))
            {
                continue;
            }

            if (!value.TryDouble(out var number))
            {
                var reason = value.IsNumber || (value.IsText && IsNotFinite(value.Text)) ? RejectReason.NotFinite : RejectReason.WrongType;
                return Refuse(output, reason, index, $".metrics.{Encoding.UTF8.GetString(value.Name)}", "a metric is a finite number", item);
            }

            rows.Add(metric, number);
        }

        return true;
    }

    private static bool IsNotFinite(ReadOnlySpan<byte> text) =>
        text.SequenceEqual("NaN"u8) || text.TrimStart("+-"u8).SequenceEqual("Infinity"u8) || text.TrimStart("+-"u8).SequenceEqual("Inf"u8);

    private static bool Refuse(EtlOutput output, string reason, int index, string path, string message, in JsonItem item)
    {
        output.Reject(reason, $"data[{index}]{path}", message, item.Raw);
        return false;
    }
}
