using System.Globalization;
using System.Numerics;
using BkBase.Flows.Etl;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Etl;

/// <summary>bk_standard_v2_time_series read in the most obvious way: one line of text per row, one per refusal.</summary>
internal sealed class PlainTimeSeries(MetricOptions options)
{
    private readonly List<string> _rows = [];
    private readonly List<string> _refused = [];

    /// <summary>Rows, then refusals, then whether the record was filtered.</summary>
    public string Read(ReadOnlySpan<byte> payload)
    {
        _rows.Clear();
        _refused.Clear();
        var (root, reason) = PlainJson.Read(payload);
        if (root is null || !root.IsObject)
        {
            _refused.Add($"{reason ?? RejectReason.WrongType} at ");
        }
        else if (root["data"] is { IsArray: false })
        {
            _refused.Add($"{RejectReason.WrongType} at data");
        }
        else
        {
            var items = root["data"]?.Elements ?? [];
            for (var i = 0; i < items.Count; i++)
            {
                var rows = new List<string>();
                if (Item(items[i], root, rows) is var (why, where))
                {
                    _refused.Add($"{why} at data[{i}]{where}");
                }
                else
                {
                    _rows.AddRange(rows);
                }
            }
        }

        return Describe(_rows, _refused, _rows.Count + _refused.Count == 0);
    }

    public static string Describe(IEnumerable<string> rows, IEnumerable<string> refused, bool isFiltered) =>
        string.Join('\n', rows.Concat(refused)) + (isFiltered ? "filtered" : "");

    public static string Row(long time, string metric, string target, IEnumerable<string> promoted, IEnumerable<KeyValuePair<string, string>> rest, double value) =>
        $"{time} {metric} {target} [{string.Join('|', promoted)}] {{{string.Join('|', rest.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => $"{p.Key}={p.Value}"))}}} {BitConverter.DoubleToInt64Bits(value):x}";

    private (string Reason, string Path)? Item(PlainJson item, PlainJson root, List<string> rows)
    {
        if (!item.IsObject)
        {
            return (RejectReason.WrongType, "");
        }

        var (stamp, unit) = (item["timestamp"], options.Unit);
        if (stamp is null || (stamp.IsNumber && Whole(stamp.Text) is { IsZero: true }))
        {
            (stamp, unit) = (root["timestamp"], TimeUnit.Auto);
        }

        if (stamp is null)
        {
            return (RejectReason.MissingField, ".timestamp");
        }

        if (!stamp.IsNumber)
        {
            return (RejectReason.WrongType, ".timestamp");
        }

        if (Whole(stamp.Text) is not { } given || Milliseconds(given, unit) is not { } time)
        {
            return (RejectReason.BadTime, ".timestamp");
        }

        if (item["metrics"] is not { IsObject: true } metrics)
        {
            return (item["metrics"] is null ? RejectReason.MissingField : RejectReason.WrongType, ".metrics");
        }

        if (item["dimension"] is { IsObject: false })
        {
            return (RejectReason.WrongType, ".dimension");
        }

        var (dimensions, fromDimensions) = (new Dictionary<string, string>(StringComparer.Ordinal), "");
        foreach (var (name, value) in item["dimension"]?.Last ?? [])
        {
            if (value.IsObject || value.IsArray)
            {
                return (RejectReason.WrongType, $".dimension.{name}");
            }

            if (value.Type == System.Text.Json.JsonTokenType.Null)
            {
                continue;
            }

            var called = options.DimensionReplace.GetValueOrDefault(name, name);
            if (called == "target")
            {
                fromDimensions = value.Text;
            }
            else
            {
                dimensions[called] = value.Text;
            }
        }

        var target = item["target"] ?? root["target"];
        if (target is { IsObject: true } or { IsArray: true })
        {
            return (RejectReason.WrongType, ".target");
        }

        foreach (var (name, value) in metrics.Last)
        {
            if (value.Type == System.Text.Json.JsonTokenType.Null || (options.Metrics.Count > 0 && !options.Metrics.Contains(name)))
            {
                continue;
            }

            var number = value.IsNumber ? double.Parse(value.Text, NumberStyles.Float, CultureInfo.InvariantCulture) : double.NaN;
            if (!double.IsFinite(number))
            {
                var saysSo = value.IsNumber || (value.IsText && value.Text.TrimStart('+', '-') is "NaN" or "Inf" or "Infinity" && (value.Text == "NaN" || !value.Text.EndsWith("NaN", StringComparison.Ordinal)));
                return (saysSo ? RejectReason.NotFinite : RejectReason.WrongType, $".metrics.{name}");
            }

            rows.Add(Row(
                time,
                options.MetricReplace.GetValueOrDefault(name, name),
                target?.Text ?? fromDimensions,
                options.Dimensions.Select(d => dimensions.GetValueOrDefault(d, "")),
                dimensions.Where(d => !options.Dimensions.Contains(d.Key)),
                number));
        }

        return null;
    }

    // A whole number of 64 bits, however written.
    private static BigInteger? Whole(string text)
    {
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var whole))
        {
            return whole;
        }

        var number = double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
        return Math.Abs(number) < 9e18 && Math.Truncate(number) == number ? new BigInteger(number) : null;
    }

    private static long? Milliseconds(BigInteger given, TimeUnit unit)
    {
        var end = new BigInteger(253_402_300_799_999);
        var time = unit switch
        {
            TimeUnit.S => given * 1000,
            TimeUnit.Ms => given,
            TimeUnit.Us => given / 1000,
            TimeUnit.Ns => given / 1_000_000,
            _ when given < 1_000_000_000 => given * 60_000,
            _ when given < 1_000_000_000_000 => given * 1000,
            _ when given < 1_000_000_000_000_000 => given,
            _ when given < 1_000_000_000_000_000_000 => given / 1000,
            _ => given / 1_000_000,
        };
        return time > 0 && time <= end ? (long)time : null;
    }
}
