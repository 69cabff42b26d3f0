"""``diffgmm denoise``: files or folders in, the same files without the noise out."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

from diffgmm.cli.options import add_model, at_least
from diffgmm.diffusion.sampler_options import ESTIMATES, SOLVERS
from diffgmm.utils.errors import FAILED, complain

if TYPE_CHECKING:
    from diffgmm.audio import AudioInfo
    from diffgmm.cli.denoise_plan import Job

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

    from diffgmm.cli.denoise_plan import open_denoiser, plan
    from diffgmm.inference.files import denoise_file, each
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
    denoiser = open_denoiser(args.model, args.device, args.backend, args.threads, at_a_time)
    done, seconds, start = 0, 0.0, time.perf_counter()
    bar = tqdm(
        total=sum(info.seconds for _, info in sound), disable=None, leave=False,
        bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} s of audio [{elapsed}<{remaining}]",
    )  # fmt: skip

    def work(task: tuple[Job, AudioInfo]) -> tuple[float, float]:
        interrupts.check()
        bar.set_description(task[0].source.name, refresh=False)
        return denoise_file(*task, denoiser, args, bar.update, interrupts)

    with bar, Interrupts() as interrupts:
        for (job, info), result in each(sound, work, at_a_time):
            bar.clear()
            if isinstance(result, BaseException):
                complain(result)
                continue
            gain, took = result
            done, seconds = done + 1, seconds + info.seconds
            note = f", level {20 * math.log10(gain):+.1f} dB so as not to clip" if gain < 1.0 else ""
            figures = f"{info.seconds:.1f} s in {took:.2f} s (rtf {took / info.seconds:.3f}){note}"
            print(f"{job.source} -> {job.target}: {figures}", flush=True)
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
