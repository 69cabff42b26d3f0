"""Plan of the ablations: variants, seeds, and the configuration and folder of each run."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from data_modules.errors import DataError
from diffgmm.utils.code_version import key_of

HERE = Path(__file__).resolve().parent
BASE, VARIANTS, SETTINGS = "base.yaml", "variants.yaml", "settings.yaml"
"""In the folder of a plan: what all runs have in common, the variants of it, and how the models are judged."""
PLAN, CHECKPOINT, RESULT = "plan.yaml", "checkpoints/last.ckpt", "result.json"
"""In a run's folder: what it was made for, where training leaves its state, and what is written when it is finished."""


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Args:
        name: of its folder.
        group: of rows that stand together.
        says: what the row is called.
        seeds: with which it is trained.
        changes: to the base configuration, dotted path to value.
    """

    name: str
    group: str
    says: str
    seeds: Sequence[int]
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One training: a variant with a seed, in a folder of its own."""

    variant: Variant
    seed: int
    folder: Path
    config: dict[str, Any]
    settings: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Changes with anything that the result depends on, and with nothing else: not with the run's folder."""
        config = copy.deepcopy(self.config)
        for where in ("logger", "callbacks", "default_root_dir"):
            config["trainer"].pop(where, None)
        corpus = config["data"]["init_args"]["corpus"]
        config["data"]["init_args"]["corpus"] = Path(corpus).name if isinstance(corpus, str) else corpus
        return key_of([config, self.settings])

    def __str__(self) -> str:
        return f"{self.variant.name}, seed {self.seed}"


def changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``config`` with values at dotted paths replaced.

    Raises:
        DataError: a path leads through something that is no mapping.

    Example:
        >>> changed({"model": {"head": {"components": 3}}}, {"model.head.components": 1})
        {'model': {'head': {'components': 1}}}
    """
    result = copy.deepcopy(dict(config))
    for path, value in changes.items():
        *above, last = path.split(".")
        place: Any = result
        for key in above:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise DataError(f"{path}: the configuration has no such place")
        place[last] = copy.deepcopy(value)
    return result


def own_name(folder: Path) -> str:
    """Name of a plan that is not the usual one, empty for that one."""
    return "" if folder.resolve() == HERE else folder.resolve().name


def read_variants(folder: Path = HERE) -> list[Variant]:
    """The variants of the plan in a folder, in the order of its file.

    Raises:
        DataError: there is no plan, or an entry is not like the others.
    """
    path, variants = folder / VARIANTS, []
    if not path.is_file() or not (folder / BASE).is_file():
        raise DataError(f"{folder}: no plan there; a plan is a folder with {BASE} and {VARIANTS}")
    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        try:
            variants.append(Variant(name, **entry))
        except TypeError as error:
            raise DataError(f"{path}: {name} is not a variant ({error})") from error
    return variants


def settings_of(folder: Path = HERE) -> dict[str, Any]:
    """How a plan's models are judged; plans that have no such file share one.

    Returns:
        ``metrics``: names; ``calls``: by name the options of ``enhance``, and how table and plot show what they give.
    """
    path = folder / SETTINGS
    told: dict[str, Any] = yaml.safe_load(
        (path if path.is_file() else HERE / SETTINGS).read_text(encoding="utf-8")
    )
    return told


def chosen(variants: Sequence[Variant], only: Sequence[str]) -> list[Variant]:
    """The variants of these names; all without any.

    Raises:
        DataError: no such variant.
    """
    known = {variant.name: variant for variant in variants}
    if unknown := [name for name in only if name not in known]:
        raise DataError(f"no variant {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in only] or list(variants)


def runs(
    variants: Iterable[Variant],
    home: Path,
    seeds: Sequence[int] = (),
    common: Mapping[str, Any] = MappingProxyType({}),
    folder: Path = HERE,
) -> list[Run]:
    """All runs of some variants.

    Args:
        variants: in order.
        home: folder of all runs.
        seeds: instead of the variants' own.
        common: further changes to every run: the corpus, fewer steps.
        folder: of the plan.
    """
    start = yaml.safe_load((folder / BASE).read_text(encoding="utf-8"))
    planned, settings = [], settings_of(folder)
    for variant in variants:
        for seed in seeds or variant.seeds:
            place_of = home / variant.name / f"seed-{seed}"
            place = {"trainer.default_root_dir": str(place_of)}
            own = {"seed_everything": seed, "data.init_args.seed": seed}
            config = changed(start, {**variant.changes, **common, **own, **place})
            for logger in config["trainer"]["logger"]:
                logger["init_args"]["save_dir"] = str(place_of)
            for callback in config["trainer"]["callbacks"]:
                if callback["class_path"].endswith(".ModelCheckpoint"):
                    callback["init_args"]["dirpath"] = str((place_of / CHECKPOINT).parent)
            planned.append(Run(variant, seed, place_of, config, settings))
    return planned
