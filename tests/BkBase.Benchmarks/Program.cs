using BenchmarkDotNet.Running;
using BkBase.Benchmarks;

if (args is ["parse-ratios", .. var rest])
{
    ParseRatios.Run(rest.FirstOrDefault());
}
else
{
    BenchmarkSwitcher.FromAssembly(System.Reflection.Assembly.GetExecutingAssembly()).Run(args);
}
