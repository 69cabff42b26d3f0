"""The ablation runner: what it plans, trains, skips, goes on with and refuses; its table by known answers."""

import pytest

from data_modules.errors import DataError
from experiments.ablations import plan


def test_changes_reach_their_place_and_leave_the_base_alone():
    base = {"model": {"head": {"components": 3, "means": "mask"}}}
    assert plan.changed(base, {"model.head.components": 1})["model"]["head"] == {
        "components": 1,
        "means": "mask",
    }
    assert base["model"]["head"]["components"] == 3
    with pytest.raises(DataError, match="no such place"):
        plan.changed(base, {"model.head.components.more": 1})
