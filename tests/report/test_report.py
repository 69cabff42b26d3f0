"""Reports of real scores of real files: structure, escaping, size, refusals; and in a real browser, if there is one."""

import base64
import io
import json
import math
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffgmm import audio
from diffgmm.cli.main import main
from diffgmm.diffusion.pretrained import model_path
from diffgmm.evaluation import evaluate, pairing, results, scores
from diffgmm.evaluation.results import Cost, Results
from diffgmm.inference import Denoiser
from diffgmm.metrics import statistics
from diffgmm.report import (
    ReportError,
    examples,
    groups,
    plots,
    render,
    render_markdown,
    tables,
    training,
)
from diffgmm.report import audio as report_audio
from diffgmm.report import collect as report_collect
from diffgmm.training import run_folders
from diffgmm.utils.files import sha256_of
from diffgmm.utils.text_table import number

RATE = 16000
METRICS = ("pesq_wb", "estoi", "si_sdr")
HOSTILE = "<script>alert(1)</script> $x_{ & \"quoted\" 'one'"


def enhance(folder: Path, name: str, make) -> Path:
    target = folder / name
    target.mkdir()
    for path in sorted((folder / "noisy").glob("*.wav")):
        x = audio.read(path)[0]
        audio.write(target / path.name, make(x), RATE, subtype="PCM_16")
    return target


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A folder with the results of the shipped model, twice with other settings, and of two simple systems."""
    from data_modules.offline.pair_folder import write_pairs

    folder = tmp_path_factory.mktemp("bench")
    write_pairs(folder / "set", "test", 4, seconds=1.5, snrs=(-5.0, 5.0, 15.0), cache=folder / "cache")
    shutil.move(folder / "set" / "noisy", folder / "noisy")
    denoiser = Denoiser.from_pretrained("base")
    enhance(folder, "base-nfe1-mean", lambda x: denoiser.denoise(x, RATE))
    enhance(folder, "base-nfe4-mean", lambda x: 0.9 * denoiser.denoise(x, RATE, strength=0.8))
    enhance(folder, "half", lambda x: 0.5 * x)
    silent = enhance(folder, HOSTILE.replace("/", "|"), lambda x: np.diff(x, prepend=0.0))
    audio.write(sorted(silent.glob("*.wav"))[0], np.zeros((1, 24000), np.float32), RATE, overwrite=True)
    kinds = {"base-nfe1-mean": "model", "base-nfe4-mean": "model", "half": "command"}
    rows, found = {}, None
    for name in [*kinds, silent.name]:
        paired = pairing.pair_folders(folder / "set" / "clean", folder / name, folder / "noisy")
        rows[name] = evaluate.evaluate(paired.pairs, METRICS, jobs=1)
        one = scores.to_results(paired.pairs, {name: rows[name]}, METRICS, folder)
        systems = one.systems if found is None else (*found.systems, one.systems[-1])
        found = replace(one if found is None else found, systems=systems)
    assert found is not None
    weights = sha256_of(model_path("base").with_suffix(".safetensors"))
    made = []
    for i, system in enumerate(found.systems):
        if system.kind == "files":
            kind = kinds.get(system.name, "baseline")
            settings = {"about": HOSTILE}
            if kind == "model":
                settings = {"nfe": int(system.name[8]), "estimate": "mean", "weights": weights}
            system = replace(
                system, kind=kind, settings=settings, cost=Cost(0.01 * 3**i, 0.01 * 2**i, 50.0, 900860)
            )
        made.append(system)
    infos = []
    for pair in found.set.pairs:
        _, noise, snr = re.fullmatch(r"(\w+)-(\w+)-snr(-?\d+)-\d+", pair.id).groups()
        infos.append(replace(pair, snr=float(snr), noise=(noise,), speaker="june"))
    ids = tuple(pair.id for pair in infos)
    about = replace(
        found.set, name="tiny", description=HOSTILE, checksum="ab" * 32, pairs=tuple(infos),
        subsets={"main": ids, "snr5": ids[:1], HOSTILE: ids[1:3]},
    )  # fmt: skip
    config = {"models": "base", "note": HOSTILE}
    whole = replace(found, kind="benchmark", set=about, systems=tuple(made), config=config)
    results.write_results(folder / results.FILE, whole)
    return folder


@pytest.fixture
def run(tmp_path) -> Path:
    """A folder as a training run leaves it: curves with a column for each quantity, many cells empty."""
    folder = tmp_path / "runs" / "version_3"
    folder.mkdir(parents=True)
    lines = ["epoch,lr-AdamW,step,train/loss,val/loss,val/pesq_wb,val/pesq_wb_noisy,val/pesq_wb_snr_0_5"]
    lines.extend(
        f"0,0.001,{step},{3 - math.log1p(step) / 3 + 0.1 * (step % 3)},,,," for step in range(0, 400, 10)
    )
    lines += [f"{n},,{100 * n},,{2.5 - n / 10},{1.5 + n / 10},1.2,{1.3 + n / 10}" for n in (1, 2, 3)]
    lines.append("4,,401,nan,,,,")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.yaml").write_text(f"seed_everything: 7\n# {HOSTILE}\n")
    record = {"command": ["diffgmm", "fit", "--config", "my file.yaml"], "python": "3.11", "steps": 401}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what the tests ask for."""

    VOID = ("meta", "img", "input", "br", "path", "use", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(bench, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("page") / "report.html"
    assert render([bench], out, examples=2) == out
    return out.read_text(encoding="utf-8")


def test_page_is_well_formed_and_accessible(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    anchors = [a["href"] for a in page.all("a")]
    assert anchors and all(href.removeprefix("#") in page.ids for href in anchors)
    assert page.all("html") == [{"lang": "en"}] and page.all("title") and page.all("h1")
    shown = [image for image in page.all("img") if "src" in image]
    pictures = [image for image in shown if not image["src"].startswith("data:image/svg")]
    assert len(pictures) == 2 * (5 + 1 + 1) and all(len(image["alt"]) > 10 for image in shown)
    assert len(shown) - len(pictures) == 3 * 3  # against rtf, by SNR, by network calls
    assert all("scope" in head for head in page.all("th"))
    assert all(sound["aria-label"] for sound in page.all("audio"))


def test_page_asks_nothing_of_the_network(text):
    page = Page(text)
    sources = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    assert all(value.startswith(("data:", "#")) for value in sources)
    assert not re.search(r"https?:|@import|url\((?!#)", re.sub(r"data:[^\"]*", "", text))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'") and "sha256-" in policy
    assert len(text) < 3e6


def test_hostile_names_are_only_text(text):
    page = Page(text)
    assert len(page.all("script")) == 1 and "<script>alert" not in text
    assert sum(HOSTILE.replace("/", "|") in data for data in page.texts) >= 3
    assert HOSTILE in "".join(page.texts)


def test_parts_of_the_page(text, bench):
    found = results.read_results(bench)
    titles = " ".join(Page(text).texts)
    for wanted in (
        "pesq_wb against rtf", "si_sdr in dB by SNR", "estoi by network calls", "pesq_wb by noise",
        "pesq_wb by subset", "least improvement by base-nfe1-mean", "greatest improvement", "uncertainty of base",
        "Reproduce", "ab" * 32, sha256_of(bench / "results.json"), "scores do not exist", "lossless (FLAC)",
    ):  # fmt: skip
        assert wanted in titles, wanted
    estimate = statistics.estimate(found.system("base-nfe1-mean").values("si_sdr"))
    assert f"{estimate.mean:.2f}" in titles and f"{estimate.low:.2f} to {estimate.high:.2f}" in titles
    assert "3/4" in titles


def test_embedded_sounds_are_those_of_the_files(text, bench):
    (id, _), *_ = examples.choose(results.read_results(bench), 2)
    uris = [sound["src"] for sound in Page(text).all("audio")]
    first, *_ = [uri for uri in uris if uri.startswith("data:audio/flac;base64,")]
    x, rate = soundfile.read(io.BytesIO(base64.b64decode(first.partition(",")[2])), dtype="float32")
    assert rate == RATE and np.array_equal(x, audio.read(bench / "noisy" / f"{id}.wav")[0][0])


def test_table_marks_the_best_and_leaves_out_what_is_missing(bench):
    found = results.read_results(bench)
    table = tables.summary(found)
    by_name = {row.system.name: row for row in table.rows}
    noisy, silent = by_name["noisy"], by_name[HOSTILE.replace("/", "|")]
    assert not any(cell.best or cell.tied for cell in noisy.cells)
    assert [cell.count for cell in silent.cells] == ["3/4"] * 3
    column = [row.cells[2].estimate.mean for row in table.rows if row.system.kind != "noisy"]
    best = [row.cells[2].estimate.mean for row in table.rows if row.cells[2].best]
    assert best == [max(column)]
    assert {missing["n"] for missing in tables.missing(found)} == {1}


def test_examples_go_from_the_least_to_the_greatest_improvement(bench):
    found = results.read_results(bench)
    gain = {
        id: b - a
        for id, a, b in zip(
            found.set.ids(),
            found.system("noisy").values("pesq_wb"),
            found.system("base-nfe1-mean").values("pesq_wb"),
            strict=True,
        )
    }
    ranked = sorted(gain, key=gain.__getitem__)
    assert [id for id, _ in examples.choose(found, 2)] == [ranked[0], ranked[-1]]
    assert [id for id, _ in examples.choose(found, 1)] == [ranked[1]]
    assert [id for id, _ in examples.choose(found, 99)] == ranked
    assert examples.choose(found, 0) == []


def test_pages_without_audio_costs_or_ratios(bench, tmp_path):
    """What a file does not have is left out; a file that is gone is named."""
    found = results.read_results(bench)
    bare = replace(
        found,
        set=replace(
            found.set, subsets={}, pairs=tuple(replace(p, snr=None, noise=()) for p in found.set.pairs)
        ),
        systems=tuple(replace(s, cost=Cost(), settings={}) for s in found.systems),
    )
    results.write_results(tmp_path / "results.json", bare)
    page = " ".join(Page(render([tmp_path], tmp_path / "a.html").read_text()).texts)
    assert "Choose a spectrogram" not in page and "against rtf" not in page and "by SNR" not in page
    shutil.copytree(bench, tmp_path / "copy")
    id, _ = examples.choose(found, 1)[0]
    (tmp_path / "copy" / "half" / f"{id}.wav").write_bytes(b"RIFF nothing")
    (tmp_path / "copy" / "set" / "clean" / f"{id}.wav").unlink()
    page = " ".join(Page(render([tmp_path / "copy"], tmp_path / "b.html", examples=1).read_text()).texts)
    assert "Not here" in page and "is missing" in page


def test_a_metric_that_no_pair_has_gets_no_plot(bench, tmp_path):
    """As pesq_nb, which only the 8 kHz pairs of a benchmark have."""
    found = results.read_results(bench)
    gone = found.metrics[0].name

    def without(one):
        return replace(
            one, scores={**one.scores, gone: None}, reasons={**one.reasons, gone: "not at this rate"}
        )

    systems = tuple(replace(s, files=tuple(without(one) for one in s.files)) for s in found.systems)
    results.write_results(tmp_path / "results.json", replace(found, systems=systems))
    titles = "".join(Page(render([tmp_path], tmp_path / "a.html").read_text()).texts)
    assert f"{gone} by SNR" not in titles and f"{found.metrics[1].name} by SNR" in titles


@pytest.mark.parametrize("codec", ["flac", "ogg"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_codecs_keep_the_sound(codec, rate, speech):
    x = audio.resample(speech, RATE, rate)
    content = report_audio.encode(report_audio.Sound(x, rate, False), codec)
    y, found = soundfile.read(io.BytesIO(content), dtype="float32")
    assert found == rate and y.size == x.size
    error = 10 * np.log10(np.mean(x**2) / (np.mean((y - x) ** 2) + 1e-20))
    assert error > (60 if codec == "flac" else 8)


def test_large_reports_fall_back_to_vorbis(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "BUDGET", 100_000)
    page = render([bench], tmp_path / "small.html", examples=1).read_text()
    assert "data:audio/ogg" in page and "data:audio/flac" not in page and "Ogg Vorbis" in page


def test_training_runs(run, tmp_path):
    text = render([run], tmp_path / "t.html").read_text()
    page = Page(text)
    words = " ".join(page.texts)
    assert "runs/version_3" in words and "'my file.yaml'" in words and "seed_everything: 7" in words
    assert "loss (training thin, validation with marks)" in words and "noisy input dashed" in words
    assert "pesq_wb by SNR in dB" in words and "lr-AdamW" in words
    curves = run_folders.read_curves(run / "metrics.csv")
    assert curves["val/loss"].steps == (100, 200, 300) and len(curves["train/loss"].values) == 40
    assert training.training(report_collect.collect([run])[1])["rows"] == [
        ["runs/version_3", number(curves["train/loss"].values[-1], 3), "2.200", "1.800"],
    ]


def test_examples_of_a_training_run(run, speech, tmp_path):
    for epoch in (0, 1):
        (run / "examples" / f"epoch_{epoch:03d}").mkdir(parents=True)
        audio.write(run / "examples" / f"epoch_{epoch:03d}" / "00_a.wav", speech[None], RATE)
    (run / "examples" / "reference").mkdir()
    audio.write(run / "examples" / "reference" / "00_a.noisy.wav", speech[None], RATE)
    page = Page(render([run], tmp_path / "t.html").read_text())
    assert len(page.all("audio")) == 2 and "epoch_001" in " ".join(page.texts)
    assert "00_a.clean.wav" in " ".join(page.texts)


def test_markdown_is_generated_and_says_so(bench, run, tmp_path):
    out = render_markdown([bench, run], tmp_path / "RESULTS.md")
    lines = out.read_text(encoding="utf-8").splitlines()
    assert "generated" in " ".join(lines[:6]) and "diffgmm report" in " ".join(lines[:6])
    widths = {
        line.count("|") - line.count("\\|") for line in lines if line.startswith("| ") and "rtf" in line
    }
    assert len(widths) == 1
    assert "<script" not in out.read_text() and str(tmp_path) not in out.read_text()
    assert any(line.startswith("| base-nfe1-mean | ") and "**" in line for line in lines)
    start = lines.index("| step | val/loss | val/pesq_wb |")
    assert lines[start + 2 : start + 5] == [f"| {n}00 | 2.{5 - n}00 | 1.{5 + n}00 |" for n in (1, 2, 3)]
    (run / "metrics.csv").write_text("step,val/loss,val/pesq_wb\n99,2.5,\n100,,1.5\n199,2.25,\n")  # stopped
    stopped = render_markdown([run], tmp_path / "stopped.md").read_text()
    assert "| 100 | 2.500 | 1.500 |\n| 199 | 2.250 | – |" in stopped
    (run / "metrics.csv").write_text("step,train/loss\n1,2.5\n")
    assert "| train/loss | 1 | 2.5000 |" in render_markdown([run], tmp_path / "short.md").read_text()
    with pytest.raises(ReportError, match="exists already"):
        render_markdown([bench], out)
    named = render_markdown([bench], tmp_path / "N.md", title="In the\ndomain").read_text().splitlines()
    assert named[0] == "# In the domain" and " --markdown N.md --title 'In the domain'`" in named[2]


def refused(capsys, *arguments) -> tuple[int, str]:
    code = main(["report", *map(str, arguments)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("diffgmm: error: ")
    return code, lines[0]


def test_verb_refuses_in_one_line(bench, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("mine")
    code, line = refused(capsys, bench, "-o", "there.html")
    assert code == 2 and "exists already" in line and (tmp_path / "there.html").read_text() == "mine"
    assert refused(capsys, bench, "-o", tmp_path)[0] == 2
    assert refused(capsys, bench, "-o", "nowhere/a.html")[0] == 2
    assert refused(capsys, bench, "-o", "a.html", "--examples", -1)[0] == 2
    assert refused(capsys)[0] == 2
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text('{"kind": "benchmark", ')
    code, line = refused(capsys, "broken", "-o", "a.html")
    assert code == 1 and "not a results file" in line
    code, line = refused(capsys, run.parent, "-o", "a.html")
    assert code == 1 and "did you mean" in line and "version_3" in line
    (run / "metrics.csv").write_text("step,train/loss\n1,much\n")
    assert "line 2: not a number" in refused(capsys, run, "-o", "a.html")[1]
    (run / "metrics.csv").write_text("what,is\nthis,?\n")
    assert "column named step" in refused(capsys, run, "-o", "a.html")[1]
    assert "nothing.json" in refused(capsys, "nothing.json", "-o", "a.html")[1]
    assert refused(capsys, bench, "-o", "a.html", "--model", "nonesuch")[0] == 1
    assert not (tmp_path / "a.html").exists()


def test_verb_writes_page_and_markdown(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(bench), "--markdown", "R.md"]) == 0
    assert (tmp_path / "R.md").is_file() and not (tmp_path / "report.html").exists()
    assert main(["report", str(bench), "--examples", "0", "--title", "A & B"]) == 0
    assert "<title>A &amp; B</title>" in (tmp_path / "report.html").read_text()
    assert "wrote report.html" in capsys.readouterr().out


def test_groups_and_series(bench):
    found: Results = results.read_results(bench)
    assert list(groups.by_snr(found, found.set.ids())) == [-5.0, 5.0, 15.0]
    spread = tuple(replace(p, snr=1.3 + 2.6 * i) for i, p in enumerate(found.set.pairs))
    odd = replace(found, set=replace(found.set, pairs=spread))
    assert list(groups.by_snr(odd, found.set.ids())) == [2.5, 7.5]
    assert plots.nfe_series(found) == {"base-mean": [(1, 1), (4, 2)]}
    assert "snr5" not in groups.by_subset(found) and "main" in groups.by_subset(found)


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_page_in_a_real_browser(width, bench, run, tmp_path):
    """No scrolling sideways, no complaints, sounds that load and play one at a time, pictures that enlarge."""
    from chromium import Browser

    out = render([bench, run], tmp_path / "report.html", examples=2)
    browser = Browser(width, 844)
    try:
        browser.open(out)
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
        sounds = browser.run_async(
            "const all = [...document.querySelectorAll('audio')];"
            "Promise.all(all.map(a => a.readyState ? 0 : new Promise(r => { a.onloadedmetadata = r; a.onerror = r })))"
            ".then(() => done(all.map(a => [a.readyState, a.duration, a.error && a.error.message])))"
        )
        assert len(sounds) == 2 * 6
        assert all(state >= 1 and abs(seconds - 1.5) < 0.05 and not why for state, seconds, why in sounds)
        assert browser.run(
            "return [...document.images].every(i => !i.src || (i.complete && i.naturalWidth > 50))"
        )
        playing = browser.run_async(
            "const [a, b] = document.querySelectorAll('audio'); a.muted = b.muted = true;"
            "a.play().then(() => b.play()).then(() => done([a.paused, b.paused]), e => done(String(e)))"
        )
        assert playing == [True, False]
        assert browser.run(
            "document.querySelector('.zoom').click(); const d = document.querySelector('dialog');"
            "const i = d.querySelector('img'); return d.open && i.src.startsWith('data:') && i.clientHeight > 200"
        )
        smallest = """
            document.querySelector("dialog").close();
            const seen = [...document.querySelectorAll("main text, main td, main p")].filter(
              (e) => e.textContent.trim() && e.getClientRects().length);
            const scale = (svg) => svg ? svg.clientWidth / svg.viewBox.baseVal.width : 1;
            return Math.min(...seen.map((e) => parseFloat(getComputedStyle(e).fontSize) * scale(e.ownerSVGElement)))
        """
        small = browser.run(smallest)
        assert small >= 10.5
        browser.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
        assert browser.complaints() == []
    finally:
        browser.close()
