"""Learning-rate schedules that torch does not have ready."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupCosine(LambdaLR):
    """Linear warm-up to the optimizer's rate, then half a cosine down to a share of it; one call per training step.

    Args:
        optimizer: whose rate is the peak.
        total_steps: steps after which the floor is reached; later steps stay there, so a run can be prolonged.
        warmup_steps: steps of the rise.
        floor: final rate as a share of the peak.

    Raises:
        ValueError: if the warm-up does not end before ``total_steps``.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, warmup_steps: int = 100, floor: float = 0.02
    ) -> None:
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps ({warmup_steps}) must be below total_steps ({total_steps})")
        self.total_steps, self.warmup_steps, self.floor = total_steps, warmup_steps, floor
        super().__init__(optimizer, self._share)

    def _share(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        return self.floor + (1.0 - self.floor) * 0.5 * (1.0 + math.cos(math.pi * done))

    _PLAN = ("total_steps", "warmup_steps", "floor")

    def state_dict(self) -> dict[str, Any]:
        """Position only: the plan is the configuration's, so that a resumed run may be given another one."""
        return {key: value for key, value in super().state_dict().items() if key not in self._PLAN}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the position, and keep this object's plan."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in self._PLAN})
