"""The study that all workers of a sweep share: where it is kept, who proposes, who stops what does not promise."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.workflows.sweep.space import Parameter, Space, SweepError, load_optuna

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal:"
FILE = "study.db"
STATES = ("finished", "pruned", "retried", "failed", "running", "waiting")


def default_storage(folder: Path) -> str:
    """Address of the embedded database in a sweep's folder."""
    return f"sqlite:///{(folder / FILE).resolve()}"


def open_storage(address: str, heartbeat: int = 60, retries: int = 3) -> optuna.storages.BaseStorage:
    """Where the study is kept.

    Args:
        address: ``sqlite:///FILE``, ``postgresql+psycopg://USER@HOST/NAME``, ``mysql+pymysql://...`` or
            ``journal:FILE``; a journal knows no heartbeats, so it does not notice killed workers.
        heartbeat: seconds between signs of life; a trial without any for twice as long is given to another worker.
        retries: times that a trial whose worker died is begun anew.

    Raises:
        SweepError: not an address, no driver for it, or nobody answers there.
    """
    optuna = load_optuna()
    if address.startswith(JOURNAL):
        backend = optuna.storages.journal.JournalFileBackend(address.removeprefix(JOURNAL))
        return optuna.storages.JournalStorage(backend)
    # Workers that write at once wait for one another; connections that a server closed are opened again.
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if address.startswith("sqlite:"):
        engine["connect_args"] = {"timeout": 120}
    again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=retries)
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return optuna.storages.RDBStorage(
            address, engine_kwargs=engine, heartbeat_interval=heartbeat, grace_period=2 * heartbeat,
            heartbeat_stale_trial_callback=again,
        )  # fmt: skip
    except (SQLAlchemyError, ImportError, ValueError) as error:  # whatever the driver
        reason = str(error).strip().splitlines()[0]
        raise SweepError(f"{public(address)}: cannot keep a study there ({reason})") from error


def public(address: str) -> str:
    """An address without its password.

    >>> public("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    return re.sub("(://[^:]*):.*@", r"\1:***@", address, count=1, flags=re.DOTALL)


def make_sampler(space: Space, number: int = 0) -> optuna.samplers.BaseSampler:
    """What proposes the values of a trial.

    Its random numbers come from the seed and the trial's number: workers propose different trials, and a sweep that
    was interrupted proposes what it would have.

    Raises:
        SweepError: unknown name or option.
    """
    samplers = load_optuna().samplers
    classes = {"tpe": samplers.TPESampler, "random": samplers.RandomSampler}
    options = {"name": "tpe", "seed": 0, **space.sampler}
    seed = hashlib.sha256(f"{int(options['seed'])} {number}".encode()).hexdigest()[:8]
    return _made("sampler", classes, {**options, "seed": int(seed, 16)})


def make_pruner(given: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """What stops trainings that do not promise, by their validation metric at each epoch.

    Raises:
        SweepError: unknown name or option.
    """
    pruners = load_optuna().pruners
    classes = {
        "hyperband": pruners.HyperbandPruner, "asha": pruners.SuccessiveHalvingPruner,
        "median": pruners.MedianPruner, "none": pruners.NopPruner,
    }  # fmt: skip
    return _made("pruner", classes, {"name": "none", **given})


def _made(kind: str, classes: Mapping[str, Callable[..., Any]], options: dict[str, Any]) -> Any:
    """An object of the class that the options name."""
    name = options.pop("name")
    if name not in classes:
        raise SweepError(f"{kind} must be one of {', '.join(classes)}, got {name!r}")
    try:
        return classes[name](**options)
    except (TypeError, ValueError) as error:
        raise SweepError(f"{kind} {name}: {error}") from error


def open_study(
    storage: optuna.storages.BaseStorage, name: str, space: Space, identity: Mapping[str, Any]
) -> optuna.Study:
    """The study of that name, made if it is not there.

    Args:
        storage: from :func:`open_storage`.
        name: of the study.
        space: what varies.
        identity: what all of its trials have in common; a study of another identity is refused.

    Raises:
        SweepError: the study was begun with something else.
    """
    study: optuna.Study = load_optuna().create_study(
        storage=storage, study_name=name, sampler=make_sampler(space), pruner=make_pruner(space.pruner),
        direction=space.direction, load_if_exists=True,
    )  # fmt: skip
    if (known := study.user_attrs.get("identity")) is None:
        study.set_user_attr("identity", dict(identity))
    elif known != dict(identity):
        changed = sorted(key for key in {*known, *identity} if known.get(key) != identity.get(key))
        what = " and ".join(changed)
        raise SweepError(f"study {name} was begun with another {what}; name a new one with --study")
    return study


def suggester(trial: optuna.Trial) -> Callable[[Parameter], Any]:
    """Draws a parameter for a trial."""

    def suggest(parameter: Parameter) -> Any:
        if parameter.type == "categorical":
            return trial.suggest_categorical(parameter.key, list(parameter.choices))
        return getattr(trial, f"suggest_{parameter.type}")(parameter.key, **parameter.range)

    return suggest


def states(study: optuna.Study) -> list[tuple[optuna.trial.FrozenTrial, str]]:
    """What became of each trial; ``retried`` are killed ones that another trial repeats."""
    trials = study.get_trials(deepcopy=False)
    histories = (trial.system_attrs.get("retry_history") for trial in trials)
    repeated = {history[-1] for history in histories if history}
    names = {"COMPLETE": "finished", "FAIL": "failed"}
    outcomes = []
    for trial in trials:
        state = names.get(trial.state.name, trial.state.name.lower())
        outcomes.append((trial, "retried" if state == "failed" and trial.number in repeated else state))
    return outcomes


def counts(study: optuna.Study) -> dict[str, int]:
    """Number of trials by what became of them."""
    numbers = Counter(state for _, state in states(study))
    return {state: numbers[state] for state in STATES}
