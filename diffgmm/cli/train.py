"""``diffgmm fit|validate|test|predict``: Lightning's command line over :class:`diffgmm.denoiser.DiffGMM`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from diffgmm.callbacks.record import RunRecord
from diffgmm.cli.errors import UsageError
from diffgmm.denoiser import DiffGMM, check_rates


class _Cli(LightningCLI):
    """Always keeps a record of the run, and reports contradictions before anything starts."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunRecord, "record")

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
            check_rates(self.model, self.datamodule)
        except (ValueError, TypeError) as error:
            # Constructors refuse what contradicts itself; data errors have an exit code of their own.
            if type(error) in (ValueError, TypeError):
                raise UsageError(f"configuration: {error}") from error
            raise


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
    sys.argv = ["diffgmm", *argv]
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # class paths may name a user's own modules in the working folder
    try:
        _Cli(
            DiffGMM,
            L.LightningDataModule,
            subclass_mode_data=True,
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False},
            trainer_defaults={"callbacks": list(callbacks)} if callbacks else None,
        )
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error
    return 0
