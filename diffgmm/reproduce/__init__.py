"""Benchmarks from raw data to the final table: each step kept by what went into it.

:mod:`~diffgmm.reproduce.plan` reads the description, :mod:`~diffgmm.reproduce.steps` runs and keeps steps,
:mod:`~diffgmm.reproduce.code` tells versions of code apart, :mod:`~diffgmm.reproduce.table` compares with what is
expected and shows it beside cited figures.
"""

from diffgmm.reproduce.plan import ReproduceError

__all__ = ["ReproduceError"]
