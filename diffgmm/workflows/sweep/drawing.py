"""Plots of a sweep: what its trials came to, what mattered, and how settings go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diffgmm.report import svg
from diffgmm.report.groups import large
from diffgmm.report.plots import Plot
from diffgmm.workflows.sweep.space import Parameter, Space

if TYPE_CHECKING:
    import optuna
    from matplotlib.axes import Axes

_STRONG = 0.2  # share of the trials that are drawn as the best ones
_CURVES = 60


def number(value: float) -> str:
    """Short text of a number."""
    return large(value) if abs(value) >= 1e4 else f"{value:.4g}".replace("-", "−")


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials with a value, from the best to the worst."""
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
    return sorted(trials, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def history(study: optuna.Study, space: Space) -> Plot | None:
    """Value by trial, and the best until then."""
    trials = sorted(finished(study), key=lambda trial: trial.number)
    if not trials:
        return None
    figure, axes = svg.new_plot("trial")
    values = [float(trial.value or 0.0) for trial in trials]
    best, least = [], values[0]
    for value in values:
        least = min(least, value) if space.direction == "minimize" else max(least, value)
        best.append(least)
    numbers = [trial.number for trial in trials]
    axes.plot(numbers, values, "o", color=svg.color(0), markersize=5, clip_on=False)
    axes.step(numbers, best, where="post", color=svg.color(1), linewidth=1.8)
    _frame(axes, values)
    _whole(axes)
    title = f"{space.monitor} by trial (line: the best so far)"
    return Plot(title, svg.inline(figure, "sh", title))


def importance(study: optuna.Study, space: Space) -> Plot | None:
    """Share of the value's variance that each setting explains (fANOVA); None for too few trials."""
    import optuna

    trials = finished(study)
    if len(trials) < 4 or len({trial.value for trial in trials}) < 2:
        return None
    try:
        shares = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )
    except (RuntimeError, ValueError, ImportError):  # no setting that all trials have, or no variance in it
        return None
    if not shares:
        return None
    names = list(shares)[::-1]
    figure, axes = svg.new_plot("share of the variance")
    axes.barh(range(len(names)), [shares[name] for name in names], color=svg.color(0), height=0.4)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.05 * max(shares.values()))
    for i, name in enumerate(names):
        axes.annotate(
            f"{short(name, names)}  {shares[name]:.2f}", (0, i + 0.2), (2, 2), textcoords="offset pixels",
            fontsize=svg.SIZE - 1, color=svg.INK, parse_math=False, va="bottom",
        )  # fmt: skip
    axes.set_ylim(-0.5, len(names) - 0.2)
    title = f"what {space.monitor} depends on (fANOVA, of settings that every trial has)"
    return Plot(title, svg.inline(figure, "si", title))


def short(key: str, keys: Sequence[str]) -> str:
    """The end of a key, as long as it takes to tell it from the others."""
    parts = [part for part in key.split(".") if part != "init_args"]
    for size in range(1, len(parts) + 1):
        name = ".".join(parts[-size:])
        if sum([p for p in key.split(".") if p != "init_args"][-size:] == parts[-size:] for key in keys) == 1:
            return name
    return ".".join(parts)


def coordinates(study: optuna.Study, space: Space) -> Plot | None:
    """Every trial as a line through its settings to its value; the best fifth strong."""
    trials = finished(study)
    shown = [
        parameter for parameter in space.parameters if any(parameter.key in trial.params for trial in trials)
    ]
    if len(trials) < 2 or not shown:
        return None
    figure, axes = svg.new_plot("")
    columns = [*shown, None]
    values = [float(trial.value or 0.0) for trial in trials]
    strong = max(1, round(_STRONG * len(trials)))
    for rank, trial in reversed(list(enumerate(trials))):
        best = rank < strong
        line = [
            _height(column, trial.params.get(column.key)) if column else _share(values[rank], values)
            for column in columns
        ]
        known = [(i, y) for i, y in enumerate(line) if y is not None]
        axes.plot(
            [x for x, _ in known], [y for _, y in known], color=svg.color(1 if best else 0), clip_on=False,
            linewidth=1.8 if best else 0.8, alpha=0.95 if best else 0.35, gid=f"t{trial.number}",
        )  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_xlim(0, len(columns) - 1)
    axes.set_yticks([])
    keys = [parameter.key for parameter in shown]
    names = [*(short(key, keys) for key in keys), space.monitor]
    axes.set_xticks(range(len(columns)), [str(i + 1) for i in range(len(columns))])
    axes.grid(True, axis="x", color=svg.FAINT, linewidth=0.9)
    for i, axis in enumerate(columns):
        low, high = _ends(axis) if axis else (number(min(values)), number(max(values)))
        side = "left" if i == 0 else "right" if i == len(columns) - 1 else "center"
        for y, text, place in ((0, low, "bottom"), (1, high, "top")):
            axes.annotate(
                text, (i, y), ha=side, va=place, fontsize=svg.SIZE - 2, color=svg.INK, parse_math=False,
                bbox={"facecolor": svg.PAPER, "edgecolor": "none", "pad": 1, "alpha": 0.8},
            )  # fmt: skip
    legend = ", ".join(f"{i + 1}: {name}" for i, name in enumerate(names))
    title = f"settings of the trials, the best fifth strong ({legend})"
    titles = {
        f"t{trial.number}": f"trial {trial.number}: {number(float(trial.value or 0))}" for trial in trials
    }
    return Plot(title, svg.inline(figure, "sp", title, titles))


def _height(parameter: Parameter, value: Any) -> float | None:
    """Place of a value on its axis, from 0 to 1; None if the trial did not have the setting."""
    if parameter.type == "categorical":
        choices = list(parameter.choices)
        return choices.index(value) / max(1, len(choices) - 1) if value in choices else None
    if value is None:
        return None
    low, high = (
        (math.log(parameter.low), math.log(parameter.high))
        if parameter.log
        else (parameter.low, parameter.high)
    )
    place = math.log(value) if parameter.log else float(value)
    return (place - low) / (high - low) if high > low else 0.5


def _share(value: float, values: Sequence[float]) -> float:
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.5


def _ends(parameter: Parameter) -> tuple[str, str]:
    if parameter.type == "categorical":
        choices = [str(choice) for choice in parameter.choices]
        return choices[0], choices[-1]
    return number(parameter.low), number(parameter.high)


def slices(study: optuna.Study, space: Space) -> list[Plot]:
    """Value against each setting."""
    trials = finished(study)
    plots = []
    keys = [parameter.key for parameter in space.parameters]
    for i, setting in enumerate(space.parameters):
        points = [
            (trial.params[setting.key], float(trial.value or 0))
            for trial in trials
            if setting.key in trial.params
        ]
        if len(points) < 2:
            continue
        figure, axes = svg.new_plot(short(setting.key, keys) + (", log" if setting.log else ""))
        if setting.type == "categorical":
            choices = list(setting.choices)
            axes.set_xticks(range(len(choices)), [str(choice) for choice in choices])
            axes.set_xlim(-0.5, len(choices) - 0.5)
            points = [(choices.index(x), y) for x, y in points]
        elif setting.type == "int":
            _whole(axes)
        elif setting.log:
            svg.log_axis(axes, setting.low / 1.05, setting.high * 1.05)
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            "o",
            color=svg.color(0),
            markersize=5,
            clip_on=False,
        )
        _frame(axes, [y for _, y in points])
        title = f"{space.monitor} against {setting.key}"
        plots.append(Plot(title, svg.inline(figure, f"sl{i}", title)))
    return plots


def curves(study: optuna.Study, space: Space) -> Plot | None:
    """The quantity over the epochs of every trial; those that were pruned end early."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    trials = [
        trial
        for trial in study.get_trials(deepcopy=False, states=states)
        if len(trial.intermediate_values) > 0
    ]
    if not any(len(trial.intermediate_values) > 1 for trial in trials):
        return None
    figure, axes = svg.new_plot("epoch")
    seen: list[float] = []
    for trial in trials[-_CURVES:]:
        steps = sorted(trial.intermediate_values)
        values = [trial.intermediate_values[step] for step in steps]
        seen += [value for value in values if math.isfinite(value)]
        pruned = trial.state == TrialState.PRUNED
        axes.plot(
            steps, values, color=svg.FAINT if pruned else svg.color(0), linewidth=1.0, alpha=0.7, marker="x" if pruned
            else None, markevery=[-1] if pruned else None, markersize=4,
        )  # fmt: skip
    if not seen:
        return None
    _frame(axes, seen)
    _whole(axes)
    title = f"{space.monitor} by epoch (grey with a cross: pruned there)"
    return Plot(title, svg.inline(figure, "sc", title))


def _frame(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - pad, high + pad)


def _whole(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
