"""The data module that an experiment's YAML describes, without the rest of the experiment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from data_modules.errors import DataError
from data_modules.noisy_speech import NoisySpeech


def data_of(config: str | Path) -> NoisySpeech:
    """The section ``data`` of an experiment as an object.

    Raises:
        DataError: no such file, no such section, or one that describes no `NoisySpeech`.
    """
    path = Path(config)
    try:
        section = yaml.safe_load(path.read_text(encoding="utf-8"))["data"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: can't be read as YAML ({error})") from error
    except (KeyError, TypeError):
        raise DataError(f"{path}: has no section data") from None
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # class paths may name a user's own modules in the working folder
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(NoisySpeech, "data", required=True)
    instantiate = getattr(parser, "instantiate", None) or parser.instantiate_classes  # its name before 4.49
    try:
        return instantiate(parser.parse_object({"data": section})).data
    except argparse.ArgumentError as error:
        raise DataError(
            f"{path}: its data is no data_modules.noisy_speech.NoisySpeech that can be made ({error})"
        ) from error
