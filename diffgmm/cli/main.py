"""Entry point of the ``diffgmm`` command."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import diffgmm
from diffgmm.utils.errors import BROKEN_PIPE, INTERRUPTED, UsageError, complain, exit_code

_SOUND = ("denoise", "demo", "live", "animate", "evaluate", "calibrate", "benchmark", "report")
_MAKING = ("prepare", "data", "sweep", "runs", "reproduce", "export", "info")
#: Verbs with their own module: ``HELP``, ``add_arguments(parser)`` and ``run(args) -> int``.
VERBS = {verb: f"diffgmm.cli.{verb}" for verb in (*_SOUND, *_MAKING)}
#: Verbs of Lightning's command line: ``run(argv) -> int`` gets everything, the verb first, untouched.
TRAINING = {
    "fit": "train a model from an experiment's YAML",
    "validate": "score a checkpoint on the validation pairs",
    "test": "score a checkpoint on the test pairs",
    "predict": "denoise a data module's predict set",
}


class Parser(argparse.ArgumentParser):
    """Reports its errors as one line, like every other error of the command."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _overview() -> str:
    width = max(map(len, [*VERBS, *TRAINING])) + 2
    helps = {name: importlib.import_module(module).HELP for name, module in VERBS.items()} | TRAINING
    lines = "\n".join(f"  {name:<{width}}{text}" for name, text in helps.items())
    return (
        f"usage: diffgmm VERB ...\n\n{diffgmm.__doc__}\n\nverbs:\n{lines}\n\n"
        "`diffgmm VERB --help` explains a verb, `diffgmm --version` prints the version.\n"
    )


def _dispatch(argv: list[str]) -> int:
    verb, rest = (argv[0], argv[1:]) if argv else ("", [])
    if verb in TRAINING:
        return int(importlib.import_module("diffgmm.training.lightning_cli").run(argv))
    if verb in VERBS:
        module = importlib.import_module(VERBS[verb])
        parser = Parser(prog=f"diffgmm {verb}", description=module.HELP, allow_abbrev=False)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(rest)))
    if verb in ("-h", "--help", "help"):
        print(_overview(), end="")
        return 0
    if verb in ("-V", "--version"):
        print(f"diffgmm {diffgmm.__version__}")
        return 0
    if not verb:
        raise UsageError("no verb given (see diffgmm --help)")
    near = difflib.get_close_matches(verb, [*VERBS, *TRAINING], n=1)
    hint = f"did you mean {near[0]}?" if near else "see diffgmm --help"
    raise UsageError(f"unknown verb {verb!r} ({hint})")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``diffgmm``; returns the exit code: 0 done, 1 something failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # file names may hold what no encoding has
    try:
        try:
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as end:  # argparse's --help, Lightning's own argument errors
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`). Point stdout elsewhere, or Python complains again when it exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
