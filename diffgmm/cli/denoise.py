"""``diffgmm denoise``: files or folders in, the same files without the noise out."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffgmm.cli.options import add_shared, model_file, processes, steps
from diffgmm.diffusion.sampler_options import ESTIMATES, FOREIGN, SOLVERS
from diffgmm.utils.errors import FAILED, UsageError, complain, warn

if TYPE_CHECKING:
    from diffgmm.audio import AudioInfo
    from diffgmm.inference import Denoiser
    from diffgmm.inference.file_plan import Job

HELP = "denoise audio files or folders"


_UNCERTAINTY = (
    "also write how sure the model is: NAME.uncertainty.csv, every 20 ms the standard deviation of the error "
    "(1 is full scale) and the confidence (share of the speech's energy that the output has, 0 to 1), of each channel; "
    "and NAME.uncertainty.png, the first minute with the expected error of each bin. They describe the model's result, "
    "whatever --strength mixes back"
)


def _solver(text: str) -> str:
    if text not in SOLVERS and not FOREIGN.fullmatch(text):
        known = ", ".join(SOLVERS)
        raise argparse.ArgumentTypeError(f"choose from {known}, or PACKAGE.MODULE:FUNCTION, got {text!r}")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    solvers = f"{', '.join(SOLVERS)}, or PACKAGE.MODULE:FUNCTION of a package that you --trust"
    clip = "what would pass full scale: lower the whole file, or keep its level and cut the peaks off (scale)"
    add("inputs", nargs="+", metavar="IN", help="audio file, folder of audio files, or - (stdin)")
    add("-o", "--output", metavar="OUT", help="file, folder, or - for stdout (NAME.denoised beside IN)")
    add("--nfe", type=steps, metavar="N", help="network calls per window (the model's, mostly 1)")
    add("--estimate", choices=ESTIMATES, help="what is taken from the mixture (the model's)")
    add("--samples", type=steps, metavar="N", help="sampled results that are averaged (the model's)")
    add("--solver", type=_solver, metavar="S", help=f"for several calls: {solvers} (the model's)")
    add("--substeps", type=steps, metavar="N", help="closed-form steps between calls (the model's)")
    step_noise = "whether the process's own noise is added between steps (the model's)"
    add("--step-noise", action=argparse.BooleanOptionalAction, default=None, help=step_noise)
    add_shared(parser, "--model", "--trust", "--strength", "--seed", "--device", "--threads", "--overwrite")
    backends, auto = (
        ("auto", "torch", "onnxruntime"),
        "auto: onnxruntime where it is installed, else torch (auto)",
    )
    add("--backend", choices=backends, default="auto", help=f"what computes the default setting; {auto}")
    add("--jobs", type=processes, default=1, metavar="N", help="files at a time; they share the threads (1)")
    picture = "also write NAME.png: spectrogram and waveform of the first minute, before and after"
    add("--picture", action="store_true", help=picture)
    add("--uncertainty", action="store_true", help=_UNCERTAINTY)
    add("--clip", choices=("scale", "keep"), default="scale", help=clip)
    add("--salvage", action="store_true", help="of a damaged or truncated file, denoise what can be read")
    add("--recursive", action="store_true", help="also look into the subfolders of a folder")


def run(args: argparse.Namespace) -> int:
    """Denoise; returns 1 if any file failed (the others are done all the same)."""
    from diffgmm.inference.file_plan import STDIN, plan

    with tempfile.TemporaryDirectory(prefix="diffgmm-") as scratch:
        jobs, skipped = plan(
            args.inputs, args.output, recursive=args.recursive, picture=args.picture, overwrite=args.overwrite,
            uncertainty=args.uncertainty, scratch=Path(scratch),
        )  # fmt: skip
        to_stdout = any(job.stream == STDIN for job in jobs)
        with contextlib.redirect_stdout(sys.stderr if to_stdout else sys.stdout):
            return _denoise(jobs, skipped, args)


def _denoise(jobs: list[Job], skipped: list[Path], args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from diffgmm.diffusion.pretrained import check_likelihood
    from diffgmm.inference.files import Denoised, denoise_jobs
    from diffgmm.utils.interrupts import Interrupts

    if skipped:
        names = ", ".join(path.name for path in skipped[:10]) + (" ..." if len(skipped) > 10 else "")
        print(f"skipped {len(skipped)} that are no audio: {names}")
    sound = _readable(jobs, args.salvage)
    if not sound:
        return FAILED
    if args.picture and find_spec("matplotlib") is None:  # before the files are written that it would draw
        raise ModuleNotFoundError(name="matplotlib")
    at_a_time = min(args.jobs, len(sound))
    denoiser = open_denoiser(args.model, args.device, args.backend, args.threads, at_a_time, args.trust)
    if args.uncertainty:
        check_likelihood(denoiser.description)
    options = ("nfe", "estimate", "samples", "solver", "substeps", "step_noise")
    sampling: Any = {name: getattr(args, name) for name in options}
    denoised, start = list[Denoised](), time.perf_counter()
    bar = tqdm(
        total=sum(info.seconds for _, info in sound), disable=None, leave=False,
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]",
    )  # fmt: skip

    def announced() -> Iterator[Job]:
        for job, _ in sound:
            interrupts.check()
            bar.set_description(job.source.name, refresh=False)
            yield job

    def progress(read: float) -> None:
        interrupts.check()
        if read:
            bar.update(read)

    with bar, Interrupts() as interrupts:
        for result in denoise_jobs(
            announced(), denoiser, seed=args.seed, strength=args.strength, overwrite=args.overwrite,
            clip=args.clip, salvage=args.salvage, jobs=at_a_time, progress=progress, **sampling,
        ):  # fmt: skip
            bar.clear()
            if isinstance(result.error, BrokenPipeError):
                raise result.error
            if result.error is not None:
                complain(_named(result.error, result.job))
                continue
            denoised.append(result)
            figures = f"{result.seconds:.1f} s in {result.spent:.2f} s (rtf {result.rtf:.3f})"
            out = result.job.stream or result.job.target
            print(f"{result.job.source} -> {out}: {', '.join([figures, *result.notes])}", flush=True)
    if len(jobs) > 1:
        seconds, gains = sum(result.seconds for result in denoised), [result.gain for result in denoised]
        spent = time.perf_counter() - start
        rtf = f" (rtf {spent / seconds:.3f})" if seconds else ""
        print(
            f"{len(denoised)} of {len(jobs)} files denoised, {seconds:.1f} s of audio in {spent:.1f} s{rtf}"
        )
        if lowered := [gain for gain in gains if gain < 1.0]:
            print(
                f"{len(lowered)} of them lowered by up to {-20 * math.log10(min(lowered)):.1f} dB so as not to clip; "
                "if they are parts of one recording, --clip keep leaves them at one level"
            )
    return 0 if len(denoised) == len(jobs) else FAILED


def _named(error: BaseException, job: Job) -> BaseException | str:
    """The error with the name that the user gave in the place of a copy's."""
    if job.spool is None:
        return error
    return str(error).replace(str(job.spool), "standard input" if str(job.source) == "-" else str(job.source))


def _readable(jobs: list[Job], salvage: bool) -> list[tuple[Job, AudioInfo]]:
    """The jobs whose file has a sound header; the others are complained about before the model loads."""
    from diffgmm.audio import AudioError, probe

    sound = []
    for job in jobs:
        try:
            info = probe(job.sound, salvage)
        except AudioError as error:
            complain(_named(error, job))
            continue
        if info.note:
            warn(f"{job.source}: {info.note}")
        sound.append((job, info))
    return sound


#: Drivers of NVIDIA and AMD, and of Windows' Linux.
_DRIVERS = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def open_denoiser(
    name: str,
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    at_a_time: int = 1,
    trust: Sequence[str] = (),
) -> Denoiser:
    """The denoiser that the options ask for.

    Args:
        name: of a shipped model, or a file.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        backend: of :data:`diffgmm.inference.backends.BACKENDS`.
        threads: in all; ``None`` for ``OMP_NUM_THREADS`` or every core.
        at_a_time: files that share the threads.
        trust: packages that the model may name classes of.

    Raises:
        UsageError: no such model or device, or a back end that does not run on it.
        ModelError: the model or the back end can't be used.
    """
    from diffgmm.inference import Denoiser

    path = model_file(name)
    device = _device(device, backend)
    share = None
    if threads or at_a_time > 1:
        from diffgmm.utils.cores import thread_count

        share = max(1, (threads or thread_count()) // at_a_time)
    denoiser = Denoiser.from_pretrained(path, device, backend, share, trust)
    if share:
        denoiser.limit_threads(share)
    return denoiser


def _device(device: str, backend: str) -> str:
    kind, _, number = device.partition(":")
    if device != "auto" and (kind not in ("cpu", "cuda") or (number and not number.isdigit())):
        raise UsageError(f"unknown device {device!r}; use cpu, cuda, cuda:N or auto")
    if backend == "onnxruntime":
        if kind == "cuda":
            raise UsageError(f"back end {backend} runs on the cpu, not on {device}")
        return "cpu"
    # Asking PyTorch for GPUs means to load it, for seconds; without a driver there is none.
    if kind == "cpu" or (device == "auto" and not any(map(os.path.exists, _DRIVERS))):
        return "cpu"
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if gpus else "cpu"
    if int(number or 0) >= gpus:
        raise UsageError(f"device {device!r}: torch sees {gpus} GPU(s) here; use --device cpu")
    return device
