"""Give a trained model a larger U-Net of the same function: ``python -m experiments.release.grow small -o wide ...``.

``--network '{channels: [20, 40, 28]}'`` names the arguments that change: wider levels, further blocks that begin
without effect (``dual``, ``fine``), another dropout. Training goes on from the result, ``--model.weights wide``, where
the smaller model stood. New channels begin at random and nothing reads them yet; so they learn at once, unlike copies
of old ones (after Chen et al., "Net2Net", ICLR 2016, section 2.3).

``--without network.bottleneck`` first takes out a branch that is added to its input, for training to make good;
``--levels 3`` the levels below the uppermost three, with their way back up; a smaller ``fine_kernel`` the outer taps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.pretrained import available_models, model_path
from diffgmm.diffusion.saving import build, load_model, save_model
from diffgmm.utils.errors import UsageError, UserError, exit_code

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)


def grow(old: MixtureDenoiser, new: MixtureDenoiser, tolerance: float = 1e-4) -> None:
    """Give ``new`` the weights of ``old`` so that it computes the same; both in evaluation mode.

    Raises:
        UsageError: it does not: its sizes differ in more than the width of convolutions and what begins without effect.
    """
    state, modules = old.state_dict(), dict(new.named_modules())
    with torch.no_grad():
        for name, target in new.state_dict().items():
            path, _, leaf = name.rpartition(".")
            source = state.get(name)
            if source is None:
                continue
            if source.dim() != target.dim() or any(
                a > b for a, b in zip(source.shape, target.shape, strict=True)
            ):
                raise UsageError(f"{name} would go from {list(source.shape)} to {list(target.shape)}")
            halves = 2 if path.endswith(".modulation") else 1  # scale, shift
            pieces = [source], [target]
            if source.dim():
                pieces = source.chunk(halves), target.chunk(halves)
            for part, piece in zip(*pieces, strict=True):
                _put(part, piece, isinstance(modules[path], _TRANSPOSED) and leaf == "weight")
        noisy = torch.randn(1, 1, old.sample_rate, generator=torch.Generator().manual_seed(0))
        y = old.representation.encode(noisy, old.representation.context(noisy)).expand(
            2, *[-1] * (old.network.dims + 1)
        )
        answers = [model.posterior(y, y, torch.tensor([1.0, 0.3])).mean() for model in (old, new)]
        worst = float((answers[0] - answers[1]).abs().max())
    if not worst <= tolerance:
        raise UsageError(f"the larger network is another function: outputs differ by up to {worst:.3g}")


def leave_out(model: MixtureDenoiser, branch: str) -> None:
    """Let a branch that is added to its input, named from the model on, return the input alone.

    Raises:
        UsageError: there is no such module.
    """
    path, _, name = branch.rpartition(".")
    if not path or branch not in dict(model.named_modules()):
        raise UsageError(f"the model has no module {branch!r}")
    setattr(model.get_submodule(path), name, _Input())


class _Input(nn.Module):
    """The first of its arguments: blocks of a U-Net also hear the process time."""

    def forward(self, x: Tensor, *rest: Tensor) -> Tensor:
        return x


def shorten(model: MixtureDenoiser, levels: int) -> None:
    """Take out the levels of its U-Net below the ``levels`` uppermost, and what leads back up from them.

    Raises:
        UsageError: it has no more levels, or its recurrences below.
    """
    network = model.network
    down, up = (getattr(network, name, None) for name in ("down", "up"))
    if not isinstance(down, nn.ModuleList) or not isinstance(up, nn.ModuleList):
        raise UsageError(f"--levels {levels}: the model has no levels")
    if not getattr(network, "dual_level", -1) < levels < len(down):
        raise UsageError(f"--levels {levels}: a U-Net of more levels, recurrences above the cut, is needed")
    del up[: len(down) - levels], down[levels:]


def narrow(model: MixtureDenoiser, kernel: Sequence[int]) -> None:
    """Cut the kernels of its fine band's blocks down to ``kernel`` taps, those in the middle.

    Raises:
        UsageError: it has no fine band, or smaller kernels.
    """
    blocks = getattr(getattr(model.network, "fine", None), "blocks", None)
    if not isinstance(blocks, nn.ModuleList):
        raise UsageError("fine_kernel: the model has no fine band")
    for layer in (block.get_submodule("conv") for block in blocks):
        assert isinstance(layer, nn.Conv2d)
        outer = [(before - after) // 2 for before, after in zip(layer.kernel_size, kernel, strict=True)]
        if min(outer) < 0:
            raise UsageError(f"fine_kernel: {list(layer.kernel_size)} taps can't grow to {list(kernel)}")
        taps = layer.weight[:, :, outer[0] :, outer[1] :][:, :, : kernel[0], : kernel[1]]
        layer.weight = nn.Parameter(taps.contiguous())
        layer.kernel_size, layer.padding = (kernel[0], kernel[1]), (kernel[0] // 2, kernel[1] // 2)


def _put(source: Tensor, target: Tensor, transposed: bool) -> None:
    """``source`` into the first places; what else leads to its outputs becomes 0."""
    if target.dim() > 1:
        outputs, rest = (
            (source.shape[1], slice(source.shape[0], None)) if transposed else (source.shape[0], slice(None))
        )
        if transposed:
            target[rest, :outputs] = 0.0
        else:
            target[:outputs, source.shape[1] :] = 0.0
    target[tuple(slice(size) for size in source.shape)].copy_(source)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.release.grow", description=__doc__)
    parser.add_argument("model", help=f"{', '.join(available_models())}, a saved model or a checkpoint")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="STEM", help="STEM.safetensors, STEM.json"
    )
    parser.add_argument(
        "--network", type=yaml.safe_load, default={}, metavar="YAML", help="arguments that change"
    )
    parser.add_argument(
        "--without", metavar="MODULE", help="a branch to take out first; say so in --network, too"
    )
    parser.add_argument("--levels", type=int, metavar="N", help="keep only the N uppermost levels")
    parser.add_argument("--seed", type=int, default=0, help="of new weights (0)")
    return parser


def main() -> int:
    """Write the larger model; 0 done, 2 wrong usage."""
    try:
        args = _parser().parse_args()
        if args.output.with_name(args.output.name + ".json").exists():
            raise UsageError(f"{args.output} is there already")
        old, description = load_model(model_path(args.model))
        described = description["model"]
        arguments = described["init_args"]["network"]["init_args"]
        arguments |= args.network
        if args.without is not None:
            leave_out(old, args.without)
        if args.levels is not None:
            shorten(old, args.levels)
            arguments |= {name: arguments[name][: args.levels] for name in ("channels", "strides")}
        torch.manual_seed(args.seed)
        new = build(described).eval()
        if "fine_kernel" in args.network and getattr(old.network, "fine", None) is not None:
            narrow(old, args.network["fine_kernel"])
        grow(old, new)
        count = sum(value.numel() for value in new.parameters())
        save_model(
            args.output, new, description.get("card", {}) | {"parameters": count}, description["sampler"]
        )
        gone = [args.without] * (args.without is not None) + ["lower levels"] * (args.levels is not None)
        same = " without ".join(["the same function", *gone])
        print(f"wrote {args.output}: {count:,} parameters, {same}")
        return 0
    except UserError as error:
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
