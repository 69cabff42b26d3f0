"""The benchmark: figures from start to end on real sound, nothing done twice, failures named, outputs aligned."""

from __future__ import annotations

import ast
import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_modules.offline.pair_folder import write_pairs
from diffgmm import audio, metrics
from diffgmm.cli import benchmark as benchmark_verb
from diffgmm.cli.main import main
from diffgmm.evaluation import baselines, results
from diffgmm.evaluation.benchmark import BenchmarkError, running, stages, systems
from diffgmm.evaluation.benchmark.cache import Lines, SystemCache, metric_version, slug
from diffgmm.evaluation.benchmark.model import macs
from diffgmm.evaluation.benchmark.pairset import load_set
from diffgmm.evaluation.benchmark.running import Runner, SystemFailed
from diffgmm.evaluation.benchmark.stages import enhance_set, score_file
from diffgmm.evaluation.benchmark.systems import Candidate, command_system
from diffgmm.evaluation.results import FileScores, MetricInfo, PairInfo, Results, SetInfo, System
from diffgmm.metrics import Score
from diffgmm.report.tables import as_text

COPY = "import shutil, sys; shutil.copy(*sys.argv[1:3])"
# Writes down every call; fails where a file named STOP says so.
COUNTING = """
import pathlib, shutil, sys
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as log:
    log.write("x")
calls = len((here / "calls").read_text())
if (here / "STOP").exists() and calls == 2:
    sys.exit("no more of this")
shutil.copy(*sys.argv[1:3])
"""
DELAY = """
import sys
import numpy as np, soundfile as sf
x, rate = sf.read(sys.argv[1], dtype="int16")
assert rate == 48000, rate
sf.write(sys.argv[2], np.concatenate([np.zeros(240, "int16"), x])[: len(x)], rate)
"""


@pytest.fixture(scope="module")
def pair_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "tiny"
    write_pairs(folder, n=5, seconds=2.0, cache=tmp_path_factory.mktemp("pools"))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def script(folder: Path, text: str, name: str = "program.py") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return f"{sys.executable} {folder / name} {{in}} {{out}}"


def benchmark(pair_folder: Path, out: Path, *more: str) -> int:
    return main(
        [
            "benchmark",
            "--set",
            str(pair_folder),
            "--out",
            str(out),
            "--jobs",
            "1",
            "--baselines",
            "none",
            *more,
        ]
    )


@pytest.mark.slow  # starts a model three times
def test_a_benchmark_from_start_to_end(
    pair_folder: Path,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stages, "SECONDS", 2)
    monkeypatch.setattr(stages, "REPEATS", 1)
    arguments = ("--command", f"copy={script(tmp_path, COPY)}", "--metrics", "stoi,si_sdr,lsd")
    assert benchmark(pair_folder, tmp_path / "out", *arguments) == 0
    printed = capsys.readouterr().out
    found = results.read_results(tmp_path / "out")
    assert [(one.name, one.kind) for one in found.systems] == [
        ("noisy", "noisy"),
        ("copy", "command"),
        ("base-nfe1-mean", "model"),
    ]
    assert [metric.name for metric in found.metrics] == ["stoi", "si_sdr", "lsd"]
    noisy, copied, base = found.systems
    assert len(found.set.pairs) == 5 and all(pair.sample_rate == 16000 for pair in found.set.pairs)
    assert [file.scores for file in noisy.files] == [file.scores for file in copied.files]
    assert np.mean(base.values("si_sdr")) > np.mean(noisy.values("si_sdr")) + 1.0
    assert base.cost.parameters and base.cost.parameters > 1e5 and base.cost.macs_per_s > 1e7  # type: ignore[operator]
    for system in (copied, base):
        assert system.cost.rtf_1 > 0 and system.cost.rtf_all > 0  # type: ignore[operator]
        assert 0 < system.cost.peak_memory_mb <= system.cost.resident_mb  # type: ignore[operator]
    for system in found.systems:
        for pair, file in zip(found.set.pairs, system.files, strict=True):
            # Anybody can score the files again and gets the same.
            scores = score_file(
                str(tmp_path / "out" / str(file.audio)), str(tmp_path / "out" / str(pair.clean)), ["lsd"]
            )
            assert scores["lsd"].value == file.scores["lsd"]
    with (tmp_path / "out" / "scores.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 15 and float(rows[-1]["stoi"]) == base.files[-1].scores["stoi"]
    assert "base-nfe1-mean" in printed and "*" in printed

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the second run started something")

    monkeypatch.setattr(Runner, "__enter__", never)
    monkeypatch.setattr(metrics.base.Measure, "explain", never)
    assert benchmark(pair_folder, tmp_path / "out", *arguments) == 0
    again = results.read_results(tmp_path / "out")
    assert again.systems == found.systems
    assert capsys.readouterr().out == printed


def test_only_what_failed_is_done_again(
    pair_folder: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = script(tmp_path / "tool", COUNTING)
    (tmp_path / "tool" / "STOP").touch()
    arguments = ("--command", f"tool={program}", "--models", "none", "--timing", "skip", "--metrics", "stoi")
    assert benchmark(pair_folder, tmp_path / "out", *arguments) == 1
    told = capsys.readouterr()
    assert "tool: 1 files failed" in told.err and "exit code 1: no more of this" in told.err
    assert "1 failed" in told.out and "(4/5)" in told.out
    system = results.read_results(tmp_path / "out").system("tool")
    missing = [file for file in system.files if file.scores["stoi"] is None]
    assert [file.reasons["stoi"] for file in missing] == ["exit code 1: no more of this"] and missing[
        0
    ].audio is None
    assert system.cost.rtf_1 is None
    (tmp_path / "tool" / "STOP").unlink()
    assert benchmark(pair_folder, tmp_path / "out", *arguments) == 0
    assert (tmp_path / "tool" / "calls").read_text() == "x" * 6
    (tmp_path / "tool" / "program.py").write_text(COUNTING + "# another version\n")
    assert benchmark(pair_folder, tmp_path / "out", *arguments) == 0
    assert (tmp_path / "tool" / "calls").read_text() == "x" * 11


SLOW = """
import pathlib, shutil, sys, time
(pathlib.Path(__file__).parent / "started").touch()
time.sleep(600)
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_benchmark_that_is_stopped_leaves_nothing_running(
    sent: int, code: int, pair_folder: Path, home: Path, tmp_path: Path
) -> None:
    program = script(tmp_path / "tool", SLOW)
    arguments = [
        "--set",
        str(pair_folder),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "--baselines",
        "none",
    ]
    arguments += ["--models", "none", "--command", f"tool={program}", "--timing", "skip"]
    process = subprocess.Popen(
        [sys.executable, "-m", "diffgmm.cli.main", "benchmark", *arguments], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "tool" / "started").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(sent)
    assert process.wait(60) == code
    time.sleep(0.5)
    left = subprocess.run(
        ["pgrep", "-f", str(tmp_path / "tool")], capture_output=True, text=True, check=False
    )
    assert left.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_set_that_grows_keeps_what_is_known(pair_folder: Path, home: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    names = sorted(path.name for path in (pair_folder / "clean").iterdir())
    for kind in ("clean", "noisy"):
        (part / kind).mkdir(parents=True)
        for name in names[:3]:
            (part / kind / name).symlink_to(pair_folder / kind / name)
    program = script(tmp_path / "tool", COUNTING)
    arguments = ("--command", f"tool={program}", "--models", "none", "--timing", "skip", "--metrics", "lsd")
    assert benchmark(part, tmp_path / "a", *arguments) == 0
    assert benchmark(pair_folder, tmp_path / "b", *arguments) == 0
    assert (tmp_path / "tool" / "calls").read_text() == "x" * 5


def test_a_late_command_is_aligned(pair: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x = pair[1]
    candidate = command_system(f"late@48000+240={script(tmp_path, DELAY)}")
    with Runner(candidate) as runner:
        y = runner.enhance(x, 16000)
    assert y.shape == x.shape
    error = np.square(y - x)[500:-500].mean() / np.square(x).mean()
    assert error < 1e-4  # resampled twice, but not moved: a single sample costs a hundred times more


FAKE = """
import json, os, sys
sys.stdout.write(json.dumps({"ready": True}) + "\\n"); sys.stdout.flush()
for line in sys.stdin:
    MORE
"""


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('print("out of luck", file=sys.stderr); os._exit(7)', "its process ended with code 7: out of luck"),
        ('print(json.dumps({"error": "ValueError: bad\\nfile"}), flush=True)', "ValueError: bad file"),
        (
            'import numpy; numpy.save(json.loads(line)["out"], numpy.full(9, 2.0)); print("{}", flush=True)',
            r"returned an array \[9\] for \[100\]",
        ),
        (
            'import numpy; numpy.save(json.loads(line)["out"], numpy.full(100, numpy.nan)); print("{}", flush=True)',
            "returned NaN or Inf",
        ),
    ],
)
def test_workers_that_misbehave_are_named(more: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "fake.py").write_text(FAKE.replace("MORE", more))
    candidate = Candidate("fake", "baseline", {}, {}, (sys.executable, str(tmp_path / "fake.py")))
    with Runner(candidate) as runner, pytest.raises(SystemFailed, match=complaint):
        runner.enhance(np.ones(100, np.float32), 16000)


def test_a_file_that_kills_the_process_costs_only_itself(pair_folder: Path, tmp_path: Path) -> None:
    pairs = load_set(pair_folder)
    deadly = audio.read(str(pairs.info.pairs[1].noisy))[0][0, :8]
    code = """
    import numpy
    request = json.loads(line)
    x = numpy.load(request["in"])
    if numpy.array_equal(x[:8], numpy.array(DEADLY, "float32")):
        os._exit(9)
    numpy.save(request["out"], x); print("{}", flush=True)
""".replace("DEADLY", str([float(value) for value in deadly]))
    (tmp_path / "fake.py").write_text(FAKE.replace("    MORE\n", code))
    candidate = Candidate("fake", "baseline", {}, {"x": 1}, (sys.executable, str(tmp_path / "fake.py")))
    cache = SystemCache(tmp_path / "cache", candidate.name, candidate.key, candidate.identity)
    done: list[int] = []
    failures = enhance_set(candidate, pairs, cache, jobs=1, on_pair=lambda: done.append(1))
    assert failures == {pairs.info.pairs[1].id: "its process ended with code 9"} and len(done) == 5
    assert len(list((cache.folder / "audio").iterdir())) == 4
    (tmp_path / "fake.py").write_text(FAKE.replace("MORE", "os._exit(5)"))
    again = enhance_set(candidate, pairs, cache, jobs=1, on_pair=lambda: None)
    assert list(again.values()) == ["its process ended with code 5"]


def test_a_system_that_always_dies_is_given_up(pair_folder: Path, tmp_path: Path) -> None:
    pairs = load_set(pair_folder)
    (tmp_path / "fake.py").write_text(FAKE.replace("MORE", "os._exit(5)"))
    candidate = Candidate("fake", "baseline", {}, {"x": 2}, (sys.executable, str(tmp_path / "fake.py")))
    cache = SystemCache(tmp_path / "cache", candidate.name, candidate.key, candidate.identity)
    failures = enhance_set(candidate, pairs, cache, jobs=1, on_pair=lambda: None)
    assert set(failures) == {pair.id for pair in pairs.info.pairs}


def test_a_worker_that_does_not_start_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemFailed, match="ModuleNotFoundError"),
        Runner(Candidate("x", "baseline", {}, {}, (sys.executable, str(systems.WORKER), "speex"))),
    ):
        pytest.skip("speexdsp-ns is installed here")


def test_threads_reach_the_libraries() -> None:
    environment = running.thread_environment(3)
    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {
        "3"
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--set", "nowhere"], "no set or folder 'nowhere'; sets: cross-test"),
        (["--set", "dsn-test"], "run `diffgmm prepare debian-speech-noise`"),
        (["--baselines", "nobody"], "unknown baseline 'nobody'; choose from noisereduce-stationary"),
        (["--models", "nobody"], "unknown model 'nobody'; shipped: base"),
        (["--nfe", "0"], "must be a whole number from 1"),
        (["--nfe", "one"], "must be a whole number from 1"),
        (["--estimate", "median"], "estimate must be one of"),
        (["--command", "x=program {in}"], "must look like NAME="),
        (["--command", "a=p {in} {out}", "--command", "a=q {in} {out}"], "two systems are called a"),
        (["--metrics", "beauty"], "unknown metric 'beauty'"),
        (["--subset", "loud"], "no subset 'loud'"),
        (["--jobs", "0"], "must be a whole number from 1"),
        (["--baselines-python", "/nonexistent", "--baselines", "installed"], "cannot be started"),
    ],
)
def test_wrong_use_ends_in_one_line(
    arguments: list[str],
    complaint: str,
    pair_folder: Path,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [] if "--set" in arguments else ["--set", str(pair_folder)]
    given += [] if "--baselines" in arguments else ["--baselines", "none"]
    given += (
        []
        if "--models" in arguments or "--nfe" in arguments or "--estimate" in arguments
        else ["--models", "none"]
    )
    code = main(["benchmark", "--out", str(tmp_path / "out"), *given, *arguments])
    told = capsys.readouterr().err
    assert code in (1, 2) and complaint in told and told.count("\n") == 1, told
    assert not (tmp_path / "out").exists()


def test_foreign_folders_are_left_alone(
    pair_folder: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    assert benchmark(pair_folder, tmp_path / "out", "--models", "none") == 2
    assert "holds no results of tiny" in capsys.readouterr().err


def test_sets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"needs set\.json, or the folders clean and noisy"):
        load_set(tmp_path)
    x = np.full((1, 1600), 0.1, np.float32)
    for name, wave in (("clean/a.wav", x), ("noisy/a.wav", x[:, :800]), ("clean/b.wav", x)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        audio.write(tmp_path / name, wave, 16000)
    with pytest.raises(BenchmarkError, match="every clean file needs its noisy one"):
        load_set(tmp_path)
    (tmp_path / "clean" / "b.wav").unlink()
    with pytest.raises(BenchmarkError, match="must be mono and of rate and length"):
        load_set(tmp_path)
    (tmp_path / "set.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="not the description of a benchmark set"):
        load_set(tmp_path)


def test_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "x" / "lines.jsonl")
    lines.add({"n": 1})
    lines.add({"n": 2})
    data = lines.path.read_bytes()
    lines.path.write_bytes(data[:-3])
    lines.add({"n": 3})
    assert [entry["n"] for entry in lines] == [1, 3]


def test_missing_scores_are_remembered_with_their_reason(tmp_path: Path) -> None:
    cache = SystemCache(tmp_path, "a/b c", "k", {"x": 1})
    cache.keep_score("id", "e", "c", "stoi", "v", Score(float("nan"), "estimate is silent"))
    fresh = SystemCache(tmp_path, "a/b c", "k", {"x": 1}).score("e", "c", "v")
    assert fresh is not None and fresh.reason == "estimate is silent" and not fresh.valid
    assert SystemCache(tmp_path, "a/b c", "k", {}).score("e", "c", "other version") is None
    assert slug("../x y") == "_x_y"


def test_identity_follows_the_code_that_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffgmm.utils.code_version import code_version

    read: list[str] = []
    before = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: (read.append(str(self)), before(self))[1])
    code_version.cache_clear()
    code_version("diffgmm.inference.denoiser")
    names = {Path(name).name for name in read}
    assert {"denoiser.py", "model.py", "unet.py", "samplers.py", "mixture.py", "window_grid.py"} <= names
    assert not names & {"losses.py", "module.py", "pesq.py", "table.py"}
    assert metric_version("stoi") != metric_version("estoi") != metric_version("lsd")


def test_code_that_changes_during_a_run_is_noticed() -> None:
    (base,) = systems.models(["base"], [1], ["mean"])
    assert base.is_current()
    stale = Candidate("base", "model", {}, {**base.identity, "code": "00"}, base.argv)
    assert not stale.is_current() and stale.key != base.key
    assert command_system("x=cp {in} {out}").is_current()


def test_settings_make_another_system() -> None:
    one, two, sampled = systems.models(["base"], [1, 2], ["mean"]) + systems.models(
        ["base"], [1], ["sample"], 2
    )
    assert len({one.key, two.key, sampled.key}) == 3
    assert [one.name, two.name, sampled.name] == ["base-nfe1-mean", "base-nfe2-mean", "base-nfe1-sample-x2"]
    assert systems.models(["base"], [1], ["mean"])[0].key == one.key
    assert systems.models(["mine=base"], [1], ["mean"])[0].name == "mine-nfe1-mean"
    own = systems.models(["base", "paper-1d"], [], ["mean"])
    assert [system.name for system in own] == ["base-nfe1-mean", "paper-1d-nfe4-mean"]
    assert own[0].key == one.key


def test_operations_are_counted() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.zeros(3, 2, 5)

    def layer() -> None:
        with torch.inference_mode():
            torch.nn.functional.conv1d(torch.zeros(1, 2, 104), weight)

    assert macs(layer) == 3 * 2 * 5 * 100


def test_the_table_marks_the_best_but_never_the_input() -> None:
    pairs = tuple(PairInfo(id, 16000, 1.0) for id in "ab")
    values = {"noisy": (9.0, 9.0), "one": (2.0, 4.0), "two": (None, 3.5)}
    rows = []
    for name, scores in values.items():
        files = tuple(FileScores(id, {"si_sdr": x}) for id, x in zip("ab", scores, strict=True))
        rows.append(System(name, "noisy" if name == "noisy" else "baseline", files=files))
    info = SetInfo("s", "", "", pairs, {"main": ("a", "b"), "x": ("a",)})
    text = as_text(Results("benchmark", "", (), info, tuple(rows), (MetricInfo("si_sdr", "dB"),)))
    first, second = text.split("si_sdr in dB by subset")
    assert "3.50* (1/2)" in first and "3.00" in first and "9.00*" not in first
    assert "2.00*" in second and first.startswith("s, subset main: 2 pairs")
    assert "\033[1m" in as_text(
        Results("benchmark", "", (), info, tuple(rows), (MetricInfo("si_sdr", "dB"),)), bold=True
    )


def test_baselines_need_nothing_of_diffgmm() -> None:
    """They also run in an interpreter without it."""
    folder = Path(baselines.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [
                name for name in names if name.split(".")[0] in ("diffgmm", "data_modules", "torch")
            ], path
    wrappers = {baseline.module for baseline in baselines.BASELINES.values()}
    assert {path.stem for path in folder.glob("*.py")} == {*wrappers, "__init__", "base", "worker"}
    assert list(baselines.BASELINES) == benchmark_verb._BASELINES.partition(",")[0].split()


def baselines_python() -> str:
    return os.environ.get("DIFFGMM_PEERS_PYTHON", sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_are_aligned(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    """The stated lag is what cross-correlation finds, to within two samples."""
    told = systems.known_baselines(baselines_python())[name]
    if not told["versions"]:
        pytest.skip(
            f"PEER NOT INSTALLED: {told['packages'][0]} (or name an interpreter in DIFFGMM_PEERS_PYTHON)"
        )
    clean = pair[0]
    x = (clean + 0.003 * np.random.default_rng(0).standard_normal(len(clean))).astype(np.float32)
    candidate = systems.baseline_systems([name], baselines_python())[0]
    with Runner(candidate) as runner:
        y = runner.enhance(x, 16000)
    size = 1 << 17
    spectrum = np.fft.rfft(y, size) * np.conj(np.fft.rfft(x, size))
    shift = int(np.argmax(np.fft.irfft(spectrum, size)))
    assert abs(shift if shift < size // 2 else shift - size) <= 2
    assert y.shape == x.shape and np.corrcoef(x, y)[0, 1] > 0.5


@pytest.mark.parametrize("rate", [8000, 48000])
def test_other_rates_are_scored_by_what_is_defined_there(
    rate: int, pair: tuple[np.ndarray, np.ndarray], home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    for kind, x in zip(("clean", "noisy"), pair, strict=True):
        (folder / kind).mkdir(parents=True)
        audio.write(folder / kind / "a.wav", audio.resample(x, 16000, rate)[None], rate)
    code = benchmark(folder, tmp_path / "out", "--models", "none", "--timing", "skip")
    found = results.read_results(tmp_path / "out").systems[0].files[0].scores
    expected = {8000: "pesq_nb", 48000: "pesq_wb"}[rate]
    assert code == 0 and set(found) == {expected, "stoi", "estoi", "si_sdr"}
    assert all(value is not None for value in found.values())
