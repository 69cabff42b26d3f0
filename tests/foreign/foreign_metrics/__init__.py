"""A metric of another package, as a reader of the documentation would write one."""

from __future__ import annotations

import numpy as np

from diffgmm.metrics import metric


@metric(unit="dB", higher_is_better=False)
def level_error(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """How far the estimate's level is from the reference's, either way."""
    return abs(10 * float(np.log10((estimate @ estimate) / (reference @ reference))))


def undescribed(estimate: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    return 0.0
