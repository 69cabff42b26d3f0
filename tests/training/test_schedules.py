"""Learning-rate schedules: known shares, plans that a resumed run may change."""

from __future__ import annotations

import pytest
import torch

from diffgmm.training.schedules import WarmupCosine, WarmupStableDecay


def _rates(plan: type[torch.optim.lr_scheduler.LambdaLR], steps: int, **arguments: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = plan(optimizer, **arguments)  # type: ignore[arg-type]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_warmup_cosine_is_half_way_down_in_the_middle() -> None:
    rates = _rates(WarmupCosine, 31, total_steps=30, warmup_steps=10, floor=0.0)
    assert rates[9] == rates[10] == 2.0
    assert rates[20] == pytest.approx(1.0)
    assert rates[30] == 0.0


def test_stable_decay_holds_the_rate_and_ends_with_the_root() -> None:
    rates = _rates(WarmupStableDecay, 121, total_steps=100, decay_steps=16, warmup_steps=4, floor=0.1)
    assert rates[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert set(rates[4:85]) == {2.0}
    assert rates[88] == pytest.approx(2.0 * (0.1 + 0.9 * 0.5))  # a quarter done: 1 - sqrt(1/4)
    assert rates[100:] == pytest.approx([0.2] * 21)


def test_without_decay_the_rate_stays() -> None:
    assert _rates(WarmupStableDecay, 30, total_steps=10, decay_steps=0, warmup_steps=2)[2:] == [2.0] * 28


@pytest.mark.parametrize("steps", [(10, 5, 6), (10, -1, 0), (10, 0, -1)])
def test_a_plan_that_does_not_fit_is_refused(steps: tuple[int, int, int]) -> None:
    total, decay, warmup = steps
    with pytest.raises(ValueError, match="must fit"):
        _rates(WarmupStableDecay, 1, total_steps=total, decay_steps=decay, warmup_steps=warmup)


def test_a_resumed_run_keeps_its_place_and_takes_the_new_plan() -> None:
    def make(total: int) -> WarmupStableDecay:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        return WarmupStableDecay(optimizer, total_steps=total, decay_steps=4, warmup_steps=1, floor=0.0)

    first = make(100)
    for _ in range(8):
        first.optimizer.step()
        first.step()
    second = make(10)
    second.load_state_dict(first.state_dict())
    assert second.last_epoch == 8
    second.optimizer.step()
    second.step()
    assert second.get_last_lr() == pytest.approx([1.0 - (3 / 4) ** 0.5])
