"""Systems under test: models with sampler settings, baselines and commands, each with the identity of its output."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffgmm.diffusion.model import ModelError
from diffgmm.diffusion.pretrained import model_path
from diffgmm.diffusion.sampler_options import ESTIMATES
from diffgmm.diffusion.saving import load_model
from diffgmm.evaluation import baselines
from diffgmm.evaluation.baselines.base import __file__ as _WRAPPERS_BASE
from diffgmm.evaluation.benchmark import BenchmarkError
from diffgmm.utils.code_version import OURS, code_version, key_of
from diffgmm.utils.files import sha256_of
from diffgmm.utils.provenance import installed

WORKER = Path(baselines.__file__).with_name("worker.py")
_ENTRY = "diffgmm.inference.denoiser"
# Not `python -m`: modules of the working folder must not stand in for those of the library.
_MODEL = (
    f"import sys; sys.path[0] = {str(WORKER.parents[2])!r}; "
    "from diffgmm.evaluation.benchmark.model import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Candidate:
    """A system before it is measured.

    Args:
        name: of the row.
        kind: ``model``, ``baseline`` or ``command``.
        settings: shown beside the row.
        identity: everything that its output depends on; equal identities share cached results.
        argv: of the worker; for a command its own words, with ``{in}`` and ``{out}``.
        sample_rate: at which it is fed, None for that of the file.
        lag: samples at that rate by which a command's output comes late.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    identity: dict[str, Any]
    argv: tuple[str, ...]
    sample_rate: int | None = None
    lag: int = 0

    @property
    def key(self) -> str:
        """A short name of the identity."""
        return key_of({"kind": self.kind, **self.identity})

    def is_current(self) -> bool:
        """Whether the code that a process of this system loads now is the code of its identity."""
        return "code" not in self.identity or self.identity["code"] == code_version.__wrapped__(_ENTRY)


def models(
    names: Iterable[str],
    nfes: Sequence[int],
    estimates: Sequence[str],
    samples: int = 1,
    seed: int = 0,
    trust: Sequence[str] = (),
) -> list[Candidate]:
    """Every model with every setting.

    Args:
        names: shipped models, files, or ``NAME=FILE``.
        nfes: network calls; none for each model's own number.
        estimates: see :data:`diffgmm.diffusion.sampler_options.ESTIMATES`.
        samples: reverse runs that are averaged.
        seed: of the sampling noise.
        trust: packages that models may name classes of.

    Raises:
        BenchmarkError: no such model, bad setting.
    """
    if unknown := set(estimates) - set(ESTIMATES):
        raise BenchmarkError(f"estimate must be one of {', '.join(ESTIMATES)}, got {', '.join(unknown)!r}")
    candidates = []
    for entry in names:
        label, _, given = entry.rpartition("=")
        try:
            path = model_path(given)
        except ModelError as error:
            raise BenchmarkError(str(error)) from error
        stem = path.with_suffix("")
        files = [path] if path.suffix == ".ckpt" else [stem.with_suffix(x) for x in (".safetensors", ".json")]
        for file in files:
            if not file.is_file():
                raise BenchmarkError(f"{file}: no such file (a model is NAME.safetensors with NAME.json)")
        weights = [sha256_of(file) for file in files]
        code = {"code": code_version(_ENTRY), "versions": installed(("torch", "numpy", "soxr"))}
        if trust:  # not of every model, or what is cached of others would be void
            code["trusted"] = code_version(*sorted(trust), ours=(*OURS, *sorted(trust)))
        start = (sys.executable, "-c", _MODEL, str(path.resolve()))
        for estimate, nfe in itertools.product(estimates, nfes or _own_calls(path, trust)):
            sampler = {"nfe": nfe, "estimate": estimate, "samples": samples, "seed": seed}
            name = f"{label or stem.name}-nfe{nfe}-{estimate}" + (f"-x{samples}" if samples > 1 else "")
            identity = {"weights": weights, **sampler, **code}
            argv = (*start, json.dumps(sampler), json.dumps(list(trust)))
            candidates.append(Candidate(name, "model", {**sampler, "weights": weights[0]}, identity, argv))
    return candidates


def _own_calls(path: Path, trust: Sequence[str]) -> list[int]:
    """The number of network calls that a model asks for itself."""
    try:
        return [int(load_model(path, trust)[1]["sampler"].get("nfe", 1))]
    except ModelError as error:
        raise BenchmarkError(str(error)) from error


def known_baselines(python: str | None = None) -> dict[str, dict[str, Any]]:
    """What is known about all baselines, with ``versions`` None for those that are not installed.

    Args:
        python: interpreter that they are installed in; None for this one.

    Raises:
        BenchmarkError: the interpreter does not run or lacks numpy.
    """
    try:
        done = subprocess.run(
            [python or sys.executable, str(WORKER), "list"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise BenchmarkError(f"{python}: cannot be started ({error.strerror}); give a Python") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise BenchmarkError(f"{python or sys.executable}: cannot run baselines ({last})")
    known: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return known


def baseline_systems(asked: Sequence[str], python: str | None = None) -> list[Candidate]:
    """Baselines by name; ``installed`` stands for all that are there, ``all`` demands every one.

    Raises:
        BenchmarkError: unknown, or not installed.
    """
    if not asked:
        return []
    choices = (*baselines.BASELINES, "all", "installed")
    if unknown := [name for name in asked if name not in choices]:
        raise BenchmarkError(f"unknown baseline {unknown[0]!r}; choose from {' '.join(choices)}")
    known = known_baselines(python)
    missing = [name for name in known if not known[name]["versions"]]
    if demanded := [name for name in missing if name in asked or "all" in asked]:
        packages = " ".join(dict.fromkeys(known[name]["packages"][0] for name in demanded))
        raise BenchmarkError(
            f"not installed{f' in {python}' if python else ''}: {' '.join(demanded)}; install {packages} "
            "(`make baselines` does, in an environment of their own for --baselines-python), "
            "or use --baselines installed"
        )
    candidates = []
    for name, about in known.items():
        if name in missing or not {name, "all", "installed"} & set(asked):
            continue
        ours = (WORKER.with_name(f"{about['module']}.py"), Path(_WRAPPERS_BASE))
        identity = {"baseline": name, "files": about["fingerprint"], "wrapper": list(map(sha256_of, ours))}
        identity |= {"resampler": installed(("soxr",)), "versions": about["versions"], "lag": about["lag"]}
        settings = {key: about[key] for key in ("versions", "sample_rate", "lag", "about")}
        argv = (python or sys.executable, str(WORKER), name)
        candidates.append(Candidate(name, "baseline", settings, identity, argv, about["sample_rate"]))
    return candidates


_COMMAND = re.compile(r"([\w.-]+)(?:@(\d+))?(?:\+(\d+))?=(.+)", re.DOTALL)


def command_system(text: str) -> Candidate:
    """A command ``NAME=CMD {in} {out}``; no shell is involved.

    ``NAME@RATE+LAG=...`` feeds it WAV files of that rate and moves its output LAG samples earlier.

    Raises:
        BenchmarkError: not of that form.
    """
    match = _COMMAND.fullmatch(text.strip())
    try:
        argv = shlex.split(match[4]) if match else []
    except ValueError as error:
        raise BenchmarkError(f"command {text!r}: {error}") from error
    joined = " ".join(argv)
    if not match or "{in}" not in joined or "{out}" not in joined:
        raise BenchmarkError(f"command {text!r}: must look like NAME='program {{in}} {{out}}'")
    rate, lag = int(match[2] or 0) or None, int(match[3] or 0)
    program = shutil.which(argv[0]) or argv[0]
    named = {word: Path(place) for word, place in zip(argv, [program, *argv[1:]], strict=True)}
    checksums = {word: sha256_of(path) for word, path in named.items() if path.is_file()}
    identity = {"argv": argv, "files": checksums, "sample_rate": rate, "lag": lag}
    settings = {"command": match[4], "sample_rate": rate, "lag": lag}
    return Candidate(match[1], "command", settings, identity, tuple(argv), rate, lag)
