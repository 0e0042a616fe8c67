using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Running;
using BkBase.Benchmarks;

if (args is ["parse-ratios", .. var rest])
{
    ParseRatios.Run(rest.FirstOrDefault());
}
else
{
    // The build of the benchmark's own program takes long on a busy machine.
    var config = ManualConfig.Create(DefaultConfig.Instance).WithBuildTimeout(TimeSpan.FromMinutes(10));
    BenchmarkSwitcher.FromAssembly(System.Reflection.Assembly.GetExecutingAssembly()).Run(args, config);
}
