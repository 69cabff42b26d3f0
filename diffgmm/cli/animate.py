"""``diffgmm animate``: the reverse process as a moving picture, noise going step by step."""

from __future__ import annotations

import argparse
from typing import Any

from diffgmm.cli.denoise import open_denoiser
from diffgmm.cli.options import check_output_file
from diffgmm.utils.errors import UsageError


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
