"""Scores of whole data sets, their tables and comparisons, the benchmark, and other denoisers to compare with."""
