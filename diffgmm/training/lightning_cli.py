"""``diffgmm fit|validate|test|predict``: Lightning's command line over :class:`diffgmm.training.module.DiffGMM`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.parts import class_path
from diffgmm.networks import UNet
from diffgmm.training import resume
from diffgmm.training.callbacks.averaging import Constants, RunningMeans
from diffgmm.training.callbacks.checkpoints import AtomicCheckpoints, LastCheckpoint, RandomState
from diffgmm.training.callbacks.effective_batch import EffectiveBatch
from diffgmm.training.callbacks.nonfinite import NonFinite
from diffgmm.training.callbacks.predictions import Predictions
from diffgmm.training.callbacks.preemption import Preemption
from diffgmm.training.callbacks.record import RunRecord
from diffgmm.training.callbacks.run_files import ConfigFile, MetricsFile
from diffgmm.training.module import DiffGMM, check_rates
from diffgmm.utils import renames
from diffgmm.utils.errors import UsageError

_load_yaml = get_loader("yaml")

#: What every run has, and by which name it is set up.
_ALWAYS: dict[str, type[L.Callback]] = {
    "record": RunRecord,
    "effective_batch": EffectiveBatch,
    "nonfinite": NonFinite,
    "preemption": Preemption,
    "last": LastCheckpoint,
    "predictions": Predictions,
}


#: Classes whose arguments may stand in a configuration without a class path.
_USUAL = {
    "model.network": {"class_path": class_path(UNet)},
    "model.head": {"class_path": class_path(MixtureHead)},
}

_KNOWN_PACKAGES = ("diffgmm", "data_modules", "torch", "lightning")


class _Cli(LightningCLI):
    """Always keeps a record of the run and what it takes to go on; reports contradictions before anything starts."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name, callback in _ALWAYS.items():
            parser.add_lightning_class_args(callback, name)
        parser.set_defaults(_USUAL)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[L.Callback]) -> L.Trainer:
        callbacks = [RunningMeans(), *callbacks, Constants(), RandomState(), MetricsFile()]
        if config.get("enable_checkpointing") is False:
            callbacks = [one for one in callbacks if not isinstance(one, LastCheckpoint)]
        plugins = config.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(one, CheckpointIO) for one in plugins):
            config["plugins"] = [*plugins, AtomicCheckpoints()]
        trainer: L.Trainer = super()._instantiate_trainer(config, callbacks)
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Leave checkpoints alone until :func:`diffgmm.training.resume.check` has looked at them.

        Lightning would take hyper-parameters out of the file here; these checkpoints hold none.
        """

    def before_fit(self) -> None:
        """Find out where to go on from, and open the run's metrics without deleting what they hold."""
        if self.config_init["fit"].get("ckpt_path") == resume.AUTO:
            config = yaml.safe_load(self._parser("fit").dump(self.config["fit"], skip_none=False))
            found = resume.find(self.trainer, config)
            self.config_init["fit"]["ckpt_path"] = None if found is None else str(found)
            if found is not None:
                resume.enter(self.trainer, found)
        else:
            resume.check(self.config_init["fit"].get("ckpt_path"), self.model, training=True)
        MetricsFile.prepare(self.trainer)

    def before_validate(self) -> None:
        """Refuse a checkpoint that can't be used."""
        resume.check(self.config_init["validate"].get("ckpt_path"), self.model)

    def before_test(self) -> None:
        """Refuse a checkpoint that can't be used."""
        resume.check(self.config_init["test"].get("ckpt_path"), self.model)

    def before_predict(self) -> None:
        """Refuse a checkpoint that can't be used."""
        resume.check(self.config_init["predict"].get("ckpt_path"), self.model)

    def before_instantiate_classes(self) -> None:
        """Name what a configuration imports that did not come with this project."""
        config = yaml.safe_load(self._parser(self.subcommand).dump(self.config[self.subcommand]))
        if foreign := sorted(_foreign_classes(config)):
            resume.say(f"this configuration runs code of other packages: {', '.join(foreign)}")

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            check_rates(self.model, self.datamodule)
        except (ValueError, TypeError) as error:
            # Constructors refuse what contradicts itself; data errors have an exit code of their own.
            if type(error) in (ValueError, TypeError):
                raise UsageError(f"configuration: {error}") from error
            raise


def _foreign_classes(config: Any) -> set[str]:
    """Classes and solvers in a configuration from outside this project and the libraries that it is built on."""
    if isinstance(config, list):
        return {path for item in config for path in _foreign_classes(item)}
    if not isinstance(config, dict):
        return set()
    solver = config.get("solver")
    named = [config.get("class_path"), solver if isinstance(solver, str) and ":" in solver else None]
    foreign = {
        path
        for path in named
        if isinstance(path, str) and path.split(".")[0].split(":")[0] not in _KNOWN_PACKAGES
    }
    return foreign | {p for item in config.values() for p in _foreign_classes(item)}


def _brief(error: Exception) -> str:
    """The start of a message that may list every class that there is."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:397]}..."


def _configurations(argv: list[str]) -> list[str]:
    """Files named by ``--config FILE``, ``-c FILE`` or ``--config=FILE``."""
    named = [value for flag, value in pairwise(argv) if flag in ("--config", "-c")]
    return named + [flag.split("=", 1)[1] for flag in argv if flag.startswith("--config=")]


def run(argv: list[str], callbacks: Sequence[L.Callback] = ()) -> int:
    """Run a training verb; ``argv`` starts with it. ``callbacks`` come on top of the configuration's.

    Raises:
        UsageError: if the configuration does not parse or contradicts itself.
    """
    for name in _configurations(argv):
        if not Path(name).is_file():
            raise UsageError(f"no such configuration: {name} (see the folder experiments/)")
    argv = [renames.in_text(word) for word in argv]
    set_loader("yaml", lambda text: _load_yaml(renames.in_text(text)), (yaml.YAMLError,))
    # Lightning starts further processes by this name: a path where the command was called by one.
    sys.argv = [sys.argv[0] if Path(sys.argv[0]).name == "diffgmm" else "diffgmm", *argv]
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # class paths may name a user's own modules in the working folder
    try:
        _Cli(
            DiffGMM,
            L.LightningDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            save_config_callback=ConfigFile,
            # A run that is continued has its configuration in its folder already; others get a folder of their own.
            save_config_kwargs={"overwrite": resume.AUTO in argv or f"--ckpt_path={resume.AUTO}" in argv},
            parser_kwargs={"exit_on_error": False, "allow_abbrev": False},
            trainer_defaults={"callbacks": list(callbacks)} if callbacks else None,
        )
    except argparse.ArgumentError as error:
        raise UsageError(_brief(error)) from error
    except MisconfigurationException as error:  # what Lightning makes of devices, strategies and precisions
        raise UsageError(f"configuration: {_brief(error)}") from error
    return 0
