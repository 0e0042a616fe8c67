using BkBase.Flows.Records;

namespace BkBase.Flows.Etl;

/// <summary>The first step of all JSON formats.</summary>
internal static class EtlRecord
{
    /// <summary>Reads a record that must be a JSON object; refuses it when it is none.</summary>
    public static bool Read(JsonTape tape, ReadOnlySpan<byte> payload, EtlOutput output, out JsonItem root)
    {
        root = default;
        if (tape.Read(payload, out _) is { } reason)
        {
            Refuse(reason, payload, output);
            return false;
        }

        root = tape.Root(payload);
        if (!root.IsObject)
        {
            output.Reject(RejectReason.WrongType, "", "a record is one JSON object", payload);
            return false;
        }

        return true;
    }

    /// <summary>Refuses a record for what <see cref="JsonTape.Read"/> found.</summary>
    public static void Refuse(string reason, ReadOnlySpan<byte> payload, EtlOutput output) =>
        output.Reject(reason, "", reason switch
        {
            RejectReason.TooDeep => $"a record is nested at most {JsonTape.DepthMax} levels deep",
            RejectReason.BadEncoding => "a record is UTF-8",
            _ => "a record is one JSON object",
        }, payload);
}
