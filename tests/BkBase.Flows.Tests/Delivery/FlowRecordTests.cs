using System.Buffers.Binary;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Tests.Delivery;

public sealed class FlowRecordTests
{
    private static readonly byte[] Bytes = Encode();

    [Fact]
    public void BytesGiveTheSameRecord()
    {
        var back = FlowRecordFormat.Decode(Bytes, "f");
        Assert.Equal(("f", "r1", 7L), (back.Flow, back.Revision, back.Number));
        Assert.Equal(new SourceCut("in", 2, "", "id", 41), back.Cuts["f/in/2"]);
        Assert.Equal(["a", "b"], back.States.Keys);
        Assert.Equal([1, 2, 3], back.States["a"].Bytes.ToArray());
        Assert.Equal([4], back.States["b"].Bytes.ToArray());
        Assert.Equal(("dedupe", "by x", 1), (back.States["a"].Type, back.States["a"].Settings, back.States["a"].Version));
        Assert.Equal([(1UL, 2), (9UL, 0)], back.Pending.Select(b => (b.Number, b.Bytes.Length)));
        Assert.Equal(["time", "_block"], back.Pending[0].Columns.AsEnumerable());
        Assert.Equal([5, 6], back.Pending[0].Bytes.ToArray());
    }

    [Fact]
    public void EveryDamagedByteAndEveryCutIsNoticed()
    {
        for (var i = 0; i < Bytes.Length; i++)
        {
            var damaged = Bytes.ToArray();
            damaged[i] ^= 0x41;
            Assert.ThrowsAny<CheckpointException>(() => FlowRecordFormat.Decode(damaged, "f"));
            Assert.ThrowsAny<CheckpointException>(() => FlowRecordFormat.Decode(Bytes.AsSpan(0, i), "f"));
        }
    }

    [Fact]
    public void ANewerVersionAndAForeignRecordAreRefused()
    {
        var newer = Bytes.ToArray();
        BinaryPrimitives.WriteUInt16LittleEndian(newer.AsSpan(4), FlowRecordFormat.Version + 1);
        Assert.Contains("has version 2", Assert.ThrowsAny<CheckpointException>(() => FlowRecordFormat.Decode(newer, "f")).Message, StringComparison.Ordinal);
        Assert.Contains("is that of f", Assert.ThrowsAny<CheckpointException>(() => FlowRecordFormat.Decode(Bytes, "g")).Message, StringComparison.Ordinal);
    }

    private static byte[] Encode()
    {
        var record = new FlowRecord { Flow = "f", Revision = "r1", Number = 7 };
        return FlowRecordFormat.Encode(record with
        {
            Cuts = record.Cuts.Add("f/in/2", new SourceCut("in", 2, "", "id", 41)),
            States = record.States.Add("b", new NodeState("dedupe", "", 1, new byte[] { 4 })).Add("a", new NodeState("dedupe", "by x", 1, new byte[] { 1, 2, 3 })),
            Pending =
            [
                new ValueBlock("in > table t", 1, "`d`.`t`", ["time", "_block"], 20_000, 3, 1, new byte[] { 5, 6 }),
                new ValueBlock("in > table t", 9, "`d`.`t`", [], 20_000, 3, 0, ReadOnlyMemory<byte>.Empty),
            ],
        });
    }
}
