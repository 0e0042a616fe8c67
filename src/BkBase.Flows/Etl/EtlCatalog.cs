using BkBase.Flows.Definition;

namespace BkBase.Flows.Etl;

/// <summary>All ETL formats that flows may name.</summary>
public static class EtlCatalog
{
    public static IReadOnlyList<CatalogEntry<IEtlSettings>> All { get; } =
    [
        TimeSeriesSettings.Entry,
        EventSettings.Entry,
        FlatBatchSettings.Entry,
        CleanSettings.Entry,
        StandardSettings.Standard,
        StandardSettings.Exporter,
        SpanSettings.Entry,
        JsonSettings.Entry,
        TextSettings.Entry,
    ];
}
