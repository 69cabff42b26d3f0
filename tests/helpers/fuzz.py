"""Damaged inputs by the thousand: audio files, command lines, manifests, configurations and model files.

``python tests/helpers/fuzz.py --json FILE`` tries :data:`NUMBERS` of each kind, in processes that may crash, hang or
run out of memory, and writes what happened. Case ``n`` of a kind is the same in every run of one seed.

An input may be refused in one line or taken. What may not happen: another exception, a traceback, a process that dies,
a case that takes longer than :data:`SECONDS`, output files of a command that failed, fewer samples than were there.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from diffgmm.utils.errors import one_line

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {
    "reader": 5000, "api": 1200, "command": 1000, "manifest": 1500, "space": 800, "configuration": 120, "model": 1200,
}  # fmt: skip
SECONDS = 60  # of computing; waiting counts for a tenth, as machines are shared
RATE = 8000
_STRANGE = [
    "", "-1", "0", "1e999", "nan", "null", "[]", "{}", "true", "9" * 40, "../..", "/", "é\u202e絆", "\x00", "'", '"',
    "%s", "!!python/object:os.system", "&a [*a]", "{a: *a}", " ", "\t", "a" * 5000, "1.5", "-0", "0x10",
    "~", "=", "--", "-",
]  # fmt: skip
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]


class Hang(BaseException):
    """A case took too long."""


class Fault(Exception):
    """Something that may not happen; ``lost`` if sound was lost."""

    def __init__(self, text: str, lost: bool = False) -> None:
        super().__init__(text)
        self.lost = lost


@dataclass
class Outcome:
    """What became of the cases of a kind."""

    kind: str
    tried: int = 0
    taken: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    lost: int = 0
    slowest_seconds: float = 0.0
    slowest_case: int = -1
    memory_mib: float = 0.0


def sources(folder: Path) -> list[Path]:
    """A sound file of each sort, small."""
    folder.mkdir(parents=True, exist_ok=True)
    x = (0.1 * np.random.default_rng(0).standard_normal((1600, 2))).astype(np.float32)
    sorts = [
        ("pcm.wav", "WAV", "PCM_16"), ("deep.wav", "WAV", "PCM_24"), ("float.wav", "WAV", "FLOAT"),
        ("x.wav", "WAVEX", "PCM_16"),
        ("u.wav", "WAV", "ULAW"), ("ms.wav", "WAV", "MS_ADPCM"), ("ima.wav", "WAV", "IMA_ADPCM"),
        ("big.rf64", "RF64", "PCM_16"),
        ("a.aiff", "AIFF", "PCM_16"), ("a.au", "AU", "PCM_16"), ("a.caf", "CAF", "PCM_16"), ("a.w64", "W64", "PCM_16"),
        ("a.flac", "FLAC", "PCM_16"), ("deep.flac", "FLAC", "PCM_24"), ("v.ogg", "OGG", "VORBIS"),
        ("o.opus", "OGG", "OPUS"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"), ("gsm.wav", "WAV", "GSM610"),
    ]  # fmt: skip
    paths = []
    for name, form, subtype in sorts:
        one = x[:, :1] if subtype == "GSM610" else x
        soundfile.write(folder / name, one, RATE, format=form, subtype=subtype)
        paths.append(folder / name)
    return paths


def damaged(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """A file after one to four accidents; the beginning, where headers are, has the most of them."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        if not content:
            break
        head = draw.random() < 0.7
        at = draw.randrange(min(len(content), 96) if head else len(content))
        accident = draw.randrange(9)
        if accident == 0:
            content[at] ^= 1 << draw.randrange(8)
        elif accident == 1:
            content[at] = draw.randrange(256)
        elif accident == 2:
            del content[draw.randrange(len(content)) :]
        elif accident == 3:
            del content[at : at + draw.choice((1, 2, 4, 8, 100))]
        elif accident == 4:
            content[at:at] = draw.randbytes(draw.choice((1, 2, 4, 8, 300)))
        elif accident == 5:
            struct.pack_into(
                draw.choice("<>") + "I", content, min(at, max(0, len(content) - 4)), draw.choice(_NUMBERS)
            ) if len(content) >= 4 else None
        elif accident == 6:
            content[at : at + 64] = bytes(len(content[at : at + 64]))
        elif accident == 7:
            content += content[at:]
        else:
            other = draw.choice(others)
            content[at:] = other[draw.randrange(len(other)) :]
    return bytes(content)


def garbled(text: str, draw: random.Random) -> str:
    """A text after one to three accidents to its words and lines."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        lines = text.splitlines(keepends=True) or [""]
        at = draw.randrange(len(lines))
        accident = draw.randrange(7)
        if accident == 0:
            del lines[at]
        elif accident == 1:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif accident == 2:
            words = list(re.finditer(r"[^\s,:\[\]{}]+", lines[at]))
            if words:
                word = draw.choice(words)
                lines[at] = lines[at][: word.start()] + draw.choice(_STRANGE) + lines[at][word.end() :]
        elif accident == 3:
            lines[at] = " " * draw.choice((1, 2, 3)) + lines[at]
        elif accident == 4:
            place = draw.randrange(len(lines[at]) + 1)
            lines[at] = (
                lines[at][:place] + draw.choice([*_STRANGE, ":", "[", "{", ",", "\n"]) + lines[at][place:]
            )
        elif accident == 5:
            lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)] + "\n"
        else:
            numbers = list(re.finditer(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", lines[at]))
            if numbers:
                number = draw.choice(numbers)
                other = draw.choice(["0", "-1", "1e30", "999999", "0.5", "nan", ".inf", "1e-30", "[1]"])
                lines[at] = lines[at][: number.start()] + other + lines[at][number.end() :]
        text = "".join(lines)
    return text


class Tries:
    """The cases: each method takes a case's random numbers and says whether the input was taken."""

    def __init__(self, folder: Path) -> None:
        from tiny_model import tiny

        from diffgmm.diffusion.saving import save_model
        from diffgmm.inference import Denoiser
        from diffgmm.training.module import DiffGMM

        self.folder = folder
        self.sounds = [(path.name, path.read_bytes()) for path in sources(folder / "sources")]
        self.others = [content for _, content in self.sounds]
        self.model = folder / "m.json"
        made = tiny()
        save_model(folder / "m", made, {}, {"nfe": 1, "estimate": "mean"})
        self.denoiser = Denoiser(made)
        module = DiffGMM(made.representation, made.network, made.head, made.process, {"nll": 1.0})
        state = {f"model.{name}": value for name, value in made.state_dict().items()}
        import torch

        torch.save(
            {"diffgmm": module.description(), "state_dict": state, "global_step": 3}, folder / "m.ckpt"
        )
        self.models = {name: (folder / name).read_bytes() for name in ("m.json", "m.safetensors", "m.ckpt")}
        self.manifest = (ROOT / "data_modules" / "mini" / "manifest.csv").read_text(encoding="utf-8")
        self.manifest = "\n".join(self.manifest.splitlines()[:12]) + "\n"
        self.space = (ROOT / "experiments" / "sweeps" / "mini.yaml").read_text(encoding="utf-8")
        self.experiment = (ROOT / "experiments" / "mini.yaml").read_text(encoding="utf-8")

    def file(self, draw: random.Random) -> Path:
        name, content = draw.choice(self.sounds)
        path = self.folder / "case" / name
        path.write_bytes(damaged(content, self.others, draw))
        return path

    def reader(self, draw: random.Random) -> bool:
        """Whatever is read has the length that was promised, and as much as libsndfile alone finds."""
        from diffgmm import audio

        path = self.file(draw)
        try:
            info = audio.probe(path)
            samples = sum(block.shape[1] for block in audio.read_blocks(path))
        except audio.AudioError as error:
            if draw.random() < 0.2:
                with contextlib.suppress(audio.AudioError):
                    for _ in audio.read_blocks(path, salvage=True):
                        pass
            check_line(one_line(error))
            return False
        slack = 1152 * 4 if info.format == "MP3" else 0
        if abs(samples - info.frames) > slack:
            raise Fault(f"{samples} of {info.frames} samples were read", lost=samples < info.frames)
        found = by_libsndfile(path)
        if samples + slack < found:
            raise Fault(f"{samples} samples were read, libsndfile has {found}", lost=True)
        return True

    def api(self, draw: random.Random) -> bool:
        """``denoise_file`` writes as many samples as there are, or nothing."""
        from diffgmm.inference.files import denoise_file

        path = self.file(draw)
        out = self.folder / "case" / ("out" + draw.choice([path.suffix, path.suffix, ".wav", ".flac"]))
        try:
            denoise_file(path, out, model=self.denoiser, overwrite=True)
        except ValueError as error:  # the base of all errors for users
            check_line(one_line(error))
            self.nothing_left(out)
            return False
        same_length(path, out)
        return True

    def command(self, draw: random.Random) -> bool:
        """``diffgmm denoise`` with damaged files and arguments: 0 with an output, or one line and none."""
        path, out = self.file(draw), self.folder / "case" / "out.wav"
        if draw.random() < 0.5:
            path.write_bytes(dict(self.sounds)[path.name])
        words = ["denoise", str(path), "-o", str(out), "--model", str(self.model)]
        pool = [
            "--strength", "0.5", "--nfe", "2", "--seed", "3", "--estimate", "mean", "sample",
            "--samples", "2", "--salvage",
            "--overwrite", "--recursive", "--jobs", "1", "--clip", "keep", "--threads", "--picture",
            "--uncertainty", *_STRANGE,
        ]  # fmt: skip
        for _ in range(draw.choice((0, 1, 2, 3))):
            words.insert(draw.randrange(1, len(words) + 1), draw.choice(pool))
        if draw.random() < 0.2:
            del words[draw.randrange(1, len(words))]
        words = [word.replace("\x00", "") for word in words]  # no system passes these on
        code, said = in_process(words, self.folder / "case")
        if code == 0 and out.exists() and "--salvage" not in words:
            same_length(path, out)
        elif code not in (0, 1, 2):
            raise Fault(f"exit code {code}: {words}")
        elif code:
            self.nothing_left(out)
            check_errors(said)
        return code == 0

    def manifest_file(self, draw: random.Random) -> bool:
        """A manifest names files, or a line says what is wrong with it."""
        from data_modules.errors import DataError
        from data_modules.pools.sources import read_manifest

        path = self.folder / "case" / "manifest.csv"
        path.write_text(garbled(self.manifest, draw), encoding="utf-8", errors="surrogatepass")
        if draw.random() < 0.2:
            path.write_bytes(damaged(path.read_bytes(), self.others, draw))
        try:
            items = read_manifest(path)
        except DataError as error:
            check_line(one_line(error))
            return False
        if not items:
            raise Fault("a manifest without a clip")
        return True

    def space_file(self, draw: random.Random) -> bool:
        """The space of a sweep."""
        from diffgmm.workflows.sweep.space import SweepError, read_space

        path = self.folder / "case" / "space.yaml"
        path.write_text(garbled(self.space, draw), encoding="utf-8")
        try:
            read_space(path)
        except SweepError as error:
            check_line(one_line(error))
            return False
        return True

    def configuration(self, draw: random.Random) -> bool:
        """``diffgmm fit`` with a damaged experiment, up to the point where the first step would come."""
        path = self.folder / "case" / "experiment.yaml"
        path.write_text(garbled(self.experiment, draw), encoding="utf-8")
        tail = ["--trainer.max_steps=0", "--trainer.logger=false", "--trainer.callbacks=null",
                "--trainer.enable_progress_bar=false", "--trainer.num_sanity_val_steps=0",
                "--trainer.enable_model_summary=false", "--trainer.enable_checkpointing=false"]  # fmt: skip
        code, said = in_process(["fit", "--config", str(path), *tail], self.folder / "case")
        if code not in (0, 1, 2):
            raise Fault(f"exit code {code}")
        if code:
            check_errors(said)
        return code == 0

    def model_file(self, draw: random.Random) -> bool:
        """A description, weights or a checkpoint."""
        from diffgmm.diffusion.model import ModelError
        from diffgmm.diffusion.saving import load_model

        for name, content in self.models.items():
            (self.folder / "case" / name).write_bytes(content)
        name = draw.choice(list(self.models))
        path = self.folder / "case" / name
        if name == "m.json" and draw.random() < 0.7:
            path.write_text(garbled(path.read_text(), draw), encoding="utf-8", errors="surrogatepass")
        elif name == "m.ckpt" and draw.random() < 0.7:
            path.write_bytes(repacked(self.models[name], self.others, draw))
        else:
            path.write_bytes(damaged(self.models[name], self.others, draw))
        try:
            load_model(path)
        except ModelError as error:
            check_line(one_line(error))
            return False
        return True

    def nothing_left(self, out: Path) -> None:
        left = [one.name for one in out.parent.iterdir() if one.name.endswith(".part") or one == out]
        if left:
            raise Fault(f"left behind: {left}")

    def run(self, kind: str, seed: int, number: int) -> bool:
        """Do one case in an empty folder."""
        case = self.folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        case.mkdir()
        methods: dict[str, Callable[[random.Random], bool]] = {
            "reader": self.reader, "api": self.api, "command": self.command, "manifest": self.manifest_file,
            "space": self.space_file, "configuration": self.configuration, "model": self.model_file,
        }  # fmt: skip
        return methods[kind](random.Random(f"{kind} {seed} {number}"))


def repacked(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """A checkpoint's archive with a damaged member and a right checksum: the damage gets as far as the unpickler."""
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = (
            next(name for name in names if name.endswith("data.pkl"))
            if draw.random() < 0.7
            else draw.choice(names)
        )
        for name in names:
            data = old.read(name)
            new.writestr(name, damaged(data, others, draw) if name == chosen else data)
    return out.getvalue()


def check_line(text: str) -> None:
    """What a user is told is one line of bearable length."""
    if "\n" in text or len(text) > 1000:
        raise Fault(f"a message of {len(text)} characters: {text[:80]!r}")


def check_errors(said: str) -> None:
    """The standard error of a command that failed: told in lines, no traceback."""
    lines = [line for line in said.splitlines() if line.startswith("diffgmm: error:")]
    if "Traceback (most recent call last)" in said or not lines:
        raise Fault(f"no line says what is wrong: {said[-200:]!r}")
    for line in lines:
        check_line(line)


def by_libsndfile(path: Path) -> int:
    """Samples that libsndfile decodes, all blocks, without a fault; 0 if it doesn't open the file."""
    total = 0
    try:
        with soundfile.SoundFile(path) as sound:
            while len(block := sound.read(65536)):
                total += len(block)
    except (soundfile.SoundFileError, TypeError, ValueError):
        return total
    return total


def same_length(path: Path, out: Path) -> None:
    """The output has as many samples as were read; codecs in blocks may add to the last one."""
    from diffgmm import audio

    samples = sum(block.shape[1] for block in audio.read_blocks(path))  # an MP3's header only estimates them
    written = soundfile.info(out)
    more = written.frames - samples
    coded = written.subtype in ("MS_ADPCM", "IMA_ADPCM", "GSM610") or written.format in ("MP3", "OGG")
    if more < 0 or (more and not coded) or more > 4608:
        text = f"{samples} samples in, {written.frames} out ({written.format}/{written.subtype})"
        raise Fault(text, lost=more < 0)


def in_process(words: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and standard error of a command, as the entry point gives them."""
    from diffgmm.cli.main import main

    said = io.StringIO()
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main(words)
    finally:
        os.chdir(before)
        sys.path[:] = path
    return code, said.getvalue()


def work(kind: str, seed: int, first: int, last: int, report: Path) -> None:
    """Do the cases from ``first`` to before ``last``; after each the report says how far it is."""
    outcome = Outcome(kind)
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        tries = Tries(Path(name))

        def late(*_: object) -> None:
            raise Hang

        signal.signal(signal.SIGALRM, late)
        signal.signal(signal.SIGPROF, late)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(first, last):
            report.write_text(json.dumps({**asdict(outcome), "doing": number}))
            began = time.process_time()
            signal.alarm(10 * SECONDS)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                if tries.run(kind, seed, number):
                    outcome.taken += 1
                else:
                    outcome.refused += 1
            except Fault as fault:
                outcome.faults.append(f"{kind} {number}: {fault}")
                outcome.lost += fault.lost
            except Hang:
                outcome.faults.append(f"{kind} {number}: not done after {SECONDS} s")
            except BaseException as error:
                outcome.faults.append(f"{kind} {number}: {type(error).__name__}: {str(error)[:200]}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.alarm(0)
            outcome.tried += 1
            if (took := round(time.process_time() - began, 2)) > outcome.slowest_seconds:
                outcome.slowest_seconds, outcome.slowest_case = took, number
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        outcome.memory_mib = round(grown / 1024, 1)
    report.write_text(json.dumps({**asdict(outcome), "doing": None}))


def campaign(kind: str, number: int, seed: int = 0) -> Outcome:
    """All cases of a kind, in a process of its own; a case that it dies of is a fault, and another goes on after it."""
    whole, at = Outcome(kind), 0
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        while at < number:
            report.unlink(missing_ok=True)
            command = [
                sys.executable,
                __file__,
                "--worker",
                kind,
                str(seed),
                str(at),
                str(number),
                str(report),
            ]
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")]), "OMP_NUM_THREADS": "1",
            }  # fmt: skip
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            code = _watched(process, report)
            part = json.loads(report.read_text()) if report.is_file() else {"doing": at, "tried": 0}
            doing = part.pop("doing")
            whole.tried += part["tried"]
            for name_ in ("taken", "refused", "lost"):
                setattr(whole, name_, getattr(whole, name_) + part.get(name_, 0))
            whole.faults += part.get("faults", [])
            if part.get("slowest_seconds", 0.0) > whole.slowest_seconds:
                whole.slowest_seconds, whole.slowest_case = part["slowest_seconds"], part["slowest_case"]
            whole.memory_mib = max(whole.memory_mib, part.get("memory_mib", 0.0))
            if doing is None:
                break
            whole.tried += 1
            whole.faults.append(f"{kind} {doing}: the process died (exit code {code})")
            at = doing + 1
    return whole


def _watched(process: subprocess.Popen[bytes], report: Path) -> int:
    """Exit code of a worker; one whose report has stood still for too long is killed."""
    while True:
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            still = time.time() - (report.stat().st_mtime if report.is_file() else time.time())
            if still > 20 * SECONDS:
                process.kill()


def main() -> int:
    """Try everything, or be a worker of it."""
    if sys.argv[1:2] == ["--worker"]:
        kind, seed, first, last, report = sys.argv[2:]
        work(kind, int(seed), int(first), int(last), Path(report))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for what happened")
    parser.add_argument("--kinds", nargs="*", default=list(NUMBERS), choices=list(NUMBERS))
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers of cases")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    outcomes = []
    for kind in given.kinds:
        outcome = campaign(kind, max(1, round(given.share * NUMBERS[kind])), given.seed)
        print(outcome, flush=True)
        outcomes.append(outcome)
        if given.json:
            found = {"seed": given.seed, "outcomes": [asdict(one) for one in outcomes]}
            given.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
