"""The ablation runner: what it plans, trains, skips, goes on with and refuses; its tables by known answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from data_modules.errors import DataError
from data_modules.offline.pair_folder import write_pairs
from diffgmm import audio
from diffgmm.cli.benchmark import open_pairs
from diffgmm.diffusion.head import MixtureHead
from diffgmm.diffusion.model import MixtureDenoiser
from diffgmm.diffusion.parts import class_path
from diffgmm.diffusion.pretrained import model_path
from diffgmm.diffusion.process import Bridge
from diffgmm.diffusion.representation import RULES, Complex
from diffgmm.diffusion.saving import describe_file, load_model, save_model
from diffgmm.metrics import score
from diffgmm.networks import UNet
from diffgmm.training.lightning_cli import _USUAL
from diffgmm.training.module import DiffGMM
from experiments.ablations import nfe, plan
from experiments.ablations.__main__ import _parser, main
from experiments.ablations.elsewhere import render as render_elsewhere
from experiments.ablations.plan import Variant
from experiments.ablations.running import state
from experiments.ablations.table import gather, render, verdict, write
from experiments.release import grow

ROOT = Path(__file__).parents[2]
ONE = Variant("k1", "components", "K = 1", (0, 1, 2), {"model.head.components": 1})
THREE = Variant("k3", "components", "K = 3", (0, 1, 2), {})
PREDICTIVE = Variant("predictive", "loss", "noise prediction", (0,), {"model.losses": {"noise_l1": 1.0}})


def test_changes_reach_their_place_and_leave_the_base_alone() -> None:
    base = {"model": {"head": {"components": 3, "means": "mask"}}}
    found = plan.changed(base, {"model.head.components": 1})
    assert found["model"]["head"] == {"components": 1, "means": "mask"}
    assert base["model"]["head"]["components"] == 3
    with pytest.raises(DataError, match="no such place"):
        plan.changed(base, {"model.head.components.more": 1})


def test_every_variant_differs_from_the_others_and_names_what_exists() -> None:
    base = yaml.safe_load((plan.HERE / plan.BASE).read_text(encoding="utf-8"))
    variants = plan.read_variants()
    prints = {run.fingerprint: run for run in plan.runs(variants, Path("home"), seeds=[0])}
    assert len(prints) == len(variants) and len({variant.says for variant in variants}) == len(variants)
    several = [variant.name for variant in variants if len(variant.seeds) >= 3]
    assert "k1" in several and len(several) >= 2
    for variant in variants:
        for path in variant.changes:
            place: Any = base
            for key in path.split(".")[:-1]:
                assert key in place, f"{variant.name}: {path}"
                place = place[key]
    with pytest.raises(DataError, match="no variant 'nope'; there are k1, k3"):
        plan.chosen(variants, ["nope"])


def test_a_run_is_known_by_what_its_result_depends_on() -> None:
    (here,), (there,) = (plan.runs([THREE], Path(home), seeds=[0]) for home in ("a", "b"))
    (far,) = plan.runs(
        [THREE], Path("a"), seeds=[0], common={"data.init_args.corpus": "x/debian-speech-noise"}
    )
    assert here.fingerprint == there.fingerprint == far.fingerprint and here.folder != there.folder
    (other,) = plan.runs([THREE], Path("a"), seeds=[0], common={"data.init_args.corpus": "mini"})
    (seed,) = plan.runs([THREE], Path("a"), seeds=[1])
    assert len({here.fingerprint, other.fingerprint, seed.fingerprint}) == 3
    assert here.config["data"]["init_args"]["seed"] == here.config["seed_everything"] == 0


def put(
    home: Path, variant: Variant, seed: int, nll: float, losses: tuple[str, ...] = ("nll",), steps: int = 10
) -> None:
    folder = home / variant.name / f"seed-{seed}"
    folder.mkdir(parents=True)
    quality = {"pesq_wb": 1.5 + seed, "estoi": 0.5, "si_sdr": -1.25, "lsd": 9.0}
    told = {
        "seed": seed, "steps": steps, "pairs": 4, "losses": dict.fromkeys(losses, 1.0), "parameters": 7,
        "mixture": {"nll": nll, "crps": 0.1, "coverage_90": 0.9, "components": 1.5},
        "quality": dict.fromkeys(("noisy", *plan.settings_of()["calls"]), quality),
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(told))


def test_the_table_says_what_was_measured(tmp_path: Path) -> None:
    for seed, (one, three) in enumerate(((-1.0, -1.2), (-1.1, -1.3), (-0.9, -1.4))):
        put(tmp_path, ONE, seed, one)
        put(tmp_path, THREE, seed, three)
    put(tmp_path, PREDICTIVE, 0, 9.9, ("noise_l1",))
    rows = gather([ONE, THREE, PREDICTIVE], tmp_path)
    text = render(rows)
    assert "| K = 1 | 3 | −1.000 ± 0.100 | 0.1000 ± 0.0000 | 0.900 ± 0.000 | 1.50 ± 0.00 |" in text
    assert "| K = 1 | 3 | 2.50 ± 1.00 | 0.500 ± 0.000 | −1.2 ± 0.0 |" in text
    assert "| noise prediction | 1 | – | – | – | – |" in text  # no likelihood was trained
    assert "Lower by 0.3000 with the mixture, 3.0 times the pooled standard deviation" in verdict(rows)
    assert "every seed of the mixture is below every seed of K = 1" in verdict(rows)
    page, picture = write(tmp_path / "ABLATIONS.md", rows)
    assert "](ABLATIONS.svg)" in page.read_text(encoding="utf-8") and picture.stat().st_size < 100_000
    first = picture.read_bytes()
    write(tmp_path / "ABLATIONS.md", rows)
    assert picture.read_bytes() == first  # made anew without a difference


def test_the_verdict_is_honest(tmp_path: Path) -> None:
    for seed, (one, three) in enumerate(((-1.0, -0.9), (-1.1, -1.05))):
        put(tmp_path, ONE, seed, one)
        put(tmp_path, THREE, seed, three)
    text = verdict(gather([ONE, THREE], tmp_path))
    assert "Higher by 0.0750 with the mixture" in text and text.endswith("the seeds overlap.")
    assert "not both trained" in verdict(gather([ONE], tmp_path))


def test_runs_of_different_budgets_share_no_table(tmp_path: Path) -> None:
    put(tmp_path, ONE, 0, -1.0)
    put(tmp_path, THREE, 0, -1.0, steps=20)
    with pytest.raises(DataError, match="can't share a table"):
        gather([ONE, THREE], tmp_path)


def test_a_variant_is_tested_against_the_control_pair_by_pair(tmp_path: Path) -> None:
    for seed in range(2):
        for variant, gain in ((THREE, 0.0), (ONE, 0.3), (PREDICTIVE, 0.0)):
            put(tmp_path, variant, seed, -1.0)
            file = tmp_path / variant.name / f"seed-{seed}" / "result.json"
            pairs = [1.5 + 0.1 * pair + gain * (1 + pair % 3) / 2 + seed for pair in range(8)]
            result = json.loads(file.read_text()) | {"by_pair": {"nfe1": {"pesq_wb": pairs}}}
            file.write_text(json.dumps(result))
    text = render(gather([THREE, ONE, PREDICTIVE], tmp_path), ROOT / "experiments" / "ablations" / "tuned")
    assert "[base.yaml](ablations/tuned/base.yaml)" in text and "--plan experiments/ablations/tuned" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| K = 1") and "…" in line]
    # The gains are .15, .3 and .45 in turn: all eight of one sign, p = 2 / 2^8, doubled for the second row.
    assert "0.281 (" in line and line.endswith("| 0.016 |")
    (line,) = [line for line in text.splitlines() if line.startswith("| noise prediction") and "…" in line]
    assert line.endswith("| 0.000 (0.000 … 0.000) | 1.000 |")


@pytest.mark.parametrize("folder", [plan.HERE, plan.HERE / "tuned", plan.HERE / "paper"])
def test_every_plan_describes_models_that_can_be_made(folder: Path) -> None:
    runs = plan.runs(plan.read_variants(folder), Path("home"), seeds=[0], folder=folder)
    assert len({run.fingerprint for run in runs}) == len(runs)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DiffGMM, "model")
    parser.set_defaults({slot: {"class_path": class_path(cls)} for slot, cls in _USUAL.items()})
    for run in runs:
        told = run.config["model"]
        module = parser.instantiate(parser.parse_object({"model": told})).model
        assert module.model.head.components == told["head"]["components"]
    with pytest.raises(DataError, match="no plan there"):
        plan.read_variants(folder / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["table"], "no finished run there"),
        (["run", "--only", "nope"], "no variant 'nope'"),
        (["run", "--jobs", "0"], "must be a whole number from 1"),
        (["run", "--set", "trainer"], "must look like KEY=VALUE"),
        (["nfe", "--metrics", "nope"], "unknown metric 'nope'"),
        (["nfe", "--set", "nowhere"], "nowhere"),
        (["elsewhere", "--metrics", "nope"], "unknown metric 'nope'"),
        (["elsewhere", "--calls", "nope"], "no call 'nope'; the plan has nfe1"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["ablations", *arguments, "--home", str(tmp_path)])
    assert main() == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_the_tuned_plan_has_the_network_of_the_weights_that_it_begins_with() -> None:
    configured = yaml.safe_load((plan.HERE / "tuned" / plan.BASE).read_text(encoding="utf-8"))["model"]
    weights = load_model(model_path(Path(configured["weights"]).name))[1]["model"]["init_args"]["network"][
        "init_args"
    ]
    assert configured["network"] == {name: weights[name] for name in configured["network"]}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = UNet([4, 6], [[4, 1], [4, 1]], 4)
    model = MixtureDenoiser(Complex(hop=255, window="sqrt_hann"), network, MixtureHead(2), Bridge(0.5)).eval()
    save_model(tmp_path / "tiny", model, {}, {"nfe": 1, "estimate": "mean"})
    return tmp_path / "tiny.safetensors"


def test_the_table_of_network_calls_goes_on_and_agrees_with_itself(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfe, "CALLS", (1, 2))
    write_pairs(tmp_path / "set", "test", 2, seconds=0.5, snrs=(5.0,))
    ask = {"names": ["si_sdr"], "home": tmp_path / "home", "set_name": str(tmp_path / "set")}
    facts, scores = nfe.measure(str(tiny), **ask, seconds=-1.0)  # type: ignore[arg-type]
    assert not scores and facts["wanted"] == 2
    facts, scores = nfe.measure(str(tiny), **ask)  # type: ignore[arg-type]
    assert facts["pairs"] == 2
    for (
        pair
    ) in scores:  # one call from the noisy end leaves nothing to choose but what is taken from the mixture
        assert pair["mean"]["1"] == pair["mean_noise"]["1"] == pair["flow"]["1"] == pair["heun"]["1"]
        assert pair["mean"]["1"] == pair["second_order"]["1"]
        assert pair["independent_draw"]["1"] != pair["white_sound_draw"]["1"]
        assert pair["mean"]["1"] != pair["mode"]["1"] and pair["mean"]["2"] != pair["mean_noise"]["2"]
    again = nfe.measure(str(tiny), **ask, seconds=-1.0)[1]  # type: ignore[arg-type]
    assert again == scores  # from the folder
    text = nfe.render(facts, scores, ["si_sdr"])
    assert f"--model {facts['model']} --set {facts['set']} --pairs 2 --markdown" in text
    value = sum(pair["mean"]["1"]["si_sdr"] for pair in scores) / 2
    assert f"| mean, no noise between steps | {value:.1f} |".replace("-", "−") in text.replace("**", "")


def test_scores_elsewhere_are_made_once_and_kept_beside_the_weights(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "set", "test", 3, seconds=0.5, snrs=(5.0,))
    model, home = load_model(tiny)[0], tmp_path / "home"
    for variant, gain in ((THREE, 0.0), (ONE, 0.4)):
        put(home / "tuned", variant, 0, -1.0)
        with torch.no_grad():
            model.head.linear.bias += gain  # another mask, so other scores
        state = {f"model.{name}": value for name, value in model.state_dict().items()}
        file = home / "tuned" / variant.name / "seed-0" / plan.CHECKPOINT
        file.parent.mkdir()
        torch.save({"diffgmm": describe_file(model, {}), "state_dict": state, "global_step": 3}, file)
    line = ["ablations", "elsewhere", "--plan", str(plan.HERE / "tuned"), "--home", str(home)]
    line += ["--set", str(tmp_path / "set"), "--metrics", "si_sdr", "--markdown", str(tmp_path / "PAGE.md")]
    monkeypatch.setattr(sys, "argv", line)
    assert main() == 0 and capsys.readouterr().out.count("judged") == 3  # two models and the noisy pairs
    page = (tmp_path / "PAGE.md").read_text(encoding="utf-8")
    assert main() == 0 and "judged" not in capsys.readouterr().out
    assert (tmp_path / "PAGE.md").read_text(encoding="utf-8") == page
    info = open_pairs(str(tmp_path / "set")).info
    by_hand = []
    for pair in info.pairs:
        noisy, clean = (audio.read(str(path), 16000, mono=True)[0] for path in (pair.noisy, pair.clean))
        wave = model.enhance(torch.from_numpy(noisy)[None]).waveform[0, 0].numpy()
        by_hand.append(score(wave, clean[0], 16000, ["si_sdr"])["si_sdr"])
    (row,) = [line for line in page.splitlines() if line.startswith("| K = 1")]
    assert row.split(" | ")[2] == f"{sum(by_hand) / 3:.1f}".replace("-", "−")


def test_the_table_elsewhere_says_by_how_much_and_at_which_snr() -> None:
    """Two seeds, six pairs; a metric of which less is better turns its sign."""
    control = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]]
    gains = [0.5, 0.3, 0.1, 0.1, -0.2, -0.4]
    better = [[value + gain for value, gain in zip(seed, gains, strict=True)] for seed in control]
    found = {
        "k3": [{"nfe1": {"pesq_wb": seed, "lsd": seed}} for seed in control],
        "k1": [{"nfe1": {"pesq_wb": seed, "lsd": seed}} for seed in better],
        "noisy": [{"noisy": {"pesq_wb": [1.0] * 6, "lsd": [2.0] * 6}}],
    }
    calls = {"nfe1": {"heading": "NFE 1, mean"}}
    snrs = [-5.0, 0.0, 5.0, 10.0, 15.0, 20.0]
    text = render_elsewhere(snrs, found, [THREE, ONE], ["pesq_wb", "lsd"], calls, "cross-test")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| K = 1")]
    for sign, row in zip((1.0, -1.0), rows, strict=True):
        cells = [float(cell.split(" (")[0].strip(" |").replace("−", "-")) for cell in row[3:]]
        assert cells.pop(1) > 0.5  # p
        assert cells == pytest.approx([sign * 0.067, sign * 0.4, sign * 0.1, sign * -0.3], abs=1e-3)
    assert rows[0][2] == "4.07 ± 0.71"


def call(home: Path, *more: str) -> subprocess.Popen[str]:
    small = [
        "--set", "data.init_args.epoch_size=8", "--set", "trainer.max_epochs=2",
        "--set", "data.init_args.valid_pairs=2", "--set", "model.network.hidden=8",
        "--set", "model.network.channels=[4, 6, 6, 6]",
    ]  # fmt: skip
    verb = ["run", "--home", str(home), "--only", "k1", "--seeds", "0", "--corpus", "mini", *small, *more]
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.ablations", *verb], cwd=ROOT, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_is_stopped_goes_on_and_is_not_done_twice(tmp_path: Path) -> None:
    def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
        try:
            out, err = process.communicate(timeout=300)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, out, err

    first = call(tmp_path)
    last = tmp_path / "k1" / "seed-0" / "checkpoints" / "last.ckpt"
    ends = time.monotonic() + 200
    while not last.is_file() and first.poll() is None and time.monotonic() < ends:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGTERM)
    code, out, err = finish(first)
    if code != 0:  # else it was faster than this test
        assert code == 130 and "goes on from here" in err
        assert not (tmp_path / "k1" / "seed-0" / "result.json").exists()
    code, out, err = finish(call(tmp_path))
    assert code == 0, err
    result = json.loads((tmp_path / "k1" / "seed-0" / "result.json").read_text())
    assert (
        result["steps"] == 4
        and result["pairs"] == 2
        and result["quality"]["nfe4_sample"]["si_sdr"] is not None
    )
    code, out, err = finish(call(tmp_path))
    assert code == 0 and out == "k1, seed 0: finished already\n"
    code, out, err = finish(call(tmp_path, "--set", "model.p_t1=0.3"))
    assert code == 2 and "holds a run of another configuration" in err
    variants = plan.chosen(plan.read_variants(), ["k1"])
    assert state(plan.runs(variants, tmp_path, seeds=[0])[0]) == "other"


def test_the_page_shows_what_exists() -> None:
    page = (ROOT / "docs" / "ablations.md").read_text(encoding="utf-8")
    commands = [
        line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()
    ]
    assert len(commands) == 12
    parsers = {"experiments.ablations": _parser, "experiments.release.grow": grow._parser}
    for command in commands:
        program, *words = shlex.split(command)
        if program == "python":
            parsers[words[1]]().parse_args(words[2:])
        else:  # tests/training/test_train.py runs every experiment on the mini corpus
            assert words[:2] == ["fit", "--config"] and (ROOT / words[2]).is_file()
    options = "run --only k1 k3 --seeds 0 1 2 --jobs 4 --corpus NAME --set PATH=VALUE"
    _parser().parse_args(options.split())
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links and not [link for link in links if not (ROOT / "docs" / link).exists()]
    assert [name for name in RULES if f"| `{name}` |" not in page] == []
