using System.Globalization;
using BkBase.Lab;

namespace BkBase.Host.Bench;

/// <summary>
/// The broker's process: hosts the mock cluster, fills its topics, and ends when its input is closed. It says
/// <c>broker ADDRESS</c>, then <c>primed</c> when the reader may start, then <c>sent RECORDS TIMES</c>.
/// </summary>
internal static class BenchBroker
{
    public const string Started = "broker ";
    public const string Primed = "primed";
    public const string Sent = "sent ";

    public static async Task<int> RunAsync(BenchTask task, CancellationToken stop)
    {
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using var broker = new LabBroker();
        using var board = PositionBoard.Open(task.Board);
        broker.Create(BenchTask.WarmTopic, task.Partitions);
        broker.Create(BenchTask.Topic, task.Partitions);
        var orphaned = Task.Run(async () => { while (await Console.In.ReadLineAsync(gone.Token) is not null) { } }, CancellationToken.None);
        _ = orphaned.ContinueWith(_ => gone.Cancel(), TaskScheduler.Default);
        Console.Out.WriteLine(Started + broker.Bootstrap);
        try
        {
            new LabBrokerFeed(broker.Bootstrap, BenchTask.WarmTopic, task.Partitions).Send(task.Stream(warm: true), task.WarmRecords, gone.Token);
            var feed = new LabBrokerFeed(broker.Bootstrap, BenchTask.Topic, task.Partitions)
            {
                Position = task.Unpaced ? null : p => board[p],
                Primed = () => Console.Out.WriteLine(Primed),
            };
            var times = feed.Send(task.Stream(warm: false), task.Records, gone.Token);
            Console.Out.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{Sent}{task.Records} {times}"));
            await orphaned;
        }
        catch (OperationCanceledException) when (gone.IsCancellationRequested)
        {
            // The benchmark has ended.
        }

        return ExitCodes.Good;
    }
}
