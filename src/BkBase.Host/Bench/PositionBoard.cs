using System.IO.MemoryMappedFiles;
using Akka.Streams.Dsl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Host.Bench;

/// <summary>A reader's position per partition, in a file that the broker's process reads too, so that its feed never runs too far ahead.</summary>
internal sealed class PositionBoard : IDisposable
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;

    private PositionBoard(MemoryMappedFile file) => (_file, _view) = (file, file.CreateViewAccessor());

    public static void Create(string path, int partitions) => File.WriteAllBytes(path, new byte[partitions * sizeof(long)]);

    public static PositionBoard Open(string path) => new(MemoryMappedFile.CreateFromFile(path, FileMode.Open));

    public long this[int partition]
    {
        get => _view.ReadInt64(partition * sizeof(long));
        set => _view.Write(partition * sizeof(long), value);
    }

    public void Dispose()
    {
        _view.Dispose();
        _file.Dispose();
    }
}

/// <summary>A source that notes on a board how far it has been read.</summary>
internal sealed class NotedSource(ISource source, PositionBoard board) : ISource
{
    public Source<RawBatch, ISourceControl> Create(SourceContext context) => source.Create(context).Select(batch =>
    {
        board[batch.Partition] = batch.Lineage.LastOffset + 1;
        return batch;
    });
}
