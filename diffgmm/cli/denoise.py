"""``diffgmm denoise``: files or folders in, the same files without the noise out."""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from diffgmm.cli.options import add_model, at_least, model_file
from diffgmm.diffusion.sampler_options import ESTIMATES, SOLVERS
from diffgmm.utils.errors import FAILED, UsageError, complain

if TYPE_CHECKING:
    from diffgmm.audio import AudioInfo
    from diffgmm.inference import Denoiser
    from diffgmm.inference.file_plan import Job

HELP = "denoise audio files or folders"


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
    add_model(parser)
    add(
        "--nfe",
        type=at_least(1),
        metavar="N",
        help="network calls per window (default: the model's, mostly 1)",
    )
    add("--estimate", choices=ESTIMATES, help="what is taken from the mixture (the model's)")
    add("--samples", type=at_least(1), metavar="N", help="sampled results that are averaged (the model's)")
    add(
        "--solver",
        choices=SOLVERS,
        help="how more than one network call is used (the model's)",
    )
    add(
        "--substeps",
        type=at_least(1),
        metavar="N",
        help="closed-form steps between two network calls (the model's, mostly 1)",
    )
    add(
        "--strength",
        type=_fraction,
        default=1.0,
        metavar="S",
        help="0 changes nothing, 1 is the model's result (1)",
    )
    add("--seed", type=at_least(0), default=0, metavar="N", help="of the sampling noise (0)")
    add(
        "--device",
        default="auto",
        metavar="D",
        help="cpu, cuda, cuda:N or auto: a GPU if there is one (auto)",
    )
    add(
        "--backend",
        choices=("auto", "torch", "onnxruntime", "openvino"),
        default="auto",
        help="what computes the default setting: auto takes onnxruntime where it is installed, else torch (auto)",
    )
    add(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="CPU threads in all (default: OMP_NUM_THREADS, or all cores)",
    )
    add(
        "--jobs",
        type=at_least(1),
        default=1,
        metavar="N",
        help="files at a time, which share the threads (1)",
    )
    add(
        "--picture",
        action="store_true",
        help="also write NAME.png: spectrogram and waveform of the first minute, before and after",
    )
    add(
        "--uncertainty",
        action="store_true",
        help="also write how sure the model is: NAME.uncertainty.csv, every 20 ms the standard deviation of the error "
        "(1 is full scale) and the confidence (share of the speech's energy that the output has, 0 to 1), of each "
        "channel; and NAME.uncertainty.png, the first minute with the expected error of each bin. They describe the "
        "model's result, whatever --strength mixes back",
    )
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--recursive", action="store_true", help="also look into the subfolders of a folder")


def run(args: argparse.Namespace) -> int:
    """Denoise; returns 1 if any file failed (the others are done all the same)."""
    from tqdm import tqdm

    from diffgmm.diffusion.pretrained import check_likelihood
    from diffgmm.inference.file_plan import plan
    from diffgmm.inference.files import denoise_jobs
    from diffgmm.utils.interrupts import Interrupts

    jobs, skipped = plan(
        args.inputs,
        args.output,
        recursive=args.recursive,
        picture=args.picture,
        overwrite=args.overwrite,
        uncertainty=args.uncertainty,
    )
    if skipped:
        names = ", ".join(path.name for path in skipped[:10]) + (" ..." if len(skipped) > 10 else "")
        print(f"skipped {len(skipped)} that are no audio: {names}")
    sound = _readable(jobs)
    if not sound:
        return FAILED
    at_a_time = min(args.jobs, len(sound))
    denoiser = open_denoiser(args.model, args.device, args.backend, args.threads, at_a_time, args.trust)
    if args.uncertainty:
        check_likelihood(denoiser.description)
    sampling: Any = {
        name: getattr(args, name) for name in ("nfe", "estimate", "samples", "solver", "substeps")
    }
    done, seconds, start = 0, 0.0, time.perf_counter()
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
            jobs=at_a_time, progress=progress, **sampling,
        ):  # fmt: skip
            bar.clear()
            if result.error is not None:
                complain(result.error)
                continue
            done, seconds = done + 1, seconds + result.seconds
            gain = result.gain
            note = f", level {20 * math.log10(gain):+.1f} dB so as not to clip" if gain < 1.0 else ""
            figures = f"{result.seconds:.1f} s in {result.spent:.2f} s (rtf {result.rtf:.3f}){note}"
            print(f"{result.job.source} -> {result.job.target}: {figures}", flush=True)
    if len(jobs) > 1:
        spent = time.perf_counter() - start
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


_DRIVERS = (
    "/dev/nvidia0",
    "/dev/nvidiactl",
    "/dev/kfd",
    "/dev/dxg",
)  # of NVIDIA and AMD, and of Windows' Linux


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
    if backend in ("onnxruntime", "openvino"):
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
