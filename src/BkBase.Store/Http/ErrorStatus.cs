namespace BkBase.Store.Http;

/// <summary>The HTTP status of an error code, as the server gives it.</summary>
internal static class ErrorStatus
{
    public static int Of(int code) => code switch
    {
        6 or 25 or 26 or 27 or 36 or 38 or 41 or 43 or 53 or 57 or 62 or 72 or 117 or 427 or 456 or 457 => 400,
        46 or 47 or 50 or 56 or 60 or 63 or 73 or 81 or 115 => 404,
        159 => 408,
        164 or 192 or 193 or 497 or 516 => 403,
        48 => 501,
        202 => 503,
        _ => 500,
    };
}
