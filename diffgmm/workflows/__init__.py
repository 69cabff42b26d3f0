"""Work that takes many runs: sweeps, and benchmarks reproduced from raw data."""
