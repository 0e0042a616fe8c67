using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>
/// The fast way through time series: steps over a message once, whatever the order of its keys, guesses what stands
/// between values, and looks the bytes of a dimension up whole. JSON is read left to right, so bytes equal to ones that
/// were read before in the same state mean the same. It takes what is common; an item that is not goes to the general
/// way alone, an envelope that is not takes the message along.
/// </summary>
internal sealed class TimeSeriesScan(TimeUnit unit, TimeSeriesRows item, TimeSeriesTape tape)
{
    // States of an item: what was read last. A metric's state is its number.
    private const int Start = 0;
    private const int Metrics = 1;
    private const int Dimension = 2;
    private const int Target = 3;
    private const int Timestamp = 4;
    private const int Other = 5;
    private const int End = 6;

    private const int GuessedMetrics = 32;
    private const int NoMoreMetrics = -2;

    private readonly ScanGuesses _keys = new(End);
    private readonly ScanGuesses _metrics = new(GuessedMetrics);
    private readonly byte[] _head = new byte[256];
    private int _headLength;
    private bool _headHasTarget;
    private StringDictionary? _generation;

    // Whether an item has no target of its own, and whether the envelope has one to give.
    private bool _lacksTarget;
    private bool _hasTarget;

    private bool NeedsEnvelope => _lacksTarget && _hasTarget;

    /// <summary>Rows and refusals of the whole message; or false, and neither.</summary>
    public bool TryParse(ReadOnlySpan<byte> json, EtlOutput output)
    {
        if (!ReferenceEquals(_generation, output.Rows.Strings))
        {
            // Ids of another generation, or of another builder, are void.
            _generation = output.Rows.Strings;
            _metrics.Clear();
        }

        var (rows, refused) = (output.Rows.Count, output.Rejections.Count);
        (_lacksTarget, _hasTarget) = (false, false);
        var scan = new JsonScan(json);
        if (TryEnvelope(ref scan, json, output, out var broken) && !NeedsEnvelope)
        {
            output.Filtered += output.Rows.Count == rows && output.Rejections.Count == refused ? 1 : 0;
            return true;
        }

        output.RollbackTo(rows, refused);
        if (broken is not null)
        {
            EtlRecord.Refuse(broken, json, output);
        }

        return broken is not null;
    }

    // Broken is why the message is no JSON, when that was found out.
    private bool TryEnvelope(ref JsonScan scan, ReadOnlySpan<byte> json, EtlOutput output, out string? broken)
    {
        broken = null;
        if (!TryHead(ref scan, json) || !TryItems(ref scan, json, output, out broken))
        {
            return false;
        }

        while (scan.Take((byte)','))
        {
            if (!scan.TryName(out var name) || name.SequenceEqual("data"u8) || !TryField(ref scan, name))
            {
                return false;
            }
        }

        return scan.Take((byte)'}') && scan.IsAtEnd;
    }

    // All up to the value of 'data'.
    private bool TryHead(ref JsonScan scan, ReadOnlySpan<byte> json)
    {
        if (_headLength > 0 && json.StartsWith(_head.AsSpan(0, _headLength)))
        {
            scan.At = _headLength;
            _hasTarget = _headHasTarget;
            return true;
        }

        if (!scan.Take((byte)'{'))
        {
            return false;
        }

        do
        {
            if (!scan.TryName(out var name))
            {
                return false;
            }

            if (name.SequenceEqual("data"u8))
            {
                _headLength = scan.At <= _head.Length ? scan.At : 0;
                json[.._headLength].CopyTo(_head);
                _headHasTarget = _hasTarget;
                return true;
            }

            if (!TryField(ref scan, name))
            {
                return false;
            }
        }
        while (scan.Take((byte)','));

        return false;
    }

    private bool TryField(ref JsonScan scan, ReadOnlySpan<byte> name)
    {
        _hasTarget |= name.SequenceEqual("target"u8);
        return scan.TrySkip();
    }

    private bool TryItems(ref JsonScan scan, ReadOnlySpan<byte> json, EtlOutput output, out string? broken)
    {
        broken = null;
        if (!scan.Take((byte)'['))
        {
            return false;
        }

        if (scan.Take((byte)']'))
        {
            return true;
        }

        var index = 0;
        do
        {
            scan.Peek();
            var start = scan.At;
            if (!TryItem(ref scan, output.Rows))
            {
                scan.At = start;
                if (!tape.TryParseAlone(ref scan, index, output, out broken, out var isFromEnvelope))
                {
                    return false;
                }

                _lacksTarget |= isFromEnvelope;
            }

            index++;
            if (NeedsEnvelope)
            {
                return false;
            }
        }
        while (scan.Take((byte)','));

        return scan.Take((byte)']');
    }

    private bool TryItem(ref JsonScan scan, BatchBuilder rows)
    {
        item.Begin(rows);
        var (target, given, seen, state) = (-1, 0L, 0, Start);
        while (true)
        {
            if (!_keys.TryTake(state, ref scan, out var next) && !TryKey(state, ref scan, out next))
            {
                return false;
            }

            if (next == End)
            {
                break;
            }

            if (next != Other && (seen & (1 << next)) != 0)
            {
                return false;
            }

            state = next;
            seen |= 1 << state;
            var isTaken = state switch
            {
                Metrics => TryMetrics(ref scan, rows),
                Dimension => TryDimension(ref scan, rows),
                Target => TryTarget(ref scan, rows, out target),
                Timestamp => scan.TryTime(out given),
                _ => scan.TrySkip(),
            };
            if (!isTaken)
            {
                return false;
            }
        }

        if ((seen & (1 << Metrics)) == 0 || !EventTime.TryMilliseconds(given, unit, out var time))
        {
            return false;
        }

        _lacksTarget |= target < 0;
        item.Commit(time, target, rows);
        return true;
    }

    // The bracket or comma, the name and the colon after a state; or the end.
    private bool TryKey(int state, ref JsonScan scan, out int next)
    {
        var before = scan.At;
        next = End;
        if (state == Start || !scan.Take((byte)'}'))
        {
            if (!scan.Take(state == Start ? (byte)'{' : (byte)',') || !scan.TryName(out var name))
            {
                return false;
            }

            next = name.SequenceEqual("metrics"u8) ? Metrics
                : name.SequenceEqual("dimension"u8) ? Dimension
                : name.SequenceEqual("target"u8) ? Target
                : name.SequenceEqual("timestamp"u8) ? Timestamp
                : Other;
        }

        _keys.Learn(state, scan.From(before), next);
        return true;
    }

    private static bool TryTarget(ref JsonScan scan, BatchBuilder rows, out int target)
    {
        var isTaken = scan.TryText(out var text);
        target = isTaken ? rows.Strings.Intern(text) : -1;
        return isTaken;
    }

    private bool TryMetrics(ref JsonScan scan, BatchBuilder rows)
    {
        for (var number = 0; ; number++)
        {
            var metric = NoMoreMetrics;
            if ((number >= GuessedMetrics || !_metrics.TryTake(number, ref scan, out metric)) && !TryMetric(number, ref scan, rows, out metric))
            {
                return false;
            }

            if (metric == NoMoreMetrics)
            {
                return true;
            }

            if (metric >= 0 && item.Has(metric))
            {
                return false;
            }

            if (scan.Peek() == 'n')
            {
                if (!scan.TryBare(out _))
                {
                    return false;
                }
            }
            else if (!scan.TryNumber(out var value))
            {
                return false;
            }
            else if (metric >= 0)
            {
                item.Add(metric, value);
            }
        }
    }

    private bool TryMetric(int number, ref JsonScan scan, BatchBuilder rows, out int metric)
    {
        var before = scan.At;
        metric = NoMoreMetrics;
        if (number == 0 && !scan.Take((byte)'{'))
        {
            return false;
        }

        if (!scan.Take((byte)'}'))
        {
            if ((number > 0 && !scan.Take((byte)',')) || !scan.TryName(out var name))
            {
                return false;
            }

            metric = item.Metric(name, rows);
        }

        if (number < GuessedMetrics)
        {
            _metrics.Learn(number, scan.From(before), metric);
        }

        return true;
    }

    private bool TryDimension(ref JsonScan scan, BatchBuilder rows)
    {
        if (scan.Peek() != '{')
        {
            return false;
        }

        var start = scan.At;
        var length = scan.Rest.IndexOf((byte)'}') + 1;
        if (length > 0 && item.TrySeries(scan.Rest[..length]))
        {
            scan.At += length;
            return true;
        }

        scan.Take((byte)'{');
        var dimensions = item.Dimensions;
        dimensions.Clear();
        if (!scan.Take((byte)'}'))
        {
            do
            {
                if (!scan.TryName(out var name))
                {
                    return false;
                }

                var isText = scan.Peek() == '"';
                if (isText ? !scan.TryText(out var value) : scan.Peek() == 'n' || !scan.TryBare(out value))
                {
                    return false;
                }

                dimensions.Add(name, value, rows.Strings);
            }
            while (scan.Take((byte)','));

            if (!scan.Take((byte)'}'))
            {
                return false;
            }
        }

        item.KeepSeries(scan.From(start), rows);
        return true;
    }
}
