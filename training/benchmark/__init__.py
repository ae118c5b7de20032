"""Benchmark: real returns by real steps, of agents from the dream and of agents without one."""

from .benchmark import BenchmarkConfig, benchmark
from .scores import BenchmarkResult

__all__ = ["BenchmarkConfig", "BenchmarkResult", "benchmark"]
