"""Other denoisers to measure against: one small file each, imported when it is asked for.

A baseline lives in a package of its own with its weights inside. The wrappers are diffgmm's, not the packages' own
pipelines; lags were found by cross-correlation. Nothing here needs diffgmm, so that :mod:`.worker` can run the
baselines in another interpreter.
"""

from __future__ import annotations

import importlib

from .base import Baseline

#: Module by name of the baseline, in the order of tables: classical methods first.
MODULES = {
    "noisereduce-stationary": "noisereduce",
    "noisereduce": "noisereduce",
    "speex": "speex",
    "webrtc": "webrtc",
    "webrtc-noise-gain": "webrtc",
    "rnnoise": "rnnoise",
    "nsnet2": "nsnet2",
    "dtln": "dtln",
    "gtcrn": "gtcrn",
    "dfn3": "dfn3",
    "hush": "hush",
}


def baseline(name: str) -> Baseline:
    """The baseline of that name.

    Raises:
        KeyError: there is none.
    """
    module = importlib.import_module(f".{MODULES[name]}", __name__)
    return next(baseline for baseline in module.BASELINES if baseline.name == name)
