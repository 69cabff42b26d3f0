"""``diffgmm fit|validate|test|predict``: Lightning's command line over :class:`diffgmm.training.module.DiffGMM`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from jsonargparse import get_loader, set_loader
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.parts import brief, class_path
from diffgmm.diffusion.pretrained import ModelError
from diffgmm.diffusion.saving import check_parts
from diffgmm.networks import UNet
from diffgmm.training import resume
from diffgmm.training.callbacks.averaging import Constants, RunningMeans
from diffgmm.training.callbacks.checkpoints import AtomicCheckpoints, LastCheckpoint, RandomState
from diffgmm.training.callbacks.effective_batch import EffectiveBatch
from diffgmm.training.callbacks.loggers import run_folder
from diffgmm.training.callbacks.nonfinite import NonFinite
from diffgmm.training.callbacks.predictions import Predictions
from diffgmm.training.callbacks.preemption import Preemption
from diffgmm.training.callbacks.record import RunRecord
from diffgmm.training.callbacks.run_files import ConfigFile, MetricsFile
from diffgmm.training.errors import TrainingError
from diffgmm.training.files import experiment_file
from diffgmm.training.module import DiffGMM, check_rates
from diffgmm.training.run_folders import flat
from diffgmm.utils import renames
from diffgmm.utils.cores import computes_bfloat16
from diffgmm.utils.errors import DEBUG, FOR_USERS, UsageError, warn

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
_USUAL = {"model.network": UNet, "model.head": MixtureHead}

_KNOWN_PACKAGES = ("diffgmm", "data_modules", "torch", "lightning")

#: Precisions that keep the weights themselves in float32; the spectra and the likelihood need it.
_PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")

#: Samples from which on a training window is long enough for any spectrum of the losses.
_SHORT = 4096

#: Values of a configuration; the largest experiment has some hundred.
_MOST_VALUES = 100_000

#: Of a machine, and machines.
_MOST_DEVICES = 1024

#: Characters that an error shows of what may be a list of every class there is.
_LONGEST = 300


class _Begun(L.Callback):
    """Knows whether a first batch went through: what fails before is an error of the user's, what fails later a bug."""

    yes = False

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.yes |= not trainer.sanity_checking

    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = on_train_batch_end  # type: ignore[assignment]


class _Cli(LightningCLI):
    """Always keeps a record of the run and what it takes to go on; reports contradictions before anything starts."""

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise UsageError(f"--seed_everything: {error}") from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        for name, callback in _ALWAYS.items():
            parser.add_lightning_class_args(callback, name)
        parser.set_defaults({slot: {"class_path": class_path(cls)} for slot, cls in _USUAL.items()})

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[L.Callback]) -> L.Trainer:
        self._begun = _Begun()
        callbacks = [RunningMeans(), *callbacks, Constants(), RandomState(), MetricsFile(), self._begun]
        if config.get("enable_checkpointing") is False:
            callbacks = [callback for callback in callbacks if not isinstance(callback, LastCheckpoint)]
        plugins = config.get("plugins") or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            config["plugins"] = [*plugins, AtomicCheckpoints()]
        trainer: L.Trainer = super()._instantiate_trainer(config, callbacks)
        if trainer.precision not in _PRECISIONS:
            usable = "spectra and likelihood need weights in float32; use 32-true, bf16-mixed or 16-mixed"
            raise UsageError(f"--trainer.precision {trainer.precision}: {usable}")
        if trainer.precision == "bf16-mixed" and not computes_bfloat16(trainer.strategy.root_device.type):
            warn("this processor has no arithmetic in bfloat16, which takes many times as long: use 32-true")
        averaged = any(isinstance(c, WeightAveraging) for c in trainer.callbacks)  # type: ignore[attr-defined]
        if averaged and getattr(trainer.strategy, "_start_method", None) == "spawn":
            raise UsageError("averages of weights can't be sent to spawned processes: --trainer.strategy ddp")
        return trainer

    def _parse_ckpt_path(self) -> None:
        """Leave checkpoints alone until :func:`diffgmm.training.resume.check` has looked at them.

        Lightning would take hyper-parameters out of the file here; these checkpoints hold none.
        """

    def before_fit(self) -> None:
        """Find out where to go on from, and open the run's metrics without deleting what they hold."""
        # A schedule by a score of validation where there is none would fail after the first epoch.
        made = self.model.configure_optimizers()
        monitor = made["lr_scheduler"].get("monitor", "") if isinstance(made, dict) else ""
        has_any = getattr(self.datamodule, "has_validation", lambda: True)
        if monitor.startswith("val/") and (self.trainer.limit_val_batches == 0 or not has_any()):
            raise UsageError(f"the learning rate follows {monitor}, but there is no validation: give pairs")
        if self.config_init["fit"].get("ckpt_path") == resume.AUTO:
            config = yaml.safe_load(self._parser("fit").dump(self.config["fit"], skip_unset=False))
            newest = resume.find(self.trainer, config)
            self.config_init["fit"]["ckpt_path"] = None if newest is None else str(newest)
            if newest is not None:
                resume.enter(self.trainer, newest)
        else:
            resume.check(self.config_init["fit"].get("ckpt_path"), self.model, training=True)
        MetricsFile.prepare(self.trainer)

    def after_fit(self) -> None:
        """Say where the run is and what can be done with it."""
        if self.trainer.fast_dev_run or not self.trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        folder = run_folder(self.trainer)
        weights = next(iter(folder.glob("checkpoints/last.ckpt")), None)
        use = f"; use it: diffgmm denoise FILE --model {weights}" if weights else ""
        resume.say(f"the run is in {folder}{use}")

    def _run_subcommand(self, subcommand: str) -> None:
        """As Lightning does; what a configuration brings to fail before the first batch is an error, not a bug."""
        try:
            if subcommand != "fit":
                resume.check(self.config_init[subcommand].get("ckpt_path"), self.model)
            super()._run_subcommand(subcommand)
        except (*FOR_USERS, MisconfigurationException):
            raise
        except Exception as error:
            if self._begun.yes and not isinstance(error, torch.OutOfMemoryError):
                raise
            where = "" if self._begun.yes else " before its first batch was done"
            reason = brief(_last_line(error), _LONGEST)
            raise TrainingError(f"{subcommand} failed{where}: {reason} ({DEBUG}=1 shows where)") from error

    def before_instantiate_classes(self) -> None:
        """Name what a configuration imports that did not come with this project."""
        config = yaml.safe_load(self._parser(self.subcommand).dump(self.config[self.subcommand]))
        foreign = sorted(_foreign_classes(config))
        if foreign:
            resume.say(f"this configuration runs code of other packages: {', '.join(foreign)}")
        for key, value in _values(config):
            if isinstance(value, int) and abs(value) >= 2**63:  # libraries fail on it, each in its own words
                raise UsageError(f"configuration: {key} is too large a number")
        for name in ("devices", "num_nodes"):
            number = str(config["trainer"].get(name))
            if number.isdigit() and int(number) > _MOST_DEVICES:
                limit = f"must be at most {_MOST_DEVICES}"
                raise UsageError(f"configuration: trainer.{name} is {number}, {limit}")
        try:
            check_parts(config["model"], {path.split(".")[0] for path in foreign})
        except ModelError as error:
            raise UsageError(f"configuration: {error}") from error

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            check_rates(self.model, self.datamodule)
            if self.subcommand == "fit":
                _check_window(self.model, self.datamodule)
                self.model.configure_optimizers()  # refuses its numbers here, and not once a folder is made
        except (ValueError, TypeError, ImportError, RuntimeError, MemoryError, OverflowError) as error:
            # Constructors refuse what contradicts itself; data errors have an exit code of their own.
            if isinstance(error, FOR_USERS):
                raise
            raise UsageError(f"configuration: {_first_reason(error)}") from error


def _check_window(module: DiffGMM, data: Any) -> None:
    """Refuse training windows that are too short for the representation or a loss, by trying one.

    Raises:
        ValueError: the window can't be computed with.
    """
    samples = getattr(data, "window", None)
    if not isinstance(samples, int) or samples >= _SHORT:
        return
    window = torch.zeros(1, 1, samples)
    try:
        with torch.random.fork_rng(), torch.no_grad():
            module.eval().training_loss({"noisy": window, "clean": window}, 0, 0, 0)
    except RuntimeError as error:
        raise ValueError(f"data.window of {samples} samples is too short for the model or a loss") from error
    finally:
        module.train()


def _foreign_classes(config: dict[str, Any]) -> set[str]:
    """Classes, solvers and metrics in a configuration from outside this project and what it is built on."""
    named = [
        value
        for key, value in _values(config)
        if key.endswith("class_path") or (key.endswith(("solver", "metrics")) and ":" in str(value))
    ]
    return {p for p in named if isinstance(p, str) and re.split("[.:]", p)[0] not in _KNOWN_PACKAGES}


def _values(config: Any) -> Iterator[tuple[str, Any]]:
    """Every value of a configuration with its key; those of a list share one."""
    for key, value in flat(config):
        yield from ((key, item) for item in (value if isinstance(value, list) else [value]))


_CLASS = re.compile(r"<class '(?:[\w.]+\.)?(\w+)'>")


def _last_line(error: BaseException) -> str:
    """Kind and text of an error; of one from another process, whose text is a traceback, its last line."""
    text = str(error).strip()
    if "Traceback (most recent call last)" in text:
        return text.splitlines()[-1]
    return f"{type(error).__name__}: {text}"


def _first_reason(error: Exception) -> str:
    """What a parser says in paragraphs, in a line: its first reason where a value had several types to fit."""
    text = str(error)
    if "Errors:" in text:
        head, _, rest = text.partition("Does not validate against any of the Union subtypes")
        listed, _, given = rest.rpartition("Errors:")[2].partition("Given value type:")
        reasons = [" ".join(reason.split()) for reason in re.split(r"\n\s*- ", listed) if reason.strip()]
        special = [reason for reason in reasons if not reason.startswith("Expected a")]
        head = re.split(r"\n\s*- ", head)[0]
        value = "" if special else f", got {given.partition('Given value:')[2].strip()}"
        text = f"{head} {special[0] if special else ' or '.join(dict.fromkeys(reasons))}{value}"
    text = _CLASS.sub(r"\1", text).replace("NoneType", "null")
    text = re.sub(r"Expected an? (?:typing\.)?", "expected ", text).replace("Literal[", "one of [")
    return brief(text, _LONGEST)


def _configurations(argv: Sequence[str]) -> dict[int, str]:
    """What ``--config FILE``, ``-c FILE`` and ``--config=FILE`` name, by its place in the arguments."""
    files: dict[int, str] = {}
    for i, word in enumerate(argv):
        if i and argv[i - 1] in ("--config", "-c") and i - 1 not in files:
            files[i] = word
        elif word.startswith("--config="):
            files[i] = word.split("=", 1)[1]
    return files


def _reach_working_folder() -> None:
    """Let class paths name a user's own modules in the working folder.

    They come last: a folder there that happens to be called ``data_modules``, ``experiments`` or ``torch`` must not
    take the place of the package, in this process or in those that it starts. An editable install is found by a hook
    that comes after all folders, so its folder is named, too.
    """
    here, root = str(Path.cwd()), str(Path(__file__).parents[2])
    others = [place for place in sys.path if place not in ("", here)]
    sys.path[:] = list(dict.fromkeys([*others, root, here]))


def _with_losses(argv: list[str]) -> list[str]:
    """Let the losses of several configurations add up by name: a later file would replace those of an earlier one."""
    losses: list[dict[str, Any]] = []
    files = _configurations(argv)
    for file in files.values():
        try:
            config = _load_yaml(Path(file).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            return argv  # the parser says what is wrong with it
        model = config.get("model") if isinstance(config, dict) else None
        given = model.get("losses") if isinstance(model, dict) else None
        losses += [given] if isinstance(given, dict) else []
    if len(losses) < 2:
        return argv
    merged = {name: loss for given in losses for name, loss in given.items()}
    after = max(files) + 1
    return [*argv[:after], f"--model.losses={json.dumps(merged)}", *argv[after:]]


def _load(text: str) -> Any:
    """YAML, in a configuration's case as this version has it.

    Raises:
        UsageError: what an earlier version had can't be had any more.
    """
    try:
        values = _load_yaml(renames.in_text(text))
        if _count(values, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f"aliases make more than {_MOST_VALUES:,} values of it")
        return renames.in_configuration(values)
    except yaml.YAMLError:
        raise
    except ValueError as error:
        raise UsageError(f"configuration: {error}") from error


def _count(node: Any, known: dict[int, int]) -> int:
    """Values of a tree in which branches may be shared, each as often as it is reached."""
    if not isinstance(node, (dict, list)):
        return 1
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # of a node inside itself there is no end
        inner = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_count(item, known) for item in inner)
    return known[id(node)]


def run(argv: list[str], callbacks: Sequence[L.Callback] = ()) -> int:
    """Run a training verb; ``argv`` starts with it. ``callbacks`` come on top of the configuration's.

    Raises:
        UsageError: if the configuration does not parse or contradicts itself.
    """
    argv = list(argv)
    for i, name in _configurations(argv).items():
        argv[i] = argv[i].removesuffix(name) + experiment_file(name)
    argv = _with_losses([renames.in_text(word) for word in argv])
    set_loader("yaml", _load, (yaml.YAMLError,))
    # Lightning starts further processes by this name: a path where the command was called by one.
    sys.argv = [sys.argv[0] if Path(sys.argv[0]).name == "diffgmm" else "diffgmm", *argv]
    _reach_working_folder()
    exact = {"allow_abbrev": False}
    try:
        _Cli(
            DiffGMM,
            L.LightningDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            save_config_callback=ConfigFile,
            # A run that is continued has its configuration in its folder already; others get a folder of their own.
            save_config_kwargs={"overwrite": resume.AUTO in argv or f"--ckpt_path={resume.AUTO}" in argv},
            # Each verb's parser by itself, too: jsonargparse before 4.53 has them take abbreviations all the same.
            parser_kwargs={"exit_on_error": False, **exact, **dict.fromkeys(_Cli.subcommands(), exact)},
            trainer_defaults={"callbacks": list(callbacks)} if callbacks else None,
        )
    except argparse.ArgumentError as error:
        raise UsageError(_first_reason(error)) from error
    except MisconfigurationException as error:  # what Lightning makes of devices, strategies and precisions
        raise UsageError(f"configuration: {_first_reason(error)}") from error
    return 0
