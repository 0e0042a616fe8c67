using System.Text.Json;
using BkBase.Flows.Records;

namespace BkBase.Host;

/// <summary>A line that was not taken.</summary>
/// <param name="Line">Counted from 1.</param>
/// <param name="IsTooLarge">Whether its size was the reason.</param>
internal sealed record LineError(int Line, string Message, bool IsTooLarge);

/// <summary>JSON lines to records: bytes as they came, one record per line; empty lines are nothing.</summary>
internal static class IngestLines
{
    /// <summary>Bad lines after which a body is not looked at any further.</summary>
    public const int ErrorsMax = 1000;

    private const int DepthMax = 64;

    /// <summary>Adds good lines to the batch; returns the bad ones, at most <see cref="ErrorsMax"/>.</summary>
    public static List<LineError> Split(ReadOnlySpan<byte> body, int recordBytesMax, RawBatch batch)
    {
        var errors = new List<LineError>();
        body = body.StartsWith("\uFEFF"u8) ? body[3..] : body;
        for (var line = 1; body.Length > 0 && errors.Count < ErrorsMax; line++)
        {
            var end = body.IndexOf((byte)'\n');
            var text = Trim(end < 0 ? body : body[..end]);
            body = end < 0 ? [] : body[(end + 1)..];
            if (text.Length == 0)
            {
                continue;
            }

            if (text.Length > recordBytesMax)
            {
                errors.Add(new LineError(line, $"a record of {text.Length} bytes; Ingest:RecordBytes is {recordBytesMax}", true));
            }
            else if (Trouble(text) is { } trouble)
            {
                errors.Add(new LineError(line, trouble, false));
            }
            else
            {
                batch.Add(text, batch.Count, 0);
            }
        }

        return errors;
    }

    /// <summary>Whether the body is one JSON value, perhaps over several lines; and whether it is an object with <c>data_id</c>.</summary>
    public static bool IsSingle(ReadOnlySpan<byte> body, out bool hasDataId)
    {
        hasDataId = false;
        var reader = new Utf8JsonReader(body, new JsonReaderOptions { MaxDepth = DepthMax, AllowMultipleValues = true });
        try
        {
            if (!reader.Read())
            {
                return false;
            }

            var isObject = reader.TokenType == JsonTokenType.StartObject;
            while (reader.CurrentDepth > 0 || reader.TokenType is JsonTokenType.StartObject or JsonTokenType.StartArray)
            {
                if (!reader.Read())
                {
                    return false;
                }

                hasDataId |= isObject && reader.CurrentDepth == 1 && reader.TokenType == JsonTokenType.PropertyName && reader.ValueTextEquals("data_id"u8);
            }

            return Trim(body[(int)reader.BytesConsumed..]).Length == 0;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static string? Trouble(ReadOnlySpan<byte> text)
    {
        var reader = new Utf8JsonReader(text, new JsonReaderOptions { MaxDepth = DepthMax });
        try
        {
            while (reader.Read())
            {
            }

            return null;
        }
        catch (JsonException e)
        {
            return $"not JSON at byte {e.BytePositionInLine}: {e.Message.Split(" LineNumber:")[0]} Write one JSON value per line";
        }
    }

    private static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> text) => text.Trim(" \t\r\n"u8);
}
