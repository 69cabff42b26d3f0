"""Damaged and hostile inputs: a few hundred here, over ten thousand in the slow tests, and the worst of them kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import fuzz
import pytest

from experiments.bench.mutation.__main__ import problems
from experiments.bench.mutation.mutants import MUTANTS

ROOT = Path(__file__).parents[1]
NASTY = ROOT / "tests" / "nasty"
#: Cases of each kind that take seconds together.
FEW = {"reader": 150, "manifest": 80, "space": 60, "model": 30, "api": 12, "command": 8}


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> fuzz.Tries:
    return fuzz.Tries(tmp_path_factory.mktemp("fuzz"))


def files(kind: str) -> list[Path]:
    return sorted((NASTY / kind).iterdir())


@pytest.mark.parametrize("kind", FEW)
def test_a_few_damaged_inputs(tries: fuzz.Tries, kind: str) -> None:
    taken = Counter(tries.run(kind, 1, number) for number in range(FEW[kind]))
    assert taken[False] > 0  # the damage is seen


def test_the_same_case_is_the_same_input(tries: fuzz.Tries) -> None:
    contents = []
    for _ in range(2):
        tries.run("reader", 1, 3)
        (path,) = (tries.folder / "case").iterdir()
        contents.append((path.name, path.read_bytes()))
    assert contents[0] == contents[1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", fuzz.NUMBERS)
def test_damaged_inputs_by_the_thousand(kind: str) -> None:
    """In processes of their own, which may not die; with another seed than that of the page."""
    outcome = fuzz.campaign(kind, fuzz.NUMBERS[kind], seed=1)
    print(outcome)
    assert outcome.faults == [] and outcome.lost == 0
    assert outcome.tried == outcome.taken + outcome.refused == fuzz.NUMBERS[kind]
    assert outcome.taken > 0 and outcome.refused > 0
    assert outcome.memory_mib < 1024 and outcome.slowest_seconds < fuzz.SECONDS


def test_there_are_ten_thousand_cases() -> None:
    assert sum(fuzz.NUMBERS.values()) >= 10_000


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.parametrize("path", files("sound"), ids=lambda path: path.name)
def test_nasty_sounds(tries: fuzz.Tries, tmp_path: Path, path: Path) -> None:
    """Read to the last sample or refused, in Python and by the command."""
    from diffgmm import audio

    out = tmp_path / f"out{path.suffix}"
    code, said = fuzz.in_process(
        ["denoise", str(path), "-o", str(out), "--model", str(tries.model)], tmp_path
    )
    try:
        samples = sum(block.shape[1] for block in audio.read_blocks(path))
    except audio.AudioError as error:
        fuzz.check_line(str(error))
        assert code == 1 and not list(tmp_path.iterdir())
        fuzz.check_errors(said)
        return
    assert samples > 0 and samples >= fuzz.by_libsndfile(path)
    if path.name == "enormous.wav":  # 3e38: its spectrum is beyond float32
        assert code == 1 and said.endswith("refusing to write NaN or Inf\n") and not list(tmp_path.iterdir())
        return
    assert code == 0, said
    fuzz.same_length(path, out)


@pytest.mark.parametrize("path", files("model"), ids=lambda path: path.name)
def test_nasty_models(tmp_path: Path, path: Path) -> None:
    out = tmp_path / "out.wav"
    sound = NASTY / "sound" / "size-zero.wav"
    code, said = fuzz.in_process(["denoise", str(sound), "-o", str(out), "--model", str(path)], tmp_path)
    assert code in (1, 2) and not list(tmp_path.iterdir())
    fuzz.check_errors(said)
    assert not Path("/tmp/never").exists()  # what command.ckpt would do


@pytest.mark.parametrize("path", files("manifest"), ids=lambda path: path.name)
def test_nasty_manifests(path: Path) -> None:
    from data_modules.errors import DataError
    from data_modules.pools.sources import read_manifest

    try:
        assert read_manifest(path)
    except DataError as error:
        fuzz.check_line(str(error))


@pytest.mark.parametrize("path", files("space"), ids=lambda path: path.name)
def test_nasty_spaces(path: Path) -> None:
    from diffgmm.workflows.sweep.space import SweepError, read_space

    with pytest.raises(SweepError) as refused:
        read_space(path)
    fuzz.check_line(fuzz.one_line(refused.value))


@pytest.mark.slow
@pytest.mark.parametrize("path", files("experiment"), ids=lambda path: path.name)
def test_nasty_experiments(tmp_path: Path, path: Path) -> None:
    code, said = fuzz.in_process(["fit", "--config", str(path), "--trainer.max_steps=0"], tmp_path)
    assert code in (1, 2) and not list(tmp_path.rglob("*.ckpt"))
    fuzz.check_errors(said)


def test_mutants_are_changes_of_the_code_as_it_is() -> None:
    assert problems() == [] and len(MUTANTS) >= 100
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
