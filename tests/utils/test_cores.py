"""Threads: as many as were set, and one for what must not depend on them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from diffgmm import metrics
from diffgmm.utils.cores import computes_bfloat16, one_thread


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


def test_a_gpu_computes_bfloat16_and_a_processor_of_avx2_does_not() -> None:
    assert computes_bfloat16("cuda")
    flags = set(Path("/proc/cpuinfo").read_text().split()) if sys.platform == "linux" else set()
    if "avx2" in flags and not flags & {"avx512bw", "avx_ne_convert"}:
        assert not computes_bfloat16("cpu")
    else:
        assert isinstance(computes_bfloat16("cpu"), bool)
