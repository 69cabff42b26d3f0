"""What no configuration says is the default of the class it names, never that of another class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from diffgmm.training import lightning_cli
from diffgmm.training.module import DiffGMM

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(
    path
    for path in (ROOT / "experiments").glob("*.yaml")
    if "model" in yaml.safe_load(path.read_text(encoding="utf-8"))
)


class _Parsed(lightning_cli._Cli):
    """Stops where the parser is made; the command's own otherwise."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        raise _Made(self._parser("fit"))


class _Made(Exception):
    parser: LightningArgumentParser

    def __init__(self, parser: LightningArgumentParser) -> None:
        super().__init__()
        self.parser = parser


@pytest.fixture(scope="module")
def parser() -> LightningArgumentParser:
    with pytest.raises(_Made) as made:
        _Parsed(
            DiffGMM,
            L.LightningDataModule,
            subclass_mode_data=True,
            parser_kwargs={"exit_on_error": False},
            args=["fit"],
        )
    return made.value.parser


def parsed(parser: LightningArgumentParser, *arguments: str) -> dict[str, Any]:
    config = parser.parse_args(list(arguments))
    assert isinstance(config, Namespace)
    values: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_validation=True))
    return values


def class_nodes(
    node: Any, written: Any, where: str = ""
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every part named by a class path, beside what the file says of it."""
    if isinstance(node, list):
        files = written if isinstance(written, list) and len(written) == len(node) else [None] * len(node)
        for number, (value, said) in enumerate(zip(node, files, strict=True)):
            yield from class_nodes(value, said, f"{where}.{number}")
    if not isinstance(node, dict):
        return
    said = written if isinstance(written, dict) else {}
    if isinstance(node.get("class_path"), str):
        yield where, node, said
    for key, value in node.items():
        yield from class_nodes(value, said.get(key), f"{where}.{key}")


def resolve(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(__import__(module, fromlist=[name]), name)


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_arguments_come_from_the_file_or_the_class_itself(
    path: Path, parser: LightningArgumentParser
) -> None:
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    count = 0
    for where, node, said in class_nodes(parsed(parser, "--config", str(path)), written):
        own = inspect.signature(resolve(node["class_path"])).parameters
        given = said.get("init_args", {}) if "class_path" in said else said  # a short form
        for name, value in (node.get("init_args") or {}).items():
            if name in given or isinstance(value, (dict, list)) or name not in own:
                continue
            default = plain(own[name].default)
            if isinstance(default, (bool, int, float, str, type(None))):
                assert value == default, f"{where}.{name} is {value}, {node['class_path']} has {default}"
                count += 1
    assert count > 10


@pytest.mark.parametrize("name", ["Adam", "SGD", "NAdam", "RMSprop", "AdamW"])
def test_an_optimizer_gets_no_weight_decay_of_another(name: str, parser: LightningArgumentParser) -> None:
    belz = str(ROOT / "experiments" / "belz_unet.yaml")
    config = parsed(parser, "--config", belz, f"--model.optimizer=torch.optim.{name}")
    own = inspect.signature(getattr(torch.optim, name)).parameters["weight_decay"].default
    assert config["model"]["optimizer"]["init_args"]["weight_decay"] == own
