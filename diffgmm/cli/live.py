"""``diffgmm live``: a microphone without its noise, to a loudspeaker or into a file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from diffgmm.cli.denoise import open_denoiser
from diffgmm.cli.options import add_shared, at_least, check_output_file
from diffgmm.utils.errors import warn

HELP = "denoise a microphone as it records, to a loudspeaker or into a file"


def _device(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add("--list", action="store_true", help="show the devices and end")
    add("--input", type=_device, metavar="DEV", help="what records, by number or part of the name (default)")
    add("--output", type=_device, metavar="DEV", help="what plays, by number or part of the name (default)")
    add("-o", "--file", type=Path, metavar="FILE", help="write into this file instead of playing")
    add("--seconds", type=at_least(1), metavar="N", help="end after so long (default: at Ctrl-C)")
    add("--rate", type=at_least(1000), metavar="HZ", help="sample rate (what the input likes)")
    add("--channels", type=at_least(1), default=1, metavar="N", help="of the input (1)")
    add_shared(parser, "--model", "--trust", "--strength", "--device", "--threads", "--overwrite")


def run(args: argparse.Namespace) -> int:
    """Pass sound on until Ctrl-C."""
    from diffgmm.inference.live import Live, devices
    from diffgmm.utils.interrupts import Interrupts

    if args.list:
        print(devices())
        return 0
    if args.file:
        check_output_file(args.file, args.overwrite)
    denoiser = open_denoiser(args.model, args.device, threads=args.threads, trust=args.trust)
    with Interrupts() as interrupts:
        live = Live(
            denoiser, source=args.input, output=args.output, file=args.file, sample_rate=args.rate,
            channels=args.channels, strength=args.strength, overwrite=args.overwrite,
        )  # fmt: skip
        try:
            with live:
                late = f"listening, {1000 * live.latency:.0f} ms late (Ctrl-C ends it)"
                print(late, file=sys.stderr, flush=True)
                while live.pass_block() and not (args.seconds and live.heard >= args.seconds):
                    interrupts.check()
        except KeyboardInterrupt:  # how it ends
            pass
    if live.late:
        advice = "try --model small or more --threads"
        warn(f"{live.late} times sound was lost, for the model took too long; {advice}")
    print(f"{live.heard:.1f} s" + (f" -> {args.file}" if args.file else ""))
    return 0
