"""The workloads of the benchmark, one file for each engine."""
