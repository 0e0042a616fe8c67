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
    public void ARecordKeepsTheTableAndTheNewestBlockAndOneWithoutThemIsRead()
    {
        var edge = Record.Edges["a"] with { Table = "2_t", Newest = new RecordedBlock((1UL << 41) + 7, 20_002, 3, 8, 6, 0, true) };
        var back = TaskRecordFormat.Decode(TaskRecordFormat.Encode(Record with { Edges = Record.Edges.SetItem("a", edge) }), "f/in/3");
        Assert.Equal((edge.Table, edge.Newest), (back.Edges["a"].Table, back.Edges["a"].Newest));
        Assert.Equal(((string?)null, (RecordedBlock?)null), (back.Edges["b"].Table, back.Edges["b"].Newest));
    }

    [Fact]
    public void AFileThatCannotBeReadIsNamedWithTheWayOut()
    {
        var bytes = TaskRecordFormat.Encode(Record);
        bytes[^3]++;
        var message = Assert.Throws<CheckpointException>(() => TaskRecordFormat.Decode(bytes, "f/in/3", "d/1.ckpt")).Message;
        Assert.StartsWith("checkpoint of f/in/3 (d/1.ckpt) is damaged", message, StringComparison.Ordinal);
        Assert.Contains("Put it back from a backup; or remove it together with the rows", message, StringComparison.Ordinal);
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
