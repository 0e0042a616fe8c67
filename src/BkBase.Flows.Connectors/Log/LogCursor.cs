using System.Buffers;
using BkBase.Flows.Connectors.Files;
using BkBase.Flows.Records;
using FASTER.core;

namespace BkBase.Flows.Connectors.Log;

/// <summary>One reader's place in one partition. One thread at a time.</summary>
/// <param name="end">Offset at which it ends.</param>
internal sealed class LogCursor(LogPartition partition, long next, long end) : IDisposable
{
    private FasterLogScanIterator? _scan;
    private IMemoryOwner<byte>? _entry;
    private int _entryLength;
    private byte[]? _record;
    private int _recordAt;
    private long _lost;

    public LogPartition Partition { get; } = partition;

    public InFlight InFlight { get; } = new();

    /// <summary>Offset of the next record.</summary>
    public long Next { get; private set; } = next;

    public long End { get; } = end;

    /// <summary>Records that retention took before they were read.</summary>
    public long LostRecords => Interlocked.Read(ref _lost);

    /// <summary>The next records that are on disk; null when there are none yet.</summary>
    public RawBatch? Read(string source, int number, int records, int bytes)
    {
        RawBatch? batch = null;
        var tail = Math.Min(Partition.Tail, End);
        while (Next < tail && (batch?.Count ?? 0) < records)
        {
            _scan ??= Partition.Scan(Next);
            if (_entry is null && !_scan.GetNext(MemoryPool<byte>.Shared, out _entry, out _entryLength, out _, out _))
            {
                _entry = null;
                break;
            }

            var span = _entry.Memory.Span[.._entryLength];
            var header = LogEntry.Read(span);
            if (header.Next <= Next && !(header.IsPart && header.Offset == Next))
            {
                Drop();
                continue;
            }

            if (batch is not null && (batch.Count + header.Count > records || batch.Bytes + span.Length > bytes))
            {
                break;
            }

            if (header.IsPart)
            {
                Assemble(span, header, source, number, ref batch);
                Drop();
                continue;
            }

            Skip(header.Offset);
            batch ??= RawBatch.Rent(source, number);
            var to = Math.Min(Math.Min(End, Next + records), header.Next);
            LogEntry.AddTo(batch, span, Next, to);
            Next = to;
            if (Next >= header.Next)
            {
                Drop();
            }
        }

        if (batch is not null)
        {
            InFlight.Add(batch);
        }

        return batch;
    }

    public void Dispose()
    {
        Drop();
        _scan?.Dispose();
    }

    // A record that is longer than a page. One whose beginning retention took is skipped and counted.
    private void Assemble(ReadOnlySpan<byte> entry, LogEntry header, string source, int number, ref RawBatch? batch)
    {
        if (header.At == 0)
        {
            Skip(header.Offset);
            (_record, _recordAt) = (new byte[header.Length], 0);
        }

        if (_record is null || _recordAt != header.At)
        {
            _record = null;
            Skip(header.Next);
            return;
        }

        LogEntry.PartOf(entry).CopyTo(_record.AsSpan(_recordAt));
        _recordAt += header.Bytes;
        if (_recordAt == header.Length)
        {
            batch ??= RawBatch.Rent(source, number, 16, _record.Length);
            batch.Add(_record, header.Offset, header.Time);
            Next = header.Offset + 1;
            _record = null;
        }
    }

    private void Skip(long to)
    {
        if (to > Next)
        {
            Interlocked.Add(ref _lost, to - Next);
            Next = to;
        }
    }

    private void Drop()
    {
        _entry?.Dispose();
        _entry = null;
    }
}
