"""Systems on a set of pairs: quality by the metrics, and what it costs, cached by content.

:mod:`~diffgmm.evaluation.benchmark.pairset` reads the pairs, :mod:`~diffgmm.evaluation.benchmark.systems` lists what
is measured, :mod:`~diffgmm.evaluation.benchmark.run` does it. Nothing here is imported by ``diffgmm denoise``.
"""

from diffgmm.utils.errors import UsageError


class BenchmarkError(UsageError):
    """A benchmark that can't be run; one line: what is wrong, where, and what to do."""
