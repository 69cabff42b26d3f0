"""Sweeps: many trainings whose settings Optuna chooses, shared by any number of workers.

:mod:`~diffgmm.sweep.space` reads what may vary, :mod:`~diffgmm.sweep.study` opens the shared study,
:mod:`~diffgmm.sweep.worker` runs trials, each in a process of its own, :mod:`~diffgmm.sweep.best` writes the best one's
configuration, :mod:`~diffgmm.sweep.page` the report, :mod:`~diffgmm.sweep.wandb_yaml` the same sweep for W&B.
"""

from diffgmm.sweep.space import SweepError

__all__ = ["SweepError"]
