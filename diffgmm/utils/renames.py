"""Class paths of earlier versions, which model descriptions, checkpoints and configurations still name."""

from __future__ import annotations

import re
import warnings

MODULES = {
    "data_modules.augment_base": "data_modules.augment.base",
    "data_modules.codecs": "data_modules.augment.codecs",
    "data_modules.distortions": "data_modules.augment.distortions",
    "data_modules.filters": "data_modules.augment.filters",
    "data_modules.formants": "data_modules.augment.formants",
    "data_modules.mixing_options": "data_modules.mixing.options",
    "data_modules.rooms": "data_modules.augment.reverb",
    "diffgmm.callbacks.checkpoints": "diffgmm.training.callbacks.checkpoints",
    "diffgmm.callbacks.config_file": "diffgmm.training.callbacks.run_files",
    "diffgmm.callbacks.constants": "diffgmm.training.callbacks.averaging",
    "diffgmm.callbacks.diagnostics": "diffgmm.training.callbacks.diagnostics",
    "diffgmm.callbacks.effective_batch": "diffgmm.training.callbacks.effective_batch",
    "diffgmm.callbacks.examples": "diffgmm.training.callbacks.examples",
    "diffgmm.callbacks.gradients": "diffgmm.training.callbacks.gradients",
    "diffgmm.callbacks.loggers": "diffgmm.training.callbacks.loggers",
    "diffgmm.callbacks.metrics_file": "diffgmm.training.callbacks.run_files",
    "diffgmm.callbacks.nonfinite": "diffgmm.training.callbacks.nonfinite",
    "diffgmm.callbacks.preemption": "diffgmm.training.callbacks.preemption",
    "diffgmm.callbacks.quality": "diffgmm.training.callbacks.quality",
    "diffgmm.callbacks.random_state": "diffgmm.training.callbacks.checkpoints",
    "diffgmm.callbacks.record": "diffgmm.training.callbacks.record",
    "diffgmm.callbacks.running_means": "diffgmm.training.callbacks.averaging",
    "diffgmm.callbacks.sharding": "diffgmm.training.callbacks.sharding",
    "diffgmm.callbacks.tally": "diffgmm.training.callbacks.quality",
    "diffgmm.callbacks.throughput": "diffgmm.training.callbacks.throughput",
    "diffgmm.callbacks.trial": "diffgmm.workflows.sweep.outcome",
    "diffgmm.callbacks.wandb_run": "diffgmm.training.callbacks.wandb",
    "diffgmm.denoiser": "diffgmm.training.module",
    "diffgmm.metrics.modules": "diffgmm.metrics.torch_modules",
    "diffgmm.model": "diffgmm.diffusion.model",
    "diffgmm.networks.dual": "diffgmm.networks.dual_path",
    "diffgmm.networks.fine": "diffgmm.networks.fine_band",
    "diffgmm.networks.heads": "diffgmm.diffusion.head",
    "diffgmm.process": "diffgmm.diffusion.process",
    "diffgmm.representation": "diffgmm.diffusion.representation",
    "diffgmm.schedules": "diffgmm.training.schedules",
}
"""Module of an earlier version -> where its classes are now."""

_CLASSES = {"diffgmm.networks.MixtureHead": "diffgmm.diffusion.head.MixtureHead"}
_OLD = re.compile(
    r"(?<![\w./-])(?:"
    + "|".join(map(re.escape, [*_CLASSES, *(f"{module}." for module in MODULES)]))
    + r")(?![a-z_])"
)


def current(class_path: str) -> str:
    """The path by which a class is known now; other paths come back unchanged."""
    module, _, name = class_path.rpartition(".")
    return _CLASSES.get(class_path) or (f"{MODULES[module]}.{name}" if module in MODULES else class_path)


def in_text(text: str) -> str:
    """A configuration's text with every class path as it is now; warns of those that were renamed."""
    renamed: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        old = match[0]
        new = _CLASSES.get(old) or MODULES[old[:-1]] + "."
        renamed[old.rstrip(".")] = new.rstrip(".")
        return new

    text = _OLD.sub(replace, text)
    if renamed:
        moves = ", ".join(f"{old} is now {new}" for old, new in sorted(renamed.items()))
        warnings.warn(f"class paths of an earlier version: {moves}", FutureWarning, stacklevel=2)
    return text
