"""Systems on a set of pairs: quality by the metrics, and what it costs, cached by content.

:mod:`~diffgmm.benchmark.pairset` reads the pairs, :mod:`~diffgmm.benchmark.systems` lists what is measured,
:mod:`~diffgmm.benchmark.run` does it. Nothing here is imported by ``diffgmm denoise``.
"""

from diffgmm.benchmark.errors import BenchmarkError

__all__ = ["BenchmarkError"]
