"""The best trial's configuration, ready for `diffgmm fit --config`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from diffgmm.utils.files import replacing
from diffgmm.workflows.sweep.space import Space, SweepError

if TYPE_CHECKING:
    import optuna

FILE = "best.yaml"
# Where a run is written and what it prints belong to the experiment, not to the trial.
_OWN = ("logger", "default_root_dir", "enable_progress_bar", "enable_model_summary")


def best_trial(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The finished trial with the best value; None while there is none."""
    try:
        return study.best_trial
    except ValueError:
        return None


def write_best(study: optuna.Study, space: Space, configs: Sequence[Path], folder: Path) -> Path | None:
    """Write ``best.yaml`` into the sweep's folder; None while no trial is finished.

    It is what the trial's training wrote down itself, every setting of it, but with the experiment's own folder and
    loggers.

    Raises:
        SweepError: the trial's folder is not here.
    """
    trial = best_trial(study)
    if trial is None:
        return None
    saved = folder / trial.user_attrs["folder"] / "config.yaml"
    try:
        settings: dict[str, Any] = yaml.safe_load(saved.read_text(encoding="utf-8"))
    except OSError as error:
        raise SweepError(
            f"{saved}: {error.strerror}; the best trial ran in another folder, run this there"
        ) from error
    experiment: dict[str, Any] = {}
    for one in configs:  # as they are laid over one another
        experiment |= (yaml.safe_load(one.read_text(encoding="utf-8")) or {}).get("trainer") or {}
    for name in _OWN:
        settings["trainer"].pop(name, None)
        if name in experiment:
            settings["trainer"][name] = experiment[name]
    drawn = "".join(f"#   {key}: {value}\n" for key, value in trial.params.items())
    names = " and ".join(one.name for one in configs)
    head = (
        f"# Trial {trial.number} of the sweep {study.study_name} over {names}: "
        f"{space.monitor} {trial.value:.6g} ({space.value} value).\n{drawn}"
        f"#   diffgmm fit --config {FILE}\n"
    )
    with replacing(folder / FILE) as part:
        part.write_text(head + yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    return folder / FILE
