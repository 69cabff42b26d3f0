"""Counts of processor cores and threads."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Default number of threads: ``OMP_NUM_THREADS``, else every core this process may use."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdigit() and int(chosen) > 0 else usable_cores()


def computes_bfloat16(device: str) -> bool:
    """Whether a device of this type has arithmetic in bfloat16; emulated, a convolution takes 80 times as long."""
    import torch

    return device != "cpu" or (
        torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let the numerical libraries compute on one thread: a sum's last bits depend on how many threads add it up."""
    torch = sys.modules.get("torch")
    threads = 0 if torch is None else torch.get_num_threads()
    with _libraries(len(sys.modules)).limit(limits=1):
        try:
            if torch is not None:
                torch.set_num_threads(1)
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(threads)


@functools.lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:  # noqa: ARG001 (the key under which it is kept)
    """BLAS and OpenMP as loaded; looked for again when there are more modules, since it takes 15 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
