"""Learning-rate schedules that torch does not have ready."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class _Planned(LambdaLR):
    """A schedule whose plan is the configuration's, so that a resumed run may be given another one.

    Subclasses name the plan's attributes in ``PLAN`` and give the share of the optimizer's rate in :meth:`share`.
    """

    PLAN: tuple[str, ...] = ()

    def __init__(self, optimizer: Optimizer) -> None:
        super().__init__(optimizer, self.share)

    def share(self, step: int) -> float:
        """Share of the optimizer's rate at a training step."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Position only."""
        return {key: value for key, value in super().state_dict().items() if key not in self.PLAN}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the position, and keep this object's plan."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in self.PLAN})


class WarmupCosine(_Planned):
    """Linear warm-up to the optimizer's rate, then half a cosine down to a share of it; one call per training step.

    Args:
        optimizer: whose rate is the peak.
        total_steps: steps after which the floor is reached; later steps stay there, so a run can be prolonged.
        warmup_steps: steps of the rise.
        floor: final rate as a share of the peak.

    Raises:
        ValueError: if the warm-up does not end before ``total_steps``.
    """

    PLAN = ("total_steps", "warmup_steps", "floor")

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup_steps: int = 100, floor: float = 0.02
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps ({warmup_steps}) must be below total_steps ({total_steps})")
        self.total_steps, self.warmup_steps, self.floor = total_steps, warmup_steps, floor
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        """Share of the optimizer's rate at a training step."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))


class WarmupStableDecay(_Planned):
    """Linear warm-up, a constant rate, and a decay at the end; one call per training step.

    The constant part can be prolonged at will and taken up again from weights alone: only the last steps depend on
    where the run ends. The decay is ``1 - sqrt(done)``, the best of those compared by Haegele et al., "Scaling laws and
    compute-optimal training beyond fixed training durations", 2024 (arXiv 2405.18392), section 3.

    Args:
        optimizer: whose rate is the constant one.
        total_steps: steps after which the floor is reached.
        decay_steps: steps of the decay; 0 keeps the rate to the end.
        warmup_steps: steps of the rise.
        floor: final rate as a share of the constant one.

    Raises:
        ValueError: if warm-up and decay do not fit into ``total_steps``.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> plan = WarmupStableDecay(optimizer, total_steps=100, decay_steps=20, warmup_steps=10, floor=0.0)
        >>> [round(plan.share(step), 2) for step in (0, 9, 50, 80, 85, 100)]
        [0.1, 1.0, 1.0, 1.0, 0.5, 0.0]
    """

    PLAN = ("total_steps", "decay_steps", "warmup_steps", "floor")

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        decay_steps: int,
        warmup_steps: int = 100,
        floor: float = 0.02,
    ) -> None:
        if min(warmup_steps, decay_steps) < 0 or warmup_steps + decay_steps > total_steps:
            parts = f"warmup_steps ({warmup_steps}) and decay_steps ({decay_steps})"
            raise ValueError(f"{parts} must fit into total_steps ({total_steps})")
        self.total_steps, self.decay_steps = total_steps, decay_steps
        self.warmup_steps, self.floor = warmup_steps, floor
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        """Share of the optimizer's rate at a training step."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        left = self.total_steps - step
        if not self.decay_steps or left >= self.decay_steps:
            return 1.0
        done = min(1.0, 1.0 - left / self.decay_steps)
        return self.floor + (1.0 - self.floor) * (1.0 - math.sqrt(done))
