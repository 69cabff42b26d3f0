"""``diffgmm animate``: the reverse process as a moving picture, noise going step by step."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from diffgmm.cli.denoise import open_denoiser
from diffgmm.cli.options import add_shared, at_least, check_output_file, steps
from diffgmm.diffusion.sampler_options import ESTIMATES, SOLVERS
from diffgmm.utils.errors import UsageError

HELP = "draw the noise as it goes, step by step, as a GIF or MP4 file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("input", type=Path, metavar="IN", help="audio file")
    add("-o", "--output", type=Path, metavar="OUT", help=".gif or .mp4 file (IN with .gif)")
    add_shared(parser, "--model", "--trust", "--seed", "--overwrite")
    add("--nfe", type=steps, default=12, metavar="N", help="steps, and network calls (12)")
    add("--solver", choices=SOLVERS, help="how the steps are taken (the model's)")
    add("--estimate", choices=ESTIMATES, help="what is taken from the mixture (the model's)")
    add("--start", type=at_least(0), default=0, metavar="S", help="second of the recording to begin with (0)")
    add("--seconds", type=at_least(1), default=4, metavar="S", help="of the recording (4)")
    add("--fps", type=at_least(1), default=4, metavar="N", help="steps that are shown in a second (4)")


def run(args: argparse.Namespace) -> int:
    """Walk, draw, and say where it is."""
    from diffgmm.audio import read
    from diffgmm.audio.animation import ENDINGS, animate

    out = args.output or args.input.with_suffix(".gif")
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(f"-o {out}: an animation is a .gif or an .mp4 file")
    check_output_file(out, args.overwrite)
    x, info = read(args.input)
    first = args.start * info.sample_rate
    piece = x[:, first : first + args.seconds * info.sample_rate]
    if not piece.shape[1]:
        raise UsageError(f"--start {args.start}: {args.input} lasts {info.seconds:.1f} s")
    denoiser = open_denoiser(args.model, "cpu", "torch", trust=args.trust)
    from diffgmm.inference.walk import walk

    sampling: Any = {"nfe": args.nfe, "solver": args.solver, "estimate": args.estimate}
    states = walk(denoiser, piece, info.sample_rate, seed=args.seed, **sampling)
    head = f"step {{}} of {args.nfe}, t = {{:.2f}}"
    headings = {head.format(i, state.time): state.waveform for i, state in enumerate(states)}
    animate(headings, denoiser.sample_rate, out, args.fps)
    print(f"{args.input} -> {out}: {len(states)} pictures")
    return 0
