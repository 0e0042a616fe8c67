using System.Runtime.CompilerServices;
using Akka.Streams;
using Akka.Streams.Dsl;
using BkBase.Flows.Delivery;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Runtime.Replays;

/// <summary>A record as it stands at its offset.</summary>
/// <param name="AppendTime">Unix milliseconds; 0 when unknown.</param>
public sealed record OriginalRecord(int Partition, long Offset, long AppendTime, byte[] Payload);

/// <summary>
/// Reads single records again, by their offsets, through a flow's own source. Claims, marks and group offsets of the
/// flow stay as they are: the reader counts in a ledger of its own.
/// </summary>
/// <param name="time">The clock.</param>
/// <param name="materializer">Runs the stream.</param>
public sealed class OriginalRecords(TimeProvider time, IMaterializer materializer)
{
    /// <summary>Longest wait for a batch: a partition whose last records are gone gives none.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// Those of the wanted records that are still there, in lists of at most <paramref name="records"/>. What retention
    /// took is absent.
    /// </summary>
    /// <param name="source">The source.</param>
    /// <param name="name">Name of the source in its flow.</param>
    /// <param name="wanted">Offsets by partition, rising; at least one each.</param>
    /// <param name="known">The flow's checkpoint records: what the offsets count in.</param>
    /// <exception cref="CheckpointException">The file or topic is another one than the flow read.</exception>
    /// <exception cref="IOException">The source cannot be read.</exception>
    public async IAsyncEnumerable<IReadOnlyList<OriginalRecord>> ReadAsync(
        ISource source, string flow, string name, IReadOnlyDictionary<int, long[]> wanted, IEnumerable<TaskRecord> known, int records, [EnumeratorCancellation] CancellationToken cancel)
    {
        var checkpoints = new MemoryCheckpointStore();
        foreach (var record in known.Where(r => r.Source == name && r.Place == source.Place))
        {
            // Reading goes on behind the mark: the one before the first record wanted.
            var start = record with { Revision = "", Edges = record.Edges.Clear(), Begun = wanted.TryGetValue(record.Partition, out var first) ? first[0] - 1 : record.Mark };
            var claim = await checkpoints.ClaimAsync(start.Task, cancel);
            await checkpoints.PublishAsync([new Publication(start.Task, claim.Epoch, TaskRecordFormat.Encode(start))], cancel);
        }

        await using var ledger = await FlowLedger.OpenAsync(flow, "", checkpoints, time, TimeSpan.FromHours(1), cancel);
        var context = new SourceContext(flow, name, new StartPosition(StartKind.Head), time, ledger.Source(name, source.Place));
        var (end, queue) = source.Create(context).ViaMaterialized(KillSwitches.Single<RawBatch>(), Keep.Right).ToMaterialized(Sink.Queue<RawBatch>(), Keep.Both).Run(materializer);
        var left = wanted.ToDictionary(w => w.Key, w => w.Value[^1]);
        var found = new List<OriginalRecord>();
        try
        {
            while (left.Count > 0 && await NextAsync(queue, cancel) is { } batch)
            {
                using (batch)
                {
                    Take(batch, wanted, found);
                    if (batch.Count > 0 && left.TryGetValue(batch.Partition, out var last) && batch.Offset(batch.Count - 1) >= last)
                    {
                        left.Remove(batch.Partition);
                    }
                }

                while (found.Count >= records)
                {
                    yield return found.GetRange(0, records);
                    found.RemoveRange(0, records);
                }
            }
        }
        finally
        {
            end.Shutdown();
        }

        if (found.Count > 0)
        {
            yield return found;
        }
    }

    private static void Take(RawBatch batch, IReadOnlyDictionary<int, long[]> wanted, List<OriginalRecord> found)
    {
        if (!wanted.TryGetValue(batch.Partition, out var offsets) || batch.Count == 0)
        {
            return;
        }

        var at = Array.BinarySearch(offsets, batch.Offset(0));
        at = at < 0 ? ~at : at;
        for (var i = 0; i < batch.Count && at < offsets.Length; i++)
        {
            while (at < offsets.Length && offsets[at] < batch.Offset(i))
            {
                at++;
            }

            if (at < offsets.Length && offsets[at] == batch.Offset(i))
            {
                found.Add(new OriginalRecord(batch.Partition, batch.Offset(i), batch.AppendTime(i), batch[i].ToArray()));
            }
        }
    }

    private async Task<RawBatch?> NextAsync(ISinkQueue<RawBatch> queue, CancellationToken cancel)
    {
        try
        {
            var next = await queue.PullAsync().WaitAsync(Patience, time, cancel);
            return next.HasValue ? next.Value : null;
        }
        catch (TimeoutException)
        {
            return null;
        }
    }
}
