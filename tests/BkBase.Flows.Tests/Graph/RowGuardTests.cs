using BkBase.Flows.Etl;
using BkBase.Flows.Graph;
using BkBase.Flows.Records;

namespace BkBase.Flows.Tests.Graph;

public sealed class RowGuardTests
{
    private const long Appended = 1_700_000_000_000;

    [Theory]
    [InlineData(Appended, null)]
    [InlineData(Appended + 3_600_000, null)]
    [InlineData(Appended + 3_600_001, RejectReason.FutureTime)]
    [InlineData(Appended + 86_400_000, RejectReason.FutureTime)]
    [InlineData(long.MaxValue, RejectReason.FutureTime)]
    [InlineData(Appended / 1000, RejectReason.BadTime)]
    [InlineData(946_684_799_999, RejectReason.BadTime)]
    [InlineData(946_684_800_000, null)]
    public void A_time_that_cannot_be_is_rejected_with_the_record_beside_it_kept(long time, string? reason)
    {
        var output = Check(Appended, time);
        Assert.Equal(reason is null ? 3 : 2, output.Rows.Count);
        Assert.Equal(reason, output.Rejections.SingleOrDefault()?.Reason);
        Assert.All(output.Rejections, r => Assert.Equal((Schema.TimeName, time, Appended, 7L), (r.Path, r.EventTime, r.AppendTime, r.Offset)));
    }

    [Fact]
    public void Without_an_append_time_nothing_is_known_and_nothing_rejected() => Assert.Empty(Check(0, 1).Rejections);

    [Fact]
    public void Texts_and_samples_of_a_rejection_are_bounded()
    {
        var rejection = Rejection.Create(RejectReason.NotJson, new string('p', 9_000), new string('m', 9_000), 1, 0, new byte[1 << 20]);
        Assert.Equal((Rejection.TextMax + 3, Rejection.TextMax + 3, Rejection.SampleBytesMax), (rejection.Path.Length, rejection.Message.Length, rejection.Sample.Length));
    }

    private static EtlOutput Check(long appended, long time)
    {
        var output = new EtlOutput(new Schema(Schema.Time));
        output.BeginRecord(0, 7, appended);
        foreach (var t in (long[])[Appended - 1, time, Appended + 1])
        {
            output.Rows.SetInt64(0, t);
            output.Rows.CommitRow();
        }

        new RowGuard(TimeSpan.FromHours(1)).Check(output, 0, "x"u8);
        return output;
    }
}
