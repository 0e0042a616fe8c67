using BkBase.Flows.Connectors.ClickHouse;
using BkBase.Flows.Delivery;

namespace BkBase.Host;

/// <summary>Turns the failures that a user can do something about into one line and an exit code.</summary>
internal static class Guard
{
    public static async Task<int> RunAsync(Func<Task<int>> action)
    {
        try
        {
            return await action();
        }
        catch (InvalidSettingException e)
        {
            await Console.Error.WriteLineAsync($"bkbase: {e.Message}");
            return ExitCodes.Invalid;
        }
        catch (Exception e) when (Reason(e) is { } reason)
        {
            await Console.Error.WriteLineAsync($"bkbase: {reason}");
            return ExitCodes.Failed;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync("bkbase: stopped before the end");
            return ExitCodes.Failed;
        }
        catch (Exception e)
        {
            await Console.Error.WriteLineAsync($"bkbase: this is a fault of bkbase, please report it with the flow and these lines:\n{e}");
            return ExitCodes.Failed;
        }
    }

    /// <summary>The message for people, or null for what is a bug.</summary>
    public static string? Reason(Exception e) => e switch
    {
        AggregateException { InnerException: { } inner } => Reason(inner),
        ClickHouseFailureException or CheckpointException or IOException or InvalidDataException or UnauthorizedAccessException or InvalidOperationException or HttpRequestException or TimeoutException => e.Message,
        _ => null,
    };
}
