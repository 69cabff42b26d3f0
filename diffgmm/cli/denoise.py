"""``diffgmm denoise``: files or folders in, the same files without the noise out."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.cli.errors import FAILED, UsageError, complain, for_users

if TYPE_CHECKING:
    import numpy as np
    from tqdm import tqdm

    from diffgmm.audio import AudioInfo
    from diffgmm.cli.interrupt import Interrupts
    from diffgmm.cli.jobs import Job
    from diffgmm.inference import Denoiser

HELP = "denoise audio files or folders"
PICTURE_SECONDS = 60  # a picture of more shows nothing


def _at_least(lowest: int) -> Any:
    def number(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest}, got {text!r}")
        return int(text)

    return number


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a number in 0..1, got {text!r}")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="IN", help="audio file, or folder of audio files")
    add(
        "-o",
        "--output",
        metavar="OUT",
        help="file for one input, else folder (default: NAME.denoised beside IN)",
    )
    add(
        "--model",
        default="base",
        metavar="NAME",
        help="shipped model, or .ckpt/.json/.safetensors file (base)",
    )
    add(
        "--nfe",
        type=_at_least(1),
        metavar="N",
        help="network calls per window (default: the model's, mostly 1)",
    )
    add("--estimate", choices=("mean", "sample", "mode"), help="what is taken from the mixture (the model's)")
    add("--samples", type=_at_least(1), metavar="N", help="sampled results that are averaged (the model's)")
    add(
        "--strength",
        type=_fraction,
        default=1.0,
        metavar="S",
        help="0 changes nothing, 1 is the model's result (1)",
    )
    add("--seed", type=_at_least(0), default=0, metavar="N", help="of the sampling noise (0)")
    add(
        "--device",
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:N or auto: a GPU if there is one (auto)",
    )
    add("--threads", type=_at_least(1), metavar="N", help="CPU threads (default: torch's choice)")
    add(
        "--picture",
        action="store_true",
        help="also write NAME.png: spectrogram and waveform of the first minute, before and after",
    )
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--recursive", action="store_true", help="also look into the subfolders of a folder")


def run(args: argparse.Namespace) -> int:
    """Denoise; returns 1 if any file failed (the others are done all the same)."""
    from tqdm import tqdm

    from diffgmm.cli.interrupt import Interrupts
    from diffgmm.cli.jobs import plan

    jobs, skipped = plan(
        args.inputs, args.output, recursive=args.recursive, picture=args.picture, overwrite=args.overwrite
    )
    if skipped:
        names = ", ".join(path.name for path in skipped[:10]) + (" ..." if len(skipped) > 10 else "")
        print(f"skipped {len(skipped)} that are no audio: {names}")
    sound = _readable(jobs)
    if not sound:
        return FAILED
    denoiser = _denoiser(args.model, args.device, args.threads)
    done, seconds, spent = 0, 0.0, 0.0
    bar = tqdm(
        total=sum(info.seconds for _, info in sound), disable=None, leave=False,
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]",
    )  # fmt: skip
    with bar, Interrupts() as interrupts:
        for job, info in sound:
            interrupts.check()
            bar.set_description(job.source.name, refresh=False)
            try:
                gain, took = _one(job, info, denoiser, args, bar, interrupts)
            except for_users() as error:
                bar.clear()
                complain(error)
                continue
            done, seconds, spent = done + 1, seconds + info.seconds, spent + took
            note = f", level {20 * math.log10(gain):+.1f} dB so as not to clip" if gain < 1.0 else ""
            figures = f"{info.seconds:.1f} s in {took:.2f} s (rtf {took / info.seconds:.3f}){note}"
            bar.clear()
            print(f"{job.source} -> {job.target}: {figures}", flush=True)
    if len(jobs) > 1:
        rtf = f" (rtf {spent / seconds:.3f})" if seconds else ""
        print(f"{done} of {len(jobs)} files denoised, {seconds:.1f} s of audio in {spent:.1f} s{rtf}")
    return 0 if done == len(jobs) else FAILED


def _readable(jobs: list[Job]) -> list[tuple[Job, AudioInfo]]:
    """The jobs whose file has a sound header; the others are complained about before the model loads."""
    from diffgmm.audio import AudioError, probe

    sound = []
    for job in jobs:
        try:
            sound.append((job, probe(job.source)))
        except AudioError as error:
            complain(error)
    return sound


def _denoiser(name: str, device: str, threads: int | None) -> Denoiser:
    import torch

    from diffgmm.inference import Denoiser, model_path
    from diffgmm.model import ModelError

    try:
        path = model_path(name)
    except ModelError as error:  # no such name or file: nothing was tried yet
        raise UsageError(str(error)) from error
    if threads:
        torch.set_num_threads(threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = device.partition(":")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UsageError(f"unknown device {device!r}; use cpu, cuda, cuda:N or auto")
    if kind == "cuda" and int(number or 0) >= gpus:
        raise UsageError(f"device {device!r}: torch sees {gpus} GPU(s) here; use --device cpu")
    return Denoiser.from_pretrained(path, device)


def _one(
    job: Job,
    info: AudioInfo,
    denoiser: Denoiser,
    args: argparse.Namespace,
    bar: tqdm[Any],
    interrupts: Interrupts,
) -> tuple[float, float]:
    """Denoise one file block by block; returns the gain against clipping, and the seconds it took."""
    from diffgmm.audio import Writer, choose_format, read_blocks

    def counted() -> Iterator[np.ndarray]:
        for block in read_blocks(job.source):
            interrupts.check()
            yield block
            bar.update(block.shape[1] / info.sample_rate)

    start = time.perf_counter()
    job.target.parent.mkdir(parents=True, exist_ok=True)
    form, subtype = choose_format(job.target, like=info)
    writer = Writer(
        job.target, info.sample_rate, info.channels, format=form, subtype=subtype, overwrite=args.overwrite
    )
    with writer:
        for block in denoiser.denoise_blocks(
            counted(), info.sample_rate, info.channels,
            nfe=args.nfe, estimate=args.estimate, samples=args.samples,
            seed=args.seed, strength=args.strength,
        ):  # fmt: skip
            interrupts.check()
            writer.write(block)
    took = time.perf_counter() - start
    if job.picture:
        from diffgmm.pictures import before_after

        before_after(_beginning(job.source), _beginning(job.target), info.sample_rate, job.picture)
    return writer.gain, took


def _beginning(path: Path) -> np.ndarray:
    """The first :data:`PICTURE_SECONDS` of a file, channels averaged: ``[samples]``."""
    import numpy as np

    from diffgmm.audio import probe, read_blocks

    wanted, pieces = PICTURE_SECONDS * probe(path).sample_rate, []
    for block in read_blocks(path):
        pieces.append(block.mean(axis=0))
        if sum(map(len, pieces)) >= wanted:
            break
    return np.concatenate(pieces)[:wanted]
