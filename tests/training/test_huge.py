"""Configurations of absurd sizes: one line each, before memory, processes or files are made for them."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from short_runs import configuration

from diffgmm.cli.main import main

BILLION, TRILLION = 10**9, 10**12


def reverb(**arguments: object) -> str:
    return json.dumps([{"class_path": "data_modules.augment.reverb.Reverb", "init_args": arguments}])


def loss(name: str, **arguments: object) -> str:
    return json.dumps(
        {"nll": 1.0, "x": {"class_path": f"diffgmm.training.losses.{name}", "init_args": arguments}}
    )


HUGE: dict[str, tuple[str, str]] = {
    "model.head.components": ("100000000", "MixtureHead: components must be 1 to 1024, got 100000000"),
    "model.network.channels": ("[16,10000000]", "UNet: channels must be 1 to 8193"),
    "model.network.features": ("10000000", "UNet: features must be 1 to 8193"),
    "model.network.hidden": ("10000000", "UNet: hidden must be 1 to 16384"),
    "model.network.blocks": (f"{BILLION}", "UNet: blocks must be 0 to 64"),
    "model.network.dilations": (f"[{BILLION}]", "UNet: dilations must be 1 to 4096"),
    "model.network.kernel": ("[1000001,3]", "UNet: kernel must be 1 to 1024"),
    "model.network.bins": (f"{BILLION}", "UNet: bins must be 1 to 8193"),
    "model.network.embedding": (f"{BILLION}", "UNet: embedding must be 0 to 8193"),
    "model.network.strides": (f"[[4,1],[4,{TRILLION}]]", "UNet: strides must be 1 to 1024"),
    "model.representation.n_fft": (f"{2**40}", f"Complex: n_fft must be 2 to 16384, got {2**40}"),
    "model.representation.sample_rate": (f"{TRILLION}", "Complex: sample_rate must be 1000 to 768000"),
    "model.process.c": ("1e300", "Bridge: c must be 1e-09 to 1e+06"),
    "model.losses": (loss("Spectrum", n_fft=2**40), "n_fft must be at most 16384"),
    "model.sampler.nfe": (f"{BILLION}", "nfe must be at most 1000"),
    "model.sampler.samples": (f"{BILLION}", "samples must be at most 1000"),
    "model.sampler.substeps": (f"{BILLION}", "substeps must be at most 1000"),
    "model.grid_steps": (f"{TRILLION}", "grid_steps must be at most 1000"),
    "data.window": (f"{TRILLION}", f"data.window is {TRILLION}, must be at most {2**24}"),
    "data.batch_size": (f"{TRILLION}", "data.batch_size is 1000000000000, must be at most 65536"),
    "data.num_workers": ("1000000", "data.num_workers is 1000000, must be at most 1024"),
    "data.epoch_size": (f"{TRILLION}", "data.epoch_size is 1000000000000, must be at most 1000000000"),
    "data.valid_pairs": (f"{BILLION}", "data.valid_pairs is 1000000000, must be at most 100000"),
    "data.valid_seconds": (".inf", "data.valid_seconds is inf, must be at most 3600"),
    "data.valid_batch_size": (f"{TRILLION}", "data.valid_batch_size is 1000000000000, must be at most 33554"),
    "data.sample_rate": (f"{TRILLION}", "data.sample_rate is 1000000000000, must be at most 768000"),
    "data.seed": ("1" + 30 * "0", "data.init_args.seed is too large a number"),
    "data.mixing.voices": (f"[{BILLION},{BILLION}]", "mixing.voices is 1000000000, must be at most 100"),
    "data.mixing.pause": (f"[1,{BILLION}]", "mixing.pause is 1000000000.0, must be at most 60"),
    "data.mixing.snr": ("[0,1e308]", "mixing.snr is 1e+308, must be at most 200"),
    "data.augmentations": (reverb(rt60=[1, 1e6]), "Reverb: rt60 is (1.0, 1000000.0), must lie between 0 and 60"),
    "trainer.devices": ("1000000", "trainer.devices is 1000000, must be at most 1024"),
    "trainer.num_nodes": ("1000000", "trainer.num_nodes is 1000000, must be at most 1024"),
    "trainer.max_epochs": ("1" + 30 * "0", "trainer.max_epochs is too large a number"),
}  # fmt: skip
#: Each number within its bounds, all together not.
TOGETHER = [
    (["--model.network.channels=[8193,8192]", "--model.network.hidden=16384"], "parameters; at most 268,435,456"),
    (["--model.head.components=1024", "--model.network.features=8193"], "a window of 4 s would take tensors of"),
    (["--data.window=10000000", "--data.batch_size=1000"], "data.batch_size is 1000, must be at most 26"),
    ([f"--data.augmentations={reverb(rooms=BILLION)}"], "Reverb: 1000000000 rooms of up to 0.8 s"),
    ([f"--model.losses={loss('MultiResolutionSTFT', sizes=[512, 2**40])}"], "sizes must be at most 16384"),
]  # fmt: skip
CASES = [([f"--{name}={value}"], says) for name, (value, says) in HUGE.items()] + TOGETHER


@pytest.mark.parametrize(("options", "says"), CASES, ids=[" ".join(options)[:60] for options, _ in CASES])
def test_sizes_beyond_any_use_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    config = configuration(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert main(["fit", "--config", str(config), *options]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("diffgmm: error:")]
    assert says in line and len(line) <= 340
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # KiB
    assert [path.name for path in tmp_path.iterdir()] == ["short.yaml"]


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_files_are_no_other_way_in(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    more = tmp_path / f"more.{suffix}"
    more.write_text('{"model": {"head": {"components": 100000000}}}')
    for verb in ("fit", "test"):
        assert main([verb, "--config", str(configuration(tmp_path)), "--config", str(more)]) == 2
        assert "MixtureHead: components must be 1 to 1024" in capsys.readouterr().err
