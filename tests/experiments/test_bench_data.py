"""The benchmark of the data path: runs, prints its goals, writes what it printed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.bench import data
from experiments.bench.mixing import measure
from experiments.bench.training import sparse_pool, unique_memory


def test_rates_count_calls() -> None:
    calls: list[int] = []
    rate = measure(lambda number: calls.append(int(np.sum(np.ones(20000)))), 0.05, repeats=2)
    assert len(calls) >= 3  # the warm-up, and one call a repeat on however slow a machine
    assert rate.per_second > 0.0 and rate.per_core > 0.0


def test_mixing_is_measured_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    file = tmp_path / "figures.json"
    assert data.main(["--seconds", "0.05", "--only", "mixing", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "goal 1000" in printed and "goal 150" in printed
    figures = json.loads(file.read_text())
    assert set(figures) >= {"corpus", "cores", "load", "mixing"}
    assert all(rate > 0 for rate in figures["mixing"].values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sparse_pool_is_large_and_takes_no_room(tmp_path: Path) -> None:
    import os

    pool = sparse_pool(tmp_path / "pool", 50.0)
    assert pool.seconds == 50 * 3600
    assert sum(path.stat().st_blocks * 512 for path in (tmp_path / "pool").iterdir()) < 20e6
    assert not pool.read(len(pool) - 1).any()
    before = unique_memory(os.getpid())
    block = np.ones(10**7)
    assert 60e6 < unique_memory(os.getpid()) - before < 120e6
    del block
