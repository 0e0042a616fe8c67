namespace BkBase.Host;

/// <summary>Exit codes of every verb.</summary>
internal static class ExitCodes
{
    public const int Good = 0;
    public const int Failed = 1;
    public const int Usage = 2;

    /// <summary>A configuration or flow that is not valid.</summary>
    public const int Invalid = 78;
}
