"""A larger network of the same function: its answers, that it learns, and what it refuses."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import tiny

from diffgmm.diffusion.saving import build, describe, load_model, save_model
from diffgmm.utils.errors import UsageError
from experiments.release.grow import grow, leave_out, narrow, shorten


def larger(changes: dict, **kind: object) -> tuple:
    """A tiny model, and one with ``changes`` to its network."""
    old = tiny(**kind).eval()  # type: ignore[arg-type]
    description = copy.deepcopy(describe(old))
    description["init_args"]["network"]["init_args"] |= changes
    torch.manual_seed(5)
    return old, build(description).eval()


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(
    "changes",
    [
        {"channels": [10, 8]},
        {"channels": [9, 12]},  # the recurrence at the bottom reads more, too
        {"dual": 2, "fine": 8},
        {"channels": [10, 12], "dual": 1, "dual_level": 1, "fine": 8, "fine_channels": 6},
    ],
)
def test_it_computes_the_same_and_learns_in_what_is_new(changes: dict, norm: str) -> None:
    old, new = larger(changes, norm=norm)
    with torch.no_grad():
        before = new.enhance(torch.randn(1, 1, 4000)).waveform
    grow(old, new)
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(new.enhance(x).waveform, old.enhance(x).waveform, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(new.enhance(x[:1]).waveform, before)
    new.train()
    mixture, target = new.posterior_and_target(x, 0.5 * x)
    (-mixture.log_prob(target).mean()).backward()
    size = changes.get("channels", [6])[0]
    if size > 6:  # what nothing reads yet is read from the first step on
        entry, leaving = new.network.down[0].resample.weight, new.network.up[-1].resample.weight.grad
        assert leaving is not None and leaving[6:].abs().sum() > 0 and leaving.shape[0] == size
        assert entry[6:].abs().sum() > 0
    for name, value in new.named_parameters():
        assert value.grad is None or value.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [4, 8]}, "would go from"),
        ({"hidden": 24}, "another function"),  # the gates of a recurrence lie one behind the other
        ({"slope": 0.3}, "another function"),
    ],
)
def test_another_function_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grow(*larger(changes))


def test_a_branch_is_taken_out_and_the_rest_stays() -> None:
    old, new = larger({"bottleneck": "none", "channels": [10, 8]})
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = old.enhance(x).waveform
        leave_out(old, "network.bottleneck")
        grow(old, new)
        after = new.enhance(x).waveform
        torch.testing.assert_close(after, old.enhance(x).waveform, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(after, before, rtol=1e-3)
    with pytest.raises(UsageError, match=r"no module 'network\.attention'"):
        leave_out(old, "network.attention")


def test_a_block_that_hears_the_time_is_taken_out() -> None:
    _, old = larger({"fine": 8, "fine_blocks": 2})
    _, new = larger({"fine": 8, "fine_blocks": 1})
    torch.nn.init.normal_(old.network.fine.out.weight, std=0.3)
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = old.enhance(x).waveform
        leave_out(old, "network.fine.blocks.1")
        grow(old, new)
        after = new.enhance(x).waveform
        torch.testing.assert_close(after, old.enhance(x).waveform, rtol=1e-4, atol=1e-5)
    assert len(new.network.fine.blocks) == 1 and not torch.allclose(after, before, rtol=1e-3)


def test_lower_levels_and_outer_taps_are_taken_out_and_the_rest_stays() -> None:
    three = {
        "channels": [6, 8, 10],
        "strides": [[4, 1], [2, 1], [2, 1]],
        "dual": 1,
        "dual_level": 1,
        "fine": 8,
    }
    _, old = larger({"bottleneck": "none"} | three)
    _, new = larger(
        {"bottleneck": "none"}
        | three
        | {"fine_kernel": [3, 1], "channels": [7, 8], "strides": [[4, 1], [2, 1]]}
    )
    for model in (old, new):  # none of its branches without effect
        for module in (model.network.dual[0].time, model.network.dual[0].frequency, model.network.fine):
            torch.nn.init.normal_(module.out.weight, std=0.3)
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        before = old.enhance(x).waveform
        shorten(old, 2)
        shorter = old.enhance(x).waveform
        narrow(old, [3, 1])
        grow(old, new)
        after = new.enhance(x).waveform
        torch.testing.assert_close(after, old.enhance(x).waveform, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(shorter, before, rtol=1e-3) and not torch.allclose(after, shorter, rtol=1e-3)
    assert len(new.network.down) == 2 and sum(v.numel() for v in new.parameters()) < 10000
    with pytest.raises(UsageError, match="recurrences above the cut"):
        shorten(old, 1)
    with pytest.raises(UsageError, match=r"\[3, 1\] taps can't grow to \[5, 1\]"):
        narrow(old, [5, 1])
    old.network.down = None
    with pytest.raises(UsageError, match="has no levels"):
        shorten(old, 1)
    with pytest.raises(UsageError, match="has no fine band"):
        narrow(tiny(), [3, 1])


def test_command_writes_a_model_and_overwrites_none(tmp_path: Path) -> None:
    model = tiny().eval()
    save_model(tmp_path / "old", model, {"name": "old", "steps": 7}, {"nfe": 1})
    line = [
        sys.executable,
        "-m",
        "experiments.release.grow",
        str(tmp_path / "old.json"),
        "-o",
        str(tmp_path / "new"),
    ]
    line += ["--network", "{channels: [10, 8]}"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    new, description = load_model(tmp_path / "new.json")
    assert description["card"]["steps"] == 7
    assert f"{sum(p.numel() for p in new.parameters()):,} parameters, the same function" in done.stdout
    again = subprocess.run(line, capture_output=True, text=True)
    assert again.returncode == 2 and again.stderr == f"diffgmm: error: {tmp_path / 'new'} is there already\n"
    line[line.index("-o") + 1] = str(tmp_path / "less")
    line[-1:] = ["{bottleneck: none}", "--without", "network.bottleneck"]
    less = subprocess.run(line, capture_output=True, text=True)
    assert less.returncode == 0, less.stderr
    assert less.stdout.endswith("parameters, the same function without network.bottleneck\n")
    assert not [name for name in load_model(tmp_path / "less.json")[0].state_dict() if "bottleneck" in name]
    line[line.index("-o") + 1] = str(tmp_path / "one")
    line[-3:] = [
        "{bottleneck: none, dual_level: 0, fine: 8, fine_kernel: [3, 3]}",
        "--without",
        "network.bottleneck",
        "--levels",
        "1",
    ]
    one = subprocess.run(line, capture_output=True, text=True)
    assert one.returncode == 0, one.stderr
    assert one.stdout.endswith("function without network.bottleneck without lower levels\n")
