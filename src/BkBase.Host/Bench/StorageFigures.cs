using System.Globalization;
using BkBase.Flows.Connectors.ClickHouse;

namespace BkBase.Host.Bench;

/// <summary>What a table takes on disk once its parts are merged.</summary>
/// <param name="Rows">Its rows.</param>
/// <param name="Bytes">Of its active parts on disk.</param>
internal sealed record StorageFigures(long Rows, long Bytes)
{
    /// <summary>The stage's name in options.</summary>
    public const string Stage = "storage";

    public double BytesPerRow => Bytes / (double)Math.Max(1, Rows);

    /// <summary>Merges a table of the store and looks at its parts.</summary>
    /// <param name="address">Where the store serves.</param>
    public static async Task<StorageFigures> OfAsync(string address, string table, CancellationToken stop)
    {
        using var session = new ClickHouseSession(ClickHouseOptions.At(new Uri(address)) with { Timeout = TimeSpan.FromMinutes(30) }, TimeProvider.System);
        await session.ExecuteAsync($"OPTIMIZE TABLE `{session.Options.Database}`.`{table}` FINAL", stop);
        var found = await session.QueryAsync(
            $"SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{session.Options.Database}' AND table = '{table}'", stop);
        return new StorageFigures(long.Parse(found[0][0]!, CultureInfo.InvariantCulture), long.Parse(found[0][1]!, CultureInfo.InvariantCulture));
    }
}
