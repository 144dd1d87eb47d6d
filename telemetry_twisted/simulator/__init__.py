"""Simulated JAM nodes, the load of tests and benchmarks."""
