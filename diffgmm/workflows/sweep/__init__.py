"""Sweeps: many trainings whose settings Optuna chooses, shared by any number of workers.

:mod:`~diffgmm.workflows.sweep.space` reads what may vary, :mod:`~diffgmm.workflows.sweep.study` opens the shared study,
:mod:`~diffgmm.workflows.sweep.worker` runs trials, each in a process of its own, and
:mod:`~diffgmm.workflows.sweep.outputs` writes the report and the best trial's configuration.
"""
