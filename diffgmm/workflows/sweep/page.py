"""The report of a sweep: one HTML page that holds everything and asks nothing of the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.utils.files import replacing
from diffgmm.workflows.sweep import drawing
from diffgmm.workflows.sweep.space import Space
from diffgmm.workflows.sweep.worker import is_retry, repeated

if TYPE_CHECKING:
    import optuna

FILE = "report.html"
TEMPLATE = "sweep.html"


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
    order = {trial.number: rank for rank, trial in enumerate(drawing.finished(study))}
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
                "value": "" if value is None else drawing.number(value),
                "settings": [_text(trial.params.get(parameter.key)) for parameter in space.parameters],
                "seconds": "" if seconds is None else f"{seconds:.0f}",
                "worker": str(trial.user_attrs.get("worker", "")),
                "note": note,
            }
        )
    return lines


def _text(value: Any) -> str:
    return "" if value is None else drawing.number(value) if isinstance(value, float) else str(value)


def write_page(study: optuna.Study, space: Space, folder: Path) -> Path:
    """Write ``report.html`` into the sweep's folder."""
    from diffgmm.report.html import fill

    plots = [plot(study, space) for plot in (drawing.history, drawing.importance, drawing.curves)]
    keys = [parameter.key for parameter in space.parameters]
    text = fill(
        TEMPLATE,
        title=f"Sweep {study.study_name}",
        counts={state: number for state, number in counts(study).items() if number},
        space=space,
        head=[drawing.short(key, keys) for key in keys],
        keys=keys,
        rows=rows(study, space),
        plots=[plot for plot in plots if plot],
        wide=drawing.coordinates(study, space),
        slices=drawing.slices(study, space),
    )
    with replacing(folder / FILE) as part:
        part.write_text(text, encoding="utf-8")
    return folder / FILE
