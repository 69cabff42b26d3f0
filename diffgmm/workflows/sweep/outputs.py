"""What a sweep writes: its report, a page that holds everything, and the best trial's configuration for `fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from diffgmm.report.plots import Plot, plot_of
from diffgmm.utils.files import write_text
from diffgmm.workflows.sweep.space import Space, SweepError
from diffgmm.workflows.sweep.study import counts, states

if TYPE_CHECKING:
    import optuna

REPORT, BEST = "report.html", "best.yaml"
# Where a run is written and what it prints belong to the experiment, not to the trial.
_OWN = ("logger", "default_root_dir", "enable_progress_bar", "enable_model_summary")


def short(key: str, keys: Sequence[str]) -> str:
    """The end of a key, as long as it takes to tell it from the others.

    >>> short("model.head.init_args.components", ["model.head.init_args.components", "data.components"])
    'head.components'
    """
    parts, *others = ([part for part in name.split(".") if part != "init_args"] for name in (key, *keys))
    size = next(n for n in range(1, len(parts) + 1) if sum(o[-n:] == parts[-n:] for o in others) == 1)
    return ".".join(parts[-size:])


def _named_shortly(study: optuna.Study, names: Mapping[str, str]) -> optuna.Study:
    """A copy in memory whose parameters have short names, for plots."""
    import optuna

    copy = optuna.create_study(direction=study.direction)
    for trial in study.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)):
        trial.distributions = {names[key]: value for key, value in trial.distributions.items()}
        trial.params = {names[key]: value for key, value in trial.params.items()}
        copy.add_trial(trial)
    return copy


def plots(study: optuna.Study, space: Space, names: Mapping[str, str]) -> list[Plot]:
    """Optuna's plots of the trials; those that there are too few trials for are left out."""
    import matplotlib
    import optuna

    study, monitor = _named_shortly(study, names), space.monitor
    values = [trial.value for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    with matplotlib.rc_context({"backend": "agg"}):
        from matplotlib import pyplot
        from optuna.visualization import matplotlib as drawing

        named = {"target_name": monitor}
        share = {"evaluator": optuna.importance.FanovaImportanceEvaluator(seed=0), **named}
        share_of = f"share of each setting in the variance of {monitor} (fANOVA)"
        epochs = any(len(trial.intermediate_values) > 1 for trial in study.trials)
        several, varied = len(values) > 1, len(values) >= 4 and len(set(values)) > 1
        #: Title, whether there are enough trials for it, the function and its options.
        figures: list[tuple[str, bool, Callable[..., Any], dict[str, Any]]] = [
            (f"{monitor} by trial", bool(values), drawing.plot_optimization_history, named),
            (f"{monitor} by epoch", epochs, drawing.plot_intermediate_values, {}),
            (share_of, varied, drawing.plot_param_importances, share),
            ("settings of the trials", several, drawing.plot_parallel_coordinate, named),
            (f"{monitor} against each setting", several, drawing.plot_slice, named),
        ]  # fmt: skip
        made = []
        for title, _, draw, options in (entry for entry in figures if entry[1]):
            try:
                drawn = draw(study, **options)
            except (RuntimeError, ValueError, ImportError):  # no setting that all trials have, or no variance
                continue
            figure = (drawn.flat[0] if hasattr(drawn, "flat") else drawn).figure
            made.append(plot_of(figure, title))
            pyplot.close(figure)
    return made


def rows(study: optuna.Study, space: Space) -> list[dict[str, Any]]:
    """The trials as text for a table, the best first."""
    sign = 1 if space.direction == "minimize" else -1

    def place(trial: optuna.trial.FrozenTrial) -> tuple[bool, float, int]:
        finished = trial.state.name == "COMPLETE"
        return not finished, sign * (trial.value or 0.0) if finished else 0.0, trial.number

    lines = []
    for trial, state in sorted(states(study), key=lambda entry: place(entry[0])):
        before = trial.system_attrs.get("retry_history")
        note = f"repeats trial {before[-1]}" if before else ""
        if state in ("retried", "failed"):
            reason = str(trial.user_attrs.get("error", "killed too often"))
            note = "killed; another trial repeats it" if state == "retried" else reason
        value = trial.value if state == "finished" else trial.intermediate_values.get(trial.last_step or 0)
        settings = [_text(trial.params.get(parameter.key)) for parameter in space.parameters]
        seconds = f"{trial.duration.total_seconds():.0f}" if trial.duration else ""
        worker = trial.user_attrs.get("worker", "")
        cells = [_text(value), *settings, state, seconds, worker, note]
        lines.append({"number": trial.number, "cells": cells})
    return lines


def _text(value: Any) -> str:
    text = f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)
    return "" if value is None else text


def write_page(study: optuna.Study, space: Space, folder: Path) -> Path:
    """Write ``report.html`` into the sweep's folder."""
    from diffgmm.report.html import fill

    keys = [parameter.key for parameter in space.parameters]
    names = {key: short(key, keys) for key in keys}
    values: dict[str, Any] = {"counts": {state: n for state, n in counts(study).items() if n}}
    values |= {"rows": rows(study, space), "plots": plots(study, space, names)}
    title = f"Sweep {study.study_name}"
    write_text(folder / REPORT, fill("sweep.html", title=title, space=space, names=names, **values))
    return folder / REPORT


def write_best(study: optuna.Study, space: Space, configs: Sequence[Path], folder: Path) -> Path | None:
    """Write ``best.yaml`` into the sweep's folder; None while no trial is finished.

    It is what the trial's training wrote down itself, every setting of it, but with the experiment's own folder and
    loggers.

    Raises:
        SweepError: the trial's folder is not here.
    """
    try:
        trial = study.best_trial
    except ValueError:
        return None
    saved = folder / trial.user_attrs["folder"] / "config.yaml"
    try:
        settings: dict[str, Any] = yaml.safe_load(saved.read_text(encoding="utf-8"))
    except OSError as error:
        there = "the best trial ran in another folder, run this there"
        raise SweepError(f"{saved}: {error.strerror}; {there}") from error
    experiment: dict[str, Any] = {}
    for config in configs:  # as they are laid over one another
        experiment |= (yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("trainer") or {}
    for name in _OWN:
        settings["trainer"].pop(name, None)
        if name in experiment:
            settings["trainer"][name] = experiment[name]
    drawn = "".join(f"#   {key}: {value}\n" for key, value in trial.params.items())
    names = " and ".join(config.name for config in configs)
    head = (
        f"# Trial {trial.number} of the sweep {study.study_name} over {names}: "
        f"{space.monitor} {trial.value:.6g} ({space.value} value).\n{drawn}"
        f"#   diffgmm fit --config {BEST}\n"
    )
    write_text(folder / BEST, head + yaml.safe_dump(settings, sort_keys=False))
    return folder / BEST
