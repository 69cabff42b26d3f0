"""The results file: what is written comes back, and what is no results file is refused in one line."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from diffgmm.evaluation import results
from diffgmm.evaluation.results import Cost, FileScores, PairInfo, Results, ResultsError, SetInfo, System
from diffgmm.metrics import Score


@pytest.fixture
def example() -> Results:
    pairs = tuple(PairInfo(f"p{i}", 16000, 4.0, 5.0 * i, "june", ("rail", "wind")) for i in range(3))
    files = (
        FileScores("p0", {"stoi": 0.9, "si_sdr": None}, {"si_sdr": "estimate is silent"}, "audio/p0.wav"),
        FileScores("p1", {"stoi": 0.8, "si_sdr": 3.0}),
        FileScores("p2", {"stoi": 0.7, "si_sdr": 4.0}),
    )
    subsets = {"main": ("p0", "p1"), "clean": ("p2",)}
    return Results(
        kind="benchmark",
        created="2026-01-01T00:00:00+0000",
        command=("diffgmm", "benchmark"),
        set=SetInfo("tiny", "three pairs", "ab12", pairs, subsets),
        systems=(System("base", "model", {"nfe": 1}, Cost(rtf_1=0.1, parameters=5), files, "audio"),),
        metrics=results.metric_infos(("stoi", "si_sdr")),
        config={"set": "tiny"},
        record={"python": "3"},
    )


def test_written_results_come_back(example: Results, tmp_path: Path) -> None:
    results.write_results(tmp_path / "results.json", example)
    assert results.read_results(tmp_path) == example
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["version"] == results.VERSION and data["set"]["n"] == 3


def test_other_denoisers_of_an_earlier_version_are_baselines(example: Results, tmp_path: Path) -> None:
    systems = tuple(replace(system, kind="baseline") for system in example.systems)
    results.write_results(tmp_path / "results.json", replace(example, systems=systems))
    former = (tmp_path / "results.json").read_text().replace('"baseline"', '"peer"')
    assert '"peer"' in former
    (tmp_path / "results.json").write_text(former)
    read = results.read_results(tmp_path / "results.json")
    assert {system.kind for system in read.systems} == {"baseline"}


def test_values_are_nan_where_there_is_none(example: Results) -> None:
    system = example.system("base")
    assert system.values("stoi") == [0.9, 0.8, 0.7]
    assert system.values("stoi", example.set.ids("clean")) == [0.7]
    assert math.isnan(system.values("si_sdr")[0]) and math.isnan(system.values("lsd")[0])


def test_subsets_are_asked_for_by_name(example: Results) -> None:
    assert example.set.ids() == ("p0", "p1") and example.set.ids("all") == ("p0", "p1", "p2")
    with pytest.raises(ResultsError, match=r"no subset 'x'.*main clean all"):
        example.set.ids("x")
    with pytest.raises(ResultsError, match="there are base"):
        example.system("other")


def test_not_a_number_is_never_written(example: Results, tmp_path: Path) -> None:
    bad = replace(example.systems[0], files=(FileScores("p0", {"stoi": math.nan}),))
    with pytest.raises(ValueError, match="JSON"):
        results.write_results(tmp_path / "results.json", replace(example, systems=(bad,)))
    assert list(tmp_path.iterdir()) == []
    kept = FileScores.of("p0", {"sdr": Score(math.inf, "no error left"), "stoi": Score(0.5)})
    assert kept.scores == {"sdr": None, "stoi": 0.5} and kept.reasons == {"sdr": "no error left"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not a results file"),
        ("[]", "not a results file"),
        ('{"kind": "other"}', "not a results file"),
        ('{"kind": "evaluate", "version": 99}', "another version"),
        ('{"kind": "evaluate", "version": 1}', "damaged"),
    ],
)
def test_other_files_are_refused_in_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=complaint) as caught:
        results.read_results(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_keys_are_refused(example: Results, tmp_path: Path) -> None:
    results.write_results(tmp_path / "results.json", example)
    data = json.loads((tmp_path / "results.json").read_text())
    data["systems"][0]["cost"]["watts"] = 3
    (tmp_path / "results.json").write_text(json.dumps(data))
    with pytest.raises(ResultsError, match="unknown watts in Cost"):
        results.read_results(tmp_path)
    with pytest.raises(ResultsError, match="No such file"):
        results.read_results(tmp_path / "nowhere.json")
