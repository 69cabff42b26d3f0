"""The command as such: verbs, help, errors, exit codes, `info`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import diffgmm
from diffgmm.audio import AudioError
from diffgmm.cli.main import TRAINING, VERBS, main
from diffgmm.utils.errors import complain, exit_code

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "diffgmm.cli.main"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--version", "-V"):
        assert main([flag]) == 0
        assert capsys.readouterr().out == f"diffgmm {diffgmm.__version__}\n"


def test_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb in [*VERBS, *TRAINING]:
        assert f"\n  {verb} " in out


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: diffgmm {verb}") and "--" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no verb given (see diffgmm --help)"),
        (["denois"], "unknown verb 'denois' (did you mean denoise?)"),
        (["frobnicate"], "unknown verb 'frobnicate' (see diffgmm --help)"),
        (["denoise"], "the following arguments are required: IN (see diffgmm denoise --help)"),
        (["denoise", "x.wav", "--loud"], "unrecognized arguments: --loud"),
        (["info", "--jso"], "unrecognized arguments: --jso"),  # no guessing of abbreviations
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"diffgmm: error: {message}")
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_errors_for_users_are_one_line_and_others_are_not_hidden(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DIFFGMM_DEBUG", raising=False)
    assert exit_code(AudioError("x.wav: broken\nbeyond repair")) == 1
    assert capsys.readouterr().err == "diffgmm: error: x.wav: broken beyond repair\n"
    assert exit_code(OSError(28, "No space left on device", "/full/x.wav")) == 1
    assert capsys.readouterr().err == "diffgmm: error: /full/x.wav: No space left on device\n"
    with pytest.raises(ZeroDivisionError):
        exit_code(ZeroDivisionError("a bug"))
    assert exit_code(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")) == 1
    assert "this needs the package torch, which is not installed" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        exit_code(ModuleNotFoundError("a bug", name="diffgmm.gone"))
    monkeypatch.setenv("DIFFGMM_DEBUG", "1")
    with pytest.raises(AudioError):
        exit_code(AudioError("with its traceback"))
    complain("plain")
    assert capsys.readouterr().err == "diffgmm: error: plain\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, "--version"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 141 and done.stderr == ""


def test_info(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "elsewhere"))
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["diffgmm"] == diffgmm.__version__
    assert facts["packages"]["torch"] and facts["packages"]["soundfile"]
    assert facts["devices"][0]["name"] == "cpu"
    assert facts["home"] == str(tmp_path / "elsewhere")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"diffgmm {diffgmm.__version__}" in out and "not there yet" in out
    for model in facts["models"]:
        assert model["name"] in out and model["sample_rate"] > 0


@pytest.mark.parametrize("verb", ["benchmark", "reproduce"])
def test_options_of_an_earlier_version_work_with_a_warning(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb]).add_arguments(parser)
    required = {"benchmark": ["--set", "dsn-test"], "reproduce": ["dsn"]}[verb]
    arguments = parser.parse_args([*required, "--peers", "dtln", "--peers-python", "py"])
    assert (arguments.baselines, arguments.baselines_python) == (("dtln",), "py")
    assert capsys.readouterr().err.splitlines() == [
        "diffgmm: warning: --peers is now --baselines",
        "diffgmm: warning: --peers-python is now --baselines-python",
    ]
    plain = parser.parse_args(required)
    assert plain.baselines == {"benchmark": ("installed",), "reproduce": None}[verb]
    assert "--peers" not in parser.format_help()
    assert capsys.readouterr().err == ""
