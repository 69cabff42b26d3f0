"""``diffgmm demo``: a page in the browser that denoises recordings, on this machine."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from diffgmm.cli.denoise import open_denoiser
from diffgmm.cli.options import add_device, add_model, add_threads, at_least, model_file
from diffgmm.utils.errors import UsageError, warn

HELP = "denoise in the browser: drop or record, compare, download"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add_model(parser)
    add = parser.add_argument
    add(
        "--port",
        type=at_least(1),
        metavar="N",
        help="to listen on, at 127.0.0.1 (the first free one from 7860)",
    )
    add("--max-minutes", type=at_least(1), default=10, metavar="N", help="longer recordings are refused (10)")
    add_device(parser)
    add_threads(parser)
    add(
        "--share",
        action="store_true",
        help="also make a public address: recordings then pass through Gradio's servers",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if find_spec("gradio") is None:
        raise UsageError("diffgmm demo needs Gradio: pip install 'diffgmm[demo]'")
    from diffgmm.inference.denoiser import available_models
    from diffgmm.page.blocks import serving, wait_for_ever
    from diffgmm.utils.interrupts import leaving_on_sigterm

    model_file(args.model)
    if args.share:
        warn("--share: whoever knows the public address can use this page")
    models = [args.model, *(name for name in available_models() if name != args.model)]

    with leaving_on_sigterm(), serving(
        models,
        lambda name: open_denoiser(name, args.device, threads=args.threads, trust=args.trust),
        port=args.port,
        share=args.share,
        most_minutes=args.max_minutes,
        uncertainty=find_spec("torch") is not None,
    ) as (address, public):  # fmt: skip
        print(f"open {address} (Ctrl-C ends it)", flush=True)
        if public:
            print(f"public: {public}", flush=True)
        wait_for_ever()
    return 0
