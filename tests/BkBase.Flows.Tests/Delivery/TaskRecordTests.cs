using System.Collections.Immutable;
using BkBase.Flows.Delivery;

namespace BkBase.Flows.Tests.Delivery;

public sealed class TaskRecordTests
{
    private static readonly TaskRecord Record = new TaskRecord { Flow = "f", Revision = "r1", Source = "in", Partition = 3, Incarnation = "id", Generation = 2, Begun = 9 } with
    {
        Edges = ImmutableSortedDictionary<string, EdgeProgress>.Empty.WithComparers(StringComparer.Ordinal)
            .Add("a", new EdgeProgress(20, [new RecordedBlock(1UL << 41, 20_000, 15, 31, 17, 1, true), new RecordedBlock((1UL << 41) + 1, 20_001, 21, 40, 3)]))
            .Add("b", EdgeProgress.At(9)),
    };

    [Fact]
    public void BytesGiveTheSameRecord()
    {
        var back = TaskRecordFormat.Decode(TaskRecordFormat.Encode(Record), "f/in/3");
        Assert.Equal(Record with { Edges = back.Edges }, back);
        Assert.Equal(Record.Edges.Select(e => (e.Key, e.Value.Mark)), back.Edges.Select(e => (e.Key, e.Value.Mark)));
        Assert.Equal(Record.Edges["a"].Blocks.AsEnumerable(), back.Edges["a"].Blocks);
        Assert.Equal((9, 40, true), (back.Mark, back.Reach, back.IsOpen));
    }

    [Fact]
    public void EveryDamagedByteAndEveryCutIsNoticed()
    {
        var bytes = TaskRecordFormat.Encode(Record);
        for (var i = 0; i < bytes.Length; i++)
        {
            var damaged = (byte[])bytes.Clone();
            damaged[i] ^= 0x20;
            Assert.Throws<CheckpointException>(() => TaskRecordFormat.Decode(damaged, "f/in/3"));
            Assert.Throws<CheckpointException>(() => TaskRecordFormat.Decode(bytes.AsSpan(0, i), "f/in/3"));
        }
    }

    [Fact]
    public void NewerVersionsAndForeignRecordsAreRefusedByName()
    {
        var newer = TaskRecordFormat.Encode(Record);
        newer[4]++;
        Assert.Contains("version 2; this program reads up to 1", Assert.Throws<CheckpointException>(() => TaskRecordFormat.Decode(newer, "f/in/3")).Message, StringComparison.Ordinal);
        Assert.Contains("is that of f/in/3", Assert.Throws<CheckpointException>(() => TaskRecordFormat.Decode(TaskRecordFormat.Encode(Record), "g/in/3")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void NewEdgesBeginAtTheMarkAndOldOnesGo()
    {
        var settled = Record with { Edges = Record.Edges.SetItem("a", EdgeProgress.At(40)).SetItem("b", EdgeProgress.At(40)) };
        Assert.Equal([("b", 40L), ("c", 40L)], settled.WithEdges(["c", "b"]).Edges.Select(e => (e.Key, e.Value.Mark)));
        Assert.Equal(("x", 9L), Assert.Single((Record with { Edges = Record.Edges.Clear() }).WithEdges(["x"]).Edges.Select(e => (e.Key, e.Value.Mark))));
    }
}
