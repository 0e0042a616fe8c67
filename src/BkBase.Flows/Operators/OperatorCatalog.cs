using BkBase.Flows.Definition;

namespace BkBase.Flows.Operators;

/// <summary>The nodes that flows may name: an explicit list.</summary>
public static class OperatorCatalog
{
    /// <param name="loader">Reads the tables of <c>enrich</c>; the engine itself opens nothing.</param>
    /// <param name="time">The clock that tells when a table is read again.</param>
    public static IReadOnlyList<CatalogEntry<INodeSettings>> All(ILookupLoader loader, TimeProvider time) =>
    [
        FilterSettings.Entry,
        DeriveSettings.Entry,
        SplitSettings.Entry,
        MergeSettings.Entry,
        EnrichSettings.Entry(loader, time),
        DedupeSettings.Entry,
    ];
}
