"""Sweeps: many trainings whose settings Optuna chooses, shared by any number of workers.

:mod:`~diffgmm.workflows.sweep.space` reads what may vary, :mod:`~diffgmm.workflows.sweep.study` opens the shared study,
:mod:`~diffgmm.workflows.sweep.worker` runs trials, each in a process of its own,
:mod:`~diffgmm.workflows.sweep.best` writes the best one's
configuration, :mod:`~diffgmm.workflows.sweep.page` the report, :mod:`~diffgmm.workflows.sweep.wandb_yaml` the same
sweep for W&B.
"""

from diffgmm.workflows.sweep.space import SweepError

__all__ = ["SweepError"]
