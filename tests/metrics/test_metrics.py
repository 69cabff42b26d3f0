"""Metrics: hand-computed cases, independent implementations, and what breaks elsewhere."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torchmetrics.functional.audio import (
    perceptual_evaluation_speech_quality,
    scale_invariant_signal_distortion_ratio,
    short_time_objective_intelligibility,
    signal_distortion_ratio,
    signal_noise_ratio,
)

from diffgmm import metrics
from diffgmm.metrics.torch_modules import MeanScore

RATE = 16000
QUICK = tuple(name for name in metrics.NAMES if not name.startswith(("dnsmos", "distillmos", "wer")))
Pair = tuple[np.ndarray, np.ndarray]


# --- by hand
# -----------------------------------------------------------------------------------------------------


def test_si_sdr_by_hand() -> None:
    # The estimate is the reference plus an orthogonal error of a tenth of its size: 20 dB, at any scale.
    reference, error = np.array([1.0, -1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.1, -0.1])
    assert metrics.si_sdr(7 * (reference + error), reference, RATE) == pytest.approx(20.0)
    # Means are taken off first: a constant offset of either counts for nothing.
    assert metrics.si_sdr(reference + error - 3.0, reference + 2.0, RATE) == pytest.approx(20.0)
    constant = metrics.explain(np.full(4, 0.3), reference, RATE, ["si_sdr"])["si_sdr"]
    assert math.isnan(constant.value) and constant.reason == "estimate is silent but for an offset"


def test_snr_by_hand() -> None:
    assert metrics.snr(np.array([3.0, 3.0]), np.array([3.0, 4.0]), RATE) == pytest.approx(10 * math.log10(25))
    assert metrics.snr(np.array([2.0, -2.0]), np.array([1.0, -1.0]), RATE) == pytest.approx(
        0.0
    )  # level counts


def test_segmental_snr_by_hand(speech: np.ndarray) -> None:
    # An error proportional to the signal has the same SNR in every frame, as long as that is within the
    # limits.
    for decibel in (-5.0, 0.0, 30.0):
        estimate = speech.astype(np.float64) * (1 + 10 ** (-decibel / 20))
        assert metrics.segmental_snr(estimate, speech.astype(np.float64), RATE) == pytest.approx(decibel)
    assert metrics.segmental_snr(speech * 1.0001, speech, RATE) == pytest.approx(35.0)
    # Half of the frames perfect (35), half at -10 at most: frames of 480 every 120, cut at a frame's start.
    x = np.ones(48000)
    y = np.where(np.arange(48000) < 24000, x, 100.0)
    assert metrics.segmental_snr(y, x, RATE) == pytest.approx(12.5, abs=0.5)


def test_lsd_by_hand() -> None:
    white = np.random.default_rng(1).standard_normal(RATE)
    assert metrics.lsd(white, white, RATE) == 0.0
    assert metrics.lsd(2 * white, white, RATE) == pytest.approx(20 * math.log10(2), abs=1e-6)
    # Below the floor nothing counts: an estimate that is quiet in a pause is not punished for -90 against
    # -200 dB.
    x, y = white.copy(), white.copy()
    x[8000:], y[8000:] = 1e-9, 1e-6
    assert metrics.lsd(x, y, RATE) == pytest.approx(0.0, abs=0.05)


def test_sdr_forgives_filtering_and_si_sdr_does_not(speech: np.ndarray) -> None:
    filtered = np.convolve(speech, [0.5, 0.0, 0.3], mode="full")[: speech.size]
    assert metrics.sdr(filtered, speech, RATE) > 50
    assert metrics.si_sdr(filtered, speech, RATE) < 20


# --- against other implementations
# ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("pesq_wb", lambda e, r: perceptual_evaluation_speech_quality(e, r, RATE, "wb")),
        ("pesq_nb", lambda e, r: perceptual_evaluation_speech_quality(e, r, RATE, "nb")),
        ("stoi", lambda e, r: short_time_objective_intelligibility(e, r, RATE)),
        ("estoi", lambda e, r: short_time_objective_intelligibility(e, r, RATE, extended=True)),
        ("si_sdr", lambda e, r: scale_invariant_signal_distortion_ratio(e, r, zero_mean=True)),
        ("snr", signal_noise_ratio),
        ("sdr", signal_distortion_ratio),
    ],
)
def test_agrees_with_torchmetrics(name: str, theirs: object, pair: Pair) -> None:
    clean, noisy = pair
    other = float(theirs(torch.from_numpy(noisy).double(), torch.from_numpy(clean).double()))  # type: ignore[operator]
    assert metrics.score(noisy, clean, RATE, [name])[name] == pytest.approx(other, rel=1e-4)


def test_pesq_nb_agrees_at_8_khz(pair: Pair) -> None:
    clean, noisy = (x[: x.size // 2] for x in pair)  # as if recorded at 8 kHz
    other = perceptual_evaluation_speech_quality(torch.from_numpy(noisy), torch.from_numpy(clean), 8000, "nb")
    assert metrics.pesq_nb(noisy, clean, 8000) == pytest.approx(float(other), rel=1e-4)


def test_lsd_and_segmental_snr_agree_with_plain_loops(pair: Pair) -> None:
    clean, noisy = (x.astype(np.float64) for x in pair)
    n, hop = 512, 128
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * (i + 1) / (n + 1)) for i in range(n)])
    starts = range(0, clean.size - n + 1, hop)
    reference = [np.abs(np.fft.rfft(clean[i : i + n] * window)) ** 2 for i in starts]
    floor = 1e-8 * max(power.max() for power in reference)
    distances = []
    for i, power in zip(starts, reference, strict=True):
        other = np.abs(np.fft.rfft(noisy[i : i + n] * window)) ** 2
        decibels = 10 * np.log10(np.maximum(other, floor)) - 10 * np.log10(np.maximum(power, floor))
        distances.append(math.sqrt(np.mean(decibels**2)))
    assert metrics.lsd(noisy, clean, RATE) == pytest.approx(np.mean(distances), rel=1e-9)

    n, hop = 480, 120
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * (i + 1) / (n + 1)) for i in range(n)])
    ratios = []
    for i in range(0, clean.size - n + 1, hop):
        signal = np.sum((clean[i : i + n] * window) ** 2)
        error = np.sum(((clean - noisy)[i : i + n] * window) ** 2)
        ratios.append(min(35.0, max(-10.0, 10 * math.log10((signal + 1e-300) / (error + 1e-300)))))
    assert metrics.segmental_snr(noisy, clean, RATE) == pytest.approx(np.mean(ratios), rel=1e-9)


def test_every_metric_prefers_the_cleaner_signal(pair: Pair) -> None:
    clean, noisy = pair
    better = clean + 0.3 * (noisy - clean)
    for name in metrics.NAMES if all(map(find_spec, ("speechmos", "distillmos"))) else QUICK:
        good, bad = (metrics.score(x, clean, RATE, [name])[name] for x in (better, noisy))
        assert (good > bad) == metrics.METRICS[name].higher_is_better, name
        assert math.isfinite(good) and math.isfinite(bad)


# --- failures: NaN with a reason, never an exception, never a number
# ----------------------------------------------


@pytest.mark.parametrize("name", metrics.NAMES)
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda c, n: (n, np.zeros_like(c)), "reference is silent"),
        (lambda c, n: (np.zeros_like(n), c), "estimate is silent"),
        (lambda c, n: (np.full_like(n, 1e-9), c), "estimate is silent"),
        (lambda c, n: (np.where(np.arange(n.size) == 9, np.nan, n), c), "estimate holds NaN or Inf"),
        (lambda c, n: (n, np.where(np.arange(c.size) == 9, np.inf, c)), "reference holds NaN or Inf"),
        (lambda c, n: (n[:0], c[:0]), "no samples"),
    ],
)
def test_failures_are_nan_with_a_reason(name: str, broken: object, reason: str, pair: Pair) -> None:
    if "reference" in reason and not metrics.METRICS[name].needs_reference:
        pytest.skip(f"{name} does not listen to the reference")
    estimate, reference = broken(*pair)  # type: ignore[operator]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score = metrics.explain(estimate, reference, RATE, [name])[name]
    assert math.isnan(score.value) and score.reason == reason and not score.valid


@pytest.mark.parametrize(
    ("name", "seconds"), [("pesq_wb", 0.24), ("pesq_nb", 0.24), ("stoi", 0.39), ("estoi", 0.39)]
)
def test_too_short(name: str, seconds: float, pair: Pair) -> None:
    clean, noisy = (x[: int(seconds * RATE)] for x in pair)
    score = metrics.explain(noisy, clean, RATE, [name])[name]
    assert math.isnan(score.value) and score.reason.startswith("shorter than")


@pytest.mark.parametrize("samples", [1, 2, 100, 3999, 4000, 6400, 7000])
def test_no_length_raises(samples: int, pair: Pair) -> None:
    clean, noisy = (x[:samples] for x in pair)
    scores = metrics.score(noisy, clean, RATE, QUICK)
    assert set(scores) == set(QUICK)
    assert not any(value in (-7, 1e-5) for value in scores.values())  # what libraries return for a failure


def test_speech_that_is_mostly_pause_has_no_stoi(speech: np.ndarray) -> None:
    mostly_pause = np.where(np.arange(speech.size) < 3000, speech, 0)
    score = metrics.explain(mostly_pause + 1e-3, mostly_pause, RATE, ["stoi"])["stoi"]
    assert math.isnan(score.value) and "under 0.4 s" in score.reason


def test_no_utterance() -> None:
    burst = np.zeros(RATE)
    burst[7000:8600] = np.random.default_rng(0).standard_normal(1600)  # 0.1 s: too short to be speech
    score = metrics.explain(burst + 1e-3, burst, RATE, ["pesq_wb"])["pesq_wb"]
    assert math.isnan(score.value) and score.reason == "no speech found in the reference"


def test_equal_signals_are_infinite_and_not_valid(speech: np.ndarray) -> None:
    for name in ("si_sdr", "snr"):
        score = metrics.explain(speech, speech, RATE, [name])[name]
        assert score.value == math.inf and not score.valid and score.reason.startswith("no error left")


def test_long_recordings_do_not_crash_pesq(speech: np.ndarray) -> None:
    # The P.862 code overruns its arrays after 50 utterances and takes the process down: five minutes of one
    # word per two seconds end it. Twenty seconds of the shortest utterances that can be told apart are the
    # safe extreme.
    words = np.where(np.arange(300 * RATE) // RATE % 2, np.resize(speech, 300 * RATE), 0)
    score = metrics.explain(words, words, RATE, ["pesq_wb"])["pesq_wb"]
    assert math.isnan(score.value) and "utterances" in score.reason
    assert metrics.pesq_wb(np.resize(speech, 25 * RATE), np.resize(speech, 25 * RATE), RATE) > 4.5
    code = (
        "import numpy as np; from diffgmm.metrics import pesq_wb; n = np.arange(320000)\n"
        "x = np.random.default_rng(0).normal(size=n.size) * (n % 6480 < 3260); print(pesq_wb(x, x, 16000))"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert 4.5 < float(out) < 4.7


# --- rates
# -------------------------------------------------------------------------------------------------------


def test_pesq_judges_other_rates_only_when_told(pair: Pair) -> None:
    from diffgmm import audio

    clean, noisy = (audio.resample(x, RATE, 48000) for x in pair)
    with pytest.raises(ValueError, match="pesq_wb is defined at 16000 Hz, not 48000; resample"):
        metrics.pesq_wb(noisy, clean, 48000)
    told = metrics.score(noisy, clean, 48000, ["pesq_wb"], resample=True)["pesq_wb"]
    assert told == pytest.approx(metrics.pesq_wb(pair[1], pair[0], RATE), abs=0.02)
    with pytest.raises(ValueError, match="8000 Hz cannot give; use pesq_nb"):
        metrics.score(noisy, clean, 8000, ["pesq_wb"], resample=True)


def test_usage_errors(speech: np.ndarray) -> None:
    with pytest.raises(ValueError, match="one length"):
        metrics.snr(speech[:-1], speech, RATE)
    with pytest.raises(ValueError, match="unknown metric 'mos'; choose from pesq_wb pesq_nb"):
        metrics.score(speech, speech, RATE, ["snr", "mos"])
    assert metrics.default_names(8000)[0] == "pesq_nb" and metrics.default_names(16000)[0] == "pesq_wb"


# --- repeatable, without side effects
# -----------------------------------------------------------------------------


def test_scores_repeat_and_leave_the_random_state_alone(pair: Pair) -> None:
    clean, noisy = pair
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    first = metrics.score(noisy, clean, RATE, metrics.NAMES)
    assert np.array_equal(before, np.random.get_state()[1])
    np.random.seed(8)
    assert metrics.score(noisy, clean, RATE, metrics.NAMES) == first


def test_importing_the_functions_needs_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, diffgmm.metrics; print([m for m in ('torch', 'scipy', 'lightning') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "[]"


# --- torchmetrics classes
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", metrics.NAMES)
def test_every_metric_goes_into_the_class_and_through_pickle(name: str) -> None:
    again = pickle.loads(pickle.dumps(MeanScore(name, RATE)))
    assert again.measure == metrics.get_metric(name) and again.measure.name == name
    assert again.higher_is_better == metrics.METRICS[name].higher_is_better


def test_failures_are_counted_and_not_averaged(pair: Pair) -> None:
    clean, noisy = (torch.from_numpy(x)[None] for x in pair)
    metric = MeanScore("pesq_wb", RATE)
    metric.update(torch.stack([noisy, torch.zeros_like(noisy), noisy]), torch.stack([clean, clean, clean]))
    metric.update(noisy * torch.nan, clean)
    assert (int(metric.n_valid), int(metric.n_total)) == (2, 4)
    assert float(metric.compute()) == pytest.approx(metrics.pesq_wb(pair[1], pair[0], RATE))
    assert metric.reasons == {"estimate is silent": 1, "estimate holds NaN or Inf": 1}
    metric.reset()
    assert int(metric.n_total) == 0 and not metric.reasons


def test_only_failures_give_nan_not_zero(pair: Pair) -> None:
    metric = MeanScore("si_sdr", RATE)
    metric.update(torch.zeros(1, RATE), torch.from_numpy(pair[0][None, :RATE]))
    assert math.isnan(float(metric.compute()))


def test_a_class_refuses_a_rate_at_once() -> None:
    with pytest.raises(ValueError, match="48000"):
        MeanScore("pesq_wb", 48000)
    assert MeanScore("pesq_wb", 48000, resample=True).sample_rate == 48000


def test_reduces_over_processes_to_the_mean_over_all_items(pair: Pair) -> None:
    # The hook of torchmetrics for gathering: what two processes exchange (real ones: test_callbacks.py).
    clean, noisy = (torch.from_numpy(x) for x in pair)
    items = torch.stack(
        [clean + g * (noisy - clean) for g in (1.0, 0.5, 0.1)] + [torch.zeros_like(clean)] * 2
    )
    alone, other = MeanScore("si_sdr", RATE), MeanScore("si_sdr", RATE)
    alone.update(items, clean.expand_as(items))
    other.update(items[:2], clean.expand_as(items)[:2])
    theirs = iter([other.total, other.n_valid, other.n_total])
    metric = MeanScore(
        "si_sdr", RATE, dist_sync_fn=lambda x, group: [x, next(theirs)], distributed_available_fn=lambda: True
    )
    metric.update(items[2:], clean.expand_as(items)[2:])
    assert float(metric.compute()) == pytest.approx(float(alone.compute()), rel=1e-6)
