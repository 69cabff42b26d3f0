"""``diffgmm demo``: a page in the browser that denoises recordings, on this machine."""

from __future__ import annotations

import argparse
from importlib.util import find_spec

from diffgmm.cli.denoise import open_denoiser
from diffgmm.cli.options import add_shared, at_least, model_file
from diffgmm.utils.errors import UsageError, warn

HELP = "denoise in the browser: drop or record, compare, download"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; nothing heavy is imported for ``--help``."""
    add = parser.add_argument
    add_shared(parser, "--model", "--trust", "--device", "--threads")
    add("--port", type=at_least(1), metavar="N", help="of 127.0.0.1 (the first free one from 7860)")
    add("--max-minutes", type=at_least(1), default=10, metavar="N", help="longer recordings are refused (10)")
    share = "also make a public address: recordings then pass through Gradio's servers"
    add("--share", action="store_true", help=share)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    if find_spec("gradio") is None:
        raise UsageError("diffgmm demo needs Gradio: pip install 'diffgmm[demo]'")
    from diffgmm.diffusion.pretrained import available_models, model_path
    from diffgmm.inference.denoiser import Denoiser
    from diffgmm.page.blocks import serving, wait_for_ever
    from diffgmm.utils.interrupts import Interrupts

    model_file(args.model)
    if args.share:
        warn("--share: whoever knows the public address can use this page")
    torch = find_spec("torch") is not None  # without it only models that have a graph work
    others = (name for name in available_models() if torch or model_path(name).with_suffix(".onnx").is_file())
    models = [args.model, *(name for name in others if name != args.model)]

    def load(name: str) -> Denoiser:
        return open_denoiser(name, args.device, threads=args.threads, trust=args.trust)

    page = serving(
        models, load, port=args.port, share=args.share, most_minutes=args.max_minutes,
        uncertainty=torch,
    )  # fmt: skip
    with Interrupts(at_once=True), page as (address, public):
        print(f"open {address} (Ctrl-C ends it)", flush=True)
        if public:
            print(f"public: {public}", flush=True)
        wait_for_ever()
    return 0
