"""Threads: as many as were set, and one for what must not depend on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from diffgmm import metrics
from diffgmm.utils.cores import one_thread


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_and_afterwards_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threadpool_limits(2, user_api="blas"):
            with pytest.raises(ArithmeticError), one_thread():
                assert torch.get_num_threads() == 1 and blas_threads() == {1}
                raise ArithmeticError
            assert torch.get_num_threads() == 3 and blas_threads() == {2}
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", [name for name in metrics.NAMES if not name.startswith("dnsmos")])
def test_no_score_depends_on_threads(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    measure = metrics.get_metric(name)
    scores = []
    for threads in (1, 4):
        with threadpool_limits(threads):
            scores.append(measure.explain(noisy, clean, 16000).value)
    assert scores[0] == scores[1] or np.isnan(scores).all()  # of what is not installed
