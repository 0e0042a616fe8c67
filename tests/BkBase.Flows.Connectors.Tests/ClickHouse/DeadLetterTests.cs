using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Records;

namespace BkBase.Flows.Connectors.Tests.ClickHouse;

public sealed class DeadLetterTests
{
    private const long Now = 1_700_000_000_000;
    private const long Day = 86_400_000;

    [Theory]
    [InlineData(Now - 5_000, Now - 5_000)]
    [InlineData(Now - (20 * Day), Now - (20 * Day))]
    [InlineData(0, Now)]
    [InlineData(Now - (40 * Day), Now)]
    [InlineData(Now + (2 * Day), Now)]
    public void Time_is_the_append_time_unless_that_is_unknown_or_would_fall_to_the_ttl(long appended, long expected)
    {
        var batch = DeadLetters.ToBatch(DeadLetters.Builder(), "f", "r", "n", Now, new Lineage("in", 0, 0, 0),
            [Rejection.Create(RejectReason.NotJson, "", "m", 0, 0, "x"u8) with { AppendTime = appended }]);
        Assert.Equal(expected, batch.Times[0]);
        Assert.Null(batch["event_time"].GetValue(0));
    }
}
