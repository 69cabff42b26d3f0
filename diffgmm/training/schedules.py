"""Learning-rate schedules that torch does not have ready.

Their plan lies in a function, which checkpoints leave out: a resumed run goes on from its position by the plan that the
configuration has now.
"""

from __future__ import annotations

import math

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

        def share(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            done = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
            return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

        super().__init__(optimizer, share)


class WarmupStableDecay(LambdaLR):
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
        >>> [round(plan.lr_lambdas[0](step), 2) for step in (0, 9, 50, 80, 85, 100)]
        [0.1, 1.0, 1.0, 1.0, 0.5, 0.0]
    """

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

        def share(step: int) -> float:
            if step < warmup_steps:
                return (step + 1) / warmup_steps
            left = total_steps - step
            if not decay_steps or left >= decay_steps:
                return 1.0
            done = min(1.0, 1.0 - left / decay_steps)
            return floor + (1.0 - floor) * (1.0 - math.sqrt(done))

        super().__init__(optimizer, share)
