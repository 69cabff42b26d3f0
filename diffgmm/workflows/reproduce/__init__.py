"""Benchmarks from raw data to the final table: each step kept by what went into it.

:mod:`~diffgmm.workflows.reproduce.plan` reads the description, :mod:`~diffgmm.workflows.reproduce.steps` runs and keeps
steps, :mod:`~diffgmm.workflows.reproduce.table` compares with what is expected and shows it beside cited figures.
"""
