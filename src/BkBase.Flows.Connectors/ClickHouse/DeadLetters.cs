using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.ClickHouse;

/// <summary>Rows of <c>bkbase.dead_letters</c>: what was refused, why, and a sample.</summary>
public static class DeadLetters
{
    /// <summary>Name of the table.</summary>
    public const string Table = "dead_letters";

    /// <summary>How long refusals are kept.</summary>
    public static readonly TimeSpan Ttl = TimeSpan.FromDays(30);

    private const long Day = 86_400_000;

    public static Schema Schema { get; } = new(
        Schema.Time,
        new Field("flow", ColumnType.String, FieldRole.Dimension),
        new Field("node", ColumnType.String, FieldRole.Dimension),
        new Field("reason", ColumnType.String, FieldRole.Dimension),
        new Field("revision", ColumnType.String),
        new Field("path", ColumnType.String),
        new Field("message", ColumnType.Text),
        new Field("source", ColumnType.String),
        new Field("partition", ColumnType.Int32),
        new Field("offset", ColumnType.Int64),
        new Field("event_time", ColumnType.DateTime, Nullable: true),
        new Field("sample", ColumnType.Text));

    /// <summary>A builder to use for all batches of one stage.</summary>
    public static BatchBuilder Builder() => new(Schema, 1 << 20);

    /// <summary>The rejections of one batch as rows of the table, under that batch's lineage.</summary>
    /// <param name="builder">A builder of <see cref="Builder"/>.</param>
    /// <param name="now">
    /// The clock, Unix milliseconds. The column 'time' is the record's append time, so that a rebuild agrees; the clock
    /// takes its place where that is unknown, or so far off that the refusal would fall to the table's TTL at once.
    /// </param>
    public static RecordBatch ToBatch(
        BatchBuilder builder, string flow, string revision, string node, long now, Lineage lineage, IReadOnlyList<Rejection> rejections)
    {
        foreach (var rejection in rejections)
        {
            builder.BeginRecord((int)Math.Clamp(rejection.Offset - lineage.FirstOffset, 0, int.MaxValue));
            builder.SetInt64(0, TimeOf(rejection, now));
            builder.SetString(1, builder.Strings.Intern(flow));
            builder.SetString(2, builder.Strings.Intern(node));
            builder.SetString(3, builder.Strings.Intern(rejection.Reason));
            builder.SetString(4, builder.Strings.Intern(revision));
            builder.SetString(5, builder.Strings.Intern(rejection.Path));
            builder.SetText(6, System.Text.Encoding.UTF8.GetBytes(rejection.Message));
            builder.SetString(7, builder.Strings.Intern(lineage.Source));
            builder.SetInt32(8, lineage.Partition);
            builder.SetInt64(9, rejection.Offset);
            if (rejection.EventTime != 0)
            {
                builder.SetInt64(10, rejection.EventTime);
            }

            builder.SetText(11, rejection.Sample.Span);
            builder.CommitRow();
        }

        return builder.Build(lineage);
    }

    private static long TimeOf(Rejection rejection, long now) =>
        rejection.AppendTime > now - (long)Ttl.TotalMilliseconds + Day && rejection.AppendTime < now + Day ? rejection.AppendTime : now;
}
