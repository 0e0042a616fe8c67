using System.IO.Compression;
using System.Text;
using BkBase.Flows.Connectors.Files;

namespace BkBase.Flows.Connectors.Tests.Files;

public sealed class FileSourceTests : StreamTest
{
    private static readonly string[] Lines = [.. Enumerable.Range(0, 10_000).Select(i => $"{{\"i\":{i}}}")];

    [Theory]
    [InlineData(false, "\n")]
    [InlineData(true, "\n")]
    [InlineData(false, "\r\n\n")]
    public async Task ReadsAllLinesAndEnds(bool gzip, string newline)
    {
        var run = Run(new FileConnector(Folder).Open(Write("a.ndjson", string.Join(newline, Lines), gzip)), Context());
        await run.Done.WaitAsync(Deadline);
        Assert.Equal(Lines, run.Texts);
        Assert.Equal(Lines[0].Length + newline.Length, run.Got.ElementAt(1).Offset);
        var progress = Assert.IsAssignableFrom<ISourceProgress>(run.Control);
        Assert.Equal(new FileInfo(Path.Combine(Folder, "a.ndjson")).Length, progress.BytesTotal);
        Assert.Equal(progress.BytesTotal, progress.BytesRead);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task GoesOnAfterTheMark(bool gzip)
    {
        Write("a.ndjson", string.Join('\n', Lines), gzip);
        var path = Path.GetFullPath(Path.Combine(Folder, "a.ndjson"));
        var first = Run(new FileConnector(Folder).Open("a.ndjson"), Resumed(place: path));
        await first.Done.WaitAsync(Deadline);
        await MarkAsync(0, first.Got.ElementAt(6_999).Offset, place: path);
        var second = Run(new FileConnector(Folder).Open("a.ndjson"), Resumed(place: path));
        await second.Done.WaitAsync(Deadline);
        Assert.Equal(Lines[7_000..], second.Texts);

        Write("a.ndjson", "{\"other\":1}\n", gzip);
        var error = await Assert.ThrowsAsync<FileSourceException>(() => Run(new FileConnector(Folder).Open("a.ndjson"), Resumed(place: path)).Done.WaitAsync(Deadline));
        Assert.Contains("is not the file", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task SaysWhatIsWrong()
    {
        var connector = new FileConnector(Folder);
        Assert.Contains("does not exist", (await Failure("missing")).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", (await Failure(".")).Message, StringComparison.Ordinal);
        File.WriteAllBytes(Path.Combine(Folder, "bad.gz"), [0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
        Assert.Contains("is damaged", (await Failure("bad.gz")).Message, StringComparison.Ordinal);

        async Task<FileSourceException> Failure(string path) =>
            await Assert.ThrowsAsync<FileSourceException>(() => Run(connector.Open(path), Context()).Done.WaitAsync(Deadline));
    }

    [Fact]
    public async Task RefusesAFileThatChangesWhileItIsRead()
    {
        Write("a.ndjson", string.Join('\n', Lines), gzip: false);
        var changed = 0;
        var run = Run(new FileConnector(Folder).Open("a.ndjson"), Context(batch: 10), () =>
        {
            if (Interlocked.Exchange(ref changed, 1) == 0)
            {
                File.AppendAllText(Path.Combine(Folder, "a.ndjson"), "\n{}\n");
            }

            return Task.CompletedTask;
        });
        var error = await Assert.ThrowsAsync<FileSourceException>(() => run.Done.WaitAsync(Deadline));
        Assert.Contains("changed while it was read", error.Message, StringComparison.Ordinal);
    }

    private string Write(string name, string text, bool gzip)
    {
        using var file = File.Create(Path.Combine(Folder, name));
        using Stream to = gzip ? new GZipStream(file, CompressionLevel.Fastest) : file;
        to.Write(Encoding.UTF8.GetBytes(text));
        return name;
    }
}
