"""The report of a sweep: one HTML page that holds everything and asks nothing of the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.report.groups import large
from diffgmm.report.svg import Plot, plot_of
from diffgmm.utils.files import replacing
from diffgmm.workflows.sweep.space import Space
from diffgmm.workflows.sweep.worker import is_retry, repeated

if TYPE_CHECKING:
    import optuna

FILE = "report.html"
TEMPLATE = "sweep.html"


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


def short(key: str, keys: Sequence[str]) -> str:
    """The end of a key, as long as it takes to tell it from the others."""
    parts = [part for part in key.split(".") if part != "init_args"]
    for size in range(1, len(parts) + 1):
        name = ".".join(parts[-size:])
        if sum([p for p in key.split(".") if p != "init_args"][-size:] == parts[-size:] for key in keys) == 1:
            return name
    return ".".join(parts)


def _named_shortly(study: optuna.Study, space: Space) -> optuna.Study:
    """A copy in memory whose parameters have short names, for plots."""
    import optuna

    keys = [parameter.key for parameter in space.parameters]
    names = {key: short(key, keys) for key in keys}
    copy = optuna.create_study(direction=study.direction)
    for trial in study.get_trials(
        deepcopy=True, states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    ):
        copy.add_trial(
            optuna.trial.create_trial(
                state=trial.state,
                value=trial.value,
                params={names[key]: value for key, value in trial.params.items()},
                distributions={names[key]: value for key, value in trial.distributions.items()},
                intermediate_values=trial.intermediate_values,
            )
        )
    return copy


def plots(study: optuna.Study, space: Space) -> list[Plot]:
    """Optuna's plots of the trials; those that there are too few trials for are left out."""
    trials, monitor = finished(study), space.monitor
    if not trials:
        return []
    import matplotlib
    import optuna

    study = _named_shortly(study, space)
    with matplotlib.rc_context({"backend": "agg"}):
        from matplotlib import pyplot
        from optuna.visualization import matplotlib as drawing

        makers: dict[str, Callable[[], Any]] = {
            f"{monitor} by trial": lambda: drawing.plot_optimization_history(study, target_name=monitor)
        }
        if any(len(trial.intermediate_values) > 1 for trial in study.trials):
            makers[f"{monitor} by epoch"] = lambda: drawing.plot_intermediate_values(study)
        if len(trials) >= 4 and len({trial.value for trial in trials}) > 1:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            makers[f"share of each setting in the variance of {monitor} (fANOVA)"] = lambda: (
                drawing.plot_param_importances(study, evaluator, target_name=monitor)
            )
        if len(trials) > 1:
            makers["settings of the trials"] = lambda: drawing.plot_parallel_coordinate(
                study, target_name=monitor
            )
            makers[f"{monitor} against each setting"] = lambda: drawing.plot_slice(study, target_name=monitor)
        made = []
        for title, make in makers.items():
            try:
                drawn = make()
            except (
                RuntimeError,
                ValueError,
                ImportError,
            ):  # no setting that all trials have, or no variance in it
                continue
            figure = (drawn.flat[0] if hasattr(drawn, "flat") else drawn).figure
            made.append(plot_of(figure, title))
            pyplot.close(figure)
    return made


def counts(study: optuna.Study) -> dict[str, int]:
    """Number of trials by what became of them; ``retried`` are killed ones that another trial repeats."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    again = repeated(trials)
    failed = [trial.number for trial in trials if trial.state == TrialState.FAIL]

    def of(state: TrialState) -> int:
        return sum(trial.state == state for trial in trials)

    return {
        "finished": of(TrialState.COMPLETE),
        "pruned": of(TrialState.PRUNED),
        "retried": sum(number in again for number in failed),
        "failed": sum(number not in again for number in failed),
        "running": of(TrialState.RUNNING),
        "waiting": of(TrialState.WAITING),
    }


def rows(study: optuna.Study, space: Space) -> list[dict[str, Any]]:
    """The trials as text for a table, the best first."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    again = repeated(trials)
    order = {trial.number: rank for rank, trial in enumerate(finished(study))}
    lines = []
    for trial in sorted(trials, key=lambda trial_: (order.get(trial_.number, len(trials)), trial_.number)):
        state = {"COMPLETE": "finished", "FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        note = ""
        if trial.state == TrialState.FAIL and trial.number in again:
            state, note = "retried", "killed; another trial repeats it"
        elif trial.state == TrialState.FAIL:
            note = str(trial.user_attrs.get("error", "killed too often"))
        elif is_retry(trial):
            note = f"repeats trial {trial.system_attrs['retry_history'][-1]}"
        last = trial.last_step
        value = (
            trial.value if trial.state == TrialState.COMPLETE else trial.intermediate_values.get(last or 0)
        )
        seconds = trial.duration.total_seconds() if trial.duration else None
        lines.append(
            {
                "number": trial.number,
                "state": state,
                "value": "" if value is None else number(value),
                "settings": [_text(trial.params.get(parameter.key)) for parameter in space.parameters],
                "seconds": "" if seconds is None else f"{seconds:.0f}",
                "worker": str(trial.user_attrs.get("worker", "")),
                "note": note,
            }
        )
    return lines


def _text(value: Any) -> str:
    return "" if value is None else number(value) if isinstance(value, float) else str(value)


def write_page(study: optuna.Study, space: Space, folder: Path) -> Path:
    """Write ``report.html`` into the sweep's folder."""
    from diffgmm.report.html import fill

    keys = [parameter.key for parameter in space.parameters]
    text = fill(
        TEMPLATE,
        title=f"Sweep {study.study_name}",
        counts={state: number for state, number in counts(study).items() if number},
        space=space,
        head=[short(key, keys) for key in keys],
        keys=keys,
        rows=rows(study, space),
        plots=plots(study, space),
    )
    with replacing(folder / FILE) as part:
        part.write_text(text, encoding="utf-8")
    return folder / FILE
