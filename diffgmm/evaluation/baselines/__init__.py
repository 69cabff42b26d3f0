"""Other denoisers to compare with, each in a package of its own with its weights inside, loaded when it is asked for.

The wrappers are diffgmm's, not the packages' own pipelines; lags were found by cross-correlation. Nothing here needs
diffgmm, so that :mod:`.worker` can run the baselines in another interpreter.
"""

import json
from pathlib import Path

from .base import Baseline

_TABLE = json.loads(Path(__file__).with_name("baselines.json").read_text(encoding="utf-8"))
#: By name, in the order of tables: classical methods first.
BASELINES = {name: Baseline(name, **about) for name, about in _TABLE.items()}
