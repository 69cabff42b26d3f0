"""``diffgmm fit|validate|test|predict``: Lightning's command line over :class:`diffgmm.denoiser.DiffGMM`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import lightning as L
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from diffgmm.callbacks.record import RunRecord
from diffgmm.cli.errors import UsageError
from diffgmm.denoiser import DiffGMM


class _Cli(LightningCLI):
    """Adds where a run is written and what is always recorded."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunRecord, "run")

    def before_instantiate_classes(self) -> None:
        # The data module seeds its windows itself; one --seed_everything should reach it too.
        super().before_instantiate_classes()


def _one_line(error: BaseException) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())


def run(argv: list[str]) -> int:
    """Run a training verb; ``argv`` starts with it.

    Raises:
        UsageError: if the configuration does not hold together.
    """
    config = [argv[i + 1] for i, a in enumerate(argv[:-1]) if a in ("--config", "-c")]
    config += [a.split("=", 1)[1] for a in argv if a.startswith("--config=")]
    for name in config:
        if not Path(name).is_file():
            raise UsageError(f"no such configuration: {name} (see the folder experiments/)")
    sys.argv[0] = "diffgmm"  # what help texts call the program
    if sys.path[0] != os.getcwd():
        sys.path.insert(0, os.getcwd())  # a user's own data modules in the working folder
    _Cli(
        DiffGMM,
        L.LightningDataModule,
        subclass_mode_data=True,
        save_config_callback=SaveConfigCallback,
        save_config_kwargs={"overwrite": False},
        seed_everything_default=0,
        parser_kwargs={"exit_on_error": False, "default_env": False},
        args=argv,
    )
    return 0
