using BenchmarkDotNet.Running;
using BkBase.Benchmarks;

if (args is ["parse-ratios", .. var rest])
{
    ParseRatios.Run(rest.FirstOrDefault());
}
else if (args is ["hot", var c])
{
    ParseRatios.Hot(c);
}
else
{
    BenchmarkSwitcher.FromAssembly(System.Reflection.Assembly.GetExecutingAssembly()).Run(args);
}
