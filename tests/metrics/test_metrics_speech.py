"""Composite measures, predicted opinions, residual noise, masks: by hand and against implementations by others."""

from __future__ import annotations

import importlib
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from diffgmm import audio, metrics
from diffgmm.metrics import composite, dnsmos, masks
from diffgmm.metrics.composite import Parts, combine, raw_pesq

RATE = 16000
ROOT = Path(__file__).parents[2]
Pair = tuple[np.ndarray, np.ndarray]
# The functions hide the modules of the same names.
llr_module, wss_module = (importlib.import_module(f"diffgmm.metrics.{name}") for name in ("llr", "wss"))


def doubles(pair: Pair) -> Pair:
    clean, noisy = pair
    return clean.astype(np.float64), noisy.astype(np.float64)


# --- LLR, WSS and what is made of them


def test_parts_agree_with_pysepm(pair: Pair) -> None:
    """Published code: what pysepm-evo 0.1.1 makes of this pair, one frame longer as it drops the last."""
    clean, noisy = doubles(pair)
    assert metrics.llr(noisy, clean, RATE) == pytest.approx(1.0854942845, abs=1e-9)
    assert metrics.wss(noisy, clean, RATE) == pytest.approx(71.7168475011, abs=1e-8)
    assert metrics.segmental_snr(noisy, clean, RATE) == pytest.approx(1.6621185824, abs=1e-9)
    uncapped = llr_module.kept_mean(llr_module.frame_distances(noisy, clean, RATE))
    assert uncapped == pytest.approx(1.2036489498, abs=1e-9)
    assert metrics.llr(noisy, clean, 8000) == pytest.approx(0.9926508745, abs=1e-9)
    assert metrics.wss(noisy, clean, 8000) == pytest.approx(49.5923673083, abs=1e-8)


def test_llr_agrees_with_solving_the_normal_equations(pair: Pair) -> None:
    clean, noisy = doubles(pair)
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * (i + 1) / 481) for i in range(480)])
    distances = []
    for start in range(0, clean.size - 479, 120):
        lags, filters = [], []
        for x in (noisy, clean):
            frame = (x[start : start + 480] + np.finfo(float).eps) * window
            r = np.array([frame[: 480 - k] @ frame[k:] for k in range(17)])
            lags.append(r)
            filters.append(np.r_[1.0, -scipy.linalg.solve_toeplitz(r[:16], r[1:])])
        matrix = scipy.linalg.toeplitz(lags[1])
        ratio = (filters[0] @ matrix @ filters[0]) / (filters[1] @ matrix @ filters[1])
        distances.append(min(2.0, math.log(ratio)))
    kept = sorted(distances)[: round(0.95 * len(distances))]
    assert metrics.llr(noisy, clean, RATE) == pytest.approx(np.mean(kept), rel=1e-6)


def test_wss_weights_by_hand() -> None:
    # Levels 0 10 0 ...: slopes 10 -10 0 ... The rise looks right and stops below the peak (Loizou's program), the fall
    # looks left and finds the peak itself.
    level = np.zeros((1, 25))
    level[0, 1] = 10.0
    found = wss_module._weights(level, np.diff(level, axis=1))[0]
    assert found[0] == pytest.approx(20 / (20 + 10 - 0) * 1 / (1 + 0 - 0))
    assert found[1] == pytest.approx(20 / (20 + 0) * 1 / (1 + 10 - 10))
    assert found[5] == pytest.approx(20 / (20 + 10 - 0) * 1 / (1 + 10 - 0))


def test_distances_do_not_hear_the_level(pair: Pair) -> None:
    clean, noisy = doubles(pair)
    for name in ("llr", "wss"):
        loud, quiet = (metrics.score(g * noisy, clean, RATE, [name])[name] for g in (1.0, 0.25))
        assert quiet == pytest.approx(loud, rel=1e-6)


def test_digital_silence_in_the_reference_is_no_failure(pair: Pair) -> None:
    clean, noisy = doubles(pair)
    cut = np.where(np.arange(clean.size) < 20000, clean, 0.0)
    for name in ("llr", "wss", "csig", "cbak", "covl"):
        assert math.isfinite(metrics.score(noisy, cut, RATE, [name])[name]), name


def test_composite_by_hand() -> None:
    found = combine(Parts(pesq=3.0, llr=0.2, wss=30.0, segmental_snr=10.0))
    assert found == pytest.approx(
        (3.093 - 0.2058 + 1.809 - 0.27, 1.634 + 1.434 - 0.21 + 0.63, 1.594 + 2.415 - 0.1024 - 0.21)
    )
    assert combine(Parts(4.6, 0.0, 0.0, 35.0)) == (5.0, 5.0, 5.0)
    assert combine(Parts(1.0, 5.0, 200.0, -10.0)) == (1.0, 1.0, 1.0)


def test_composite_is_made_of_the_metrics(pair: Pair) -> None:
    clean, noisy = doubles(pair)
    found = metrics.score(noisy, clean, RATE, ["csig", "cbak", "covl", "pesq_wb", "segmental_snr"])
    # The constants of the paper with the parts as pysepm has them.
    pesq, llr, wss = found["pesq_wb"], 1.2036489498, 71.7168475011
    assert found["csig"] == pytest.approx(3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss)
    assert found["cbak"] == pytest.approx(1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * found["segmental_snr"])
    assert found["covl"] == pytest.approx(1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss)
    narrow = composite._parts(noisy[:24000], clean[:24000], 8000)
    expected = metrics.pesq_nb(noisy[:24000], clean[:24000], 8000)
    assert narrow.pesq == pytest.approx(raw_pesq(expected)) and narrow.pesq != pytest.approx(expected)


def test_composite_fails_as_pesq_does(pair: Pair) -> None:
    burst = np.zeros(RATE)
    burst[7000:8600] = np.random.default_rng(0).standard_normal(1600)
    score = metrics.explain(burst + 1e-3, burst, RATE, ["covl"])["covl"]
    assert math.isnan(score.value) and score.reason == "no speech found in the reference"
    with pytest.raises(ValueError, match="48000"):
        metrics.csig(pair[1], pair[0], 48000)


def test_common_parts_are_computed_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    import pesq

    real = pesq.pesq
    monkeypatch.setattr(pesq, "pesq", lambda *a, **k: calls.append(1) or real(*a, **k))
    clean, noisy = doubles(pair)
    names = ["pesq_wb", "csig", "cbak", "covl"]
    metrics.score(0.9 * noisy, clean, RATE, names)
    assert len(calls) == 1
    metrics.score(0.8 * noisy, clean, RATE, names)
    assert len(calls) == 2  # and other signals are other signals


# --- DNSMOS


@pytest.fixture
def clip(pair: Pair) -> np.ndarray:
    """Nine and a half seconds: one window."""
    return np.resize(pair[1], int(9.5 * RATE))


def test_dnsmos_agrees_with_torchmetrics(
    clip: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speechmos = pytest.importorskip("speechmos")
    theirs = importlib.import_module("torchmetrics.functional.audio.dnsmos")
    models = Path(speechmos.__file__).parent
    shutil.copytree(
        models / "dnsmos_models", tmp_path / "DNSMOS"
    )  # where torchmetrics would download them to
    shutil.copytree(models / "pdnsmos_models", tmp_path / "pDNSMOS")
    monkeypatch.setattr(theirs, "DNSMOS_DIR", str(tmp_path))
    x = torch.from_numpy(clip)
    p808, sig, bak, ovrl = theirs.deep_noise_suppression_mean_opinion_score(x, RATE, False, num_threads=1)
    found = metrics.score(
        clip, np.zeros_like(clip), RATE, ["dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "dnsmos_p808"]
    )
    expected = {"dnsmos_sig": sig, "dnsmos_bak": bak, "dnsmos_ovrl": ovrl, "dnsmos_p808": p808}
    # torchmetrics scales to a peak of one first where a signal exceeds it; this one does not.
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=2e-3)


def test_dnsmos_is_not_there_when_it_is_not_installed(
    clip: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dnsmos, "_NEEDED", ("speechmos", "a_package_that_nobody_has"))
    dnsmos._network.cache_clear()
    score = metrics.explain(0.7 * clip, clip, RATE, ["dnsmos_ovrl"])["dnsmos_ovrl"]
    assert math.isnan(score.value) and score.reason == "DNSMOS is not installed: pip install diffgmm[dnsmos]"
    assert "a_package_that_nobody_has" not in sys.modules


def test_dnsmos_listens_at_16_khz_only(clip: np.ndarray) -> None:
    with pytest.raises(ValueError, match="dnsmos_sig is defined at 16000 Hz, not 48000"):
        metrics.dnsmos_sig(clip, clip, 48000)
    assert math.isnan(metrics.dnsmos_sig(0 * clip, clip, RATE))


# --- Distill-MOS


def test_distillmos_agrees_with_the_packages_own_pipeline(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command line's function reads the files and scores them; also beyond the 7.68 s that it hears at once."""
    pytest.importorskip("distillmos")
    infer = importlib.import_module("distillmos.sqa")._infer_file_list
    paths, sounds = [], []
    for name, x in {"clean": pair[0], "noisy": pair[1], "long": np.resize(pair[1], 10 * RATE)}.items():
        paths.append(str(tmp_path / f"{name}.wav"))
        audio.write(paths[-1], x[None], RATE, subtype="FLOAT")
        sounds.append(x)

    def load(path: str) -> tuple[torch.Tensor, int]:
        """What ``torchaudio.load`` gives, which needs a codec library that not everybody has."""
        x, info = audio.read(Path(path))
        return torch.from_numpy(x), info.sample_rate

    monkeypatch.setattr("torchaudio.load", load)
    theirs = [value for _, value in infer(paths)]
    ours = [metrics.distillmos(x, x, RATE) for x in sounds]
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert ours[0] > ours[1] + 0.5  # clean speech against the same with noise at 5 dB


def test_distillmos_does_not_hear_the_level(pair: Pair) -> None:
    pytest.importorskip("distillmos")
    loud, quiet = (metrics.distillmos(gain * pair[1], pair[0], RATE) for gain in (1.0, 0.1))
    assert quiet == pytest.approx(loud, abs=1e-3)


def test_distillmos_is_not_there_when_it_is_not_installed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("diffgmm.metrics.distillmos")
    monkeypatch.setattr(module, "installed", lambda *_: False)
    module._network.cache_clear()
    score = metrics.explain(pair[1], pair[0], RATE, ["distillmos"])["distillmos"]
    assert math.isnan(score.value) and score.reason.endswith("not installed: pip install diffgmm[distillmos]")


# --- word error rate


def test_word_errors_by_hand(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """One word exchanged, one left out and one put in, of four."""
    pytest.importorskip("jiwer")
    module = importlib.import_module("diffgmm.metrics.wer")
    heard = {"clean": "one two three four", "noisy": "one too four five"}
    monkeypatch.setattr(
        module, "transcript", lambda x, rate: heard["clean" if np.array_equal(x, pair[0]) else "noisy"]
    )
    monkeypatch.setattr(
        module, "_spoken", module._spoken.__wrapped__
    )  # nothing kept from other tests, nor for them
    assert metrics.wer_moonshine_tiny(pair[0], pair[0], RATE) == 0.0
    assert metrics.wer_moonshine_tiny(pair[1], pair[0], RATE) == pytest.approx(3 / 4)
    heard["clean"] = ""
    score = metrics.explain(pair[1], pair[0], RATE, ["wer_moonshine_tiny"])["wer_moonshine_tiny"]
    assert math.isnan(score.value) and score.reason == "the recogniser hears no word in the reference"


def test_the_recogniser_hears_the_words_of_a_prompt_and_none_of_them_in_noise() -> None:
    pytest.importorskip("moonshine_voice")
    module = importlib.import_module("diffgmm.metrics.wer")
    (path,) = (ROOT / "data_modules/mini/train/speech/allison").glob("*_begin_glorious_*.flac")
    speech = audio.read(path)[0][0].astype(np.float64)
    words = "the conference will begin when our glorious leader arrives"
    assert module.transcript(speech, RATE) == module.transcript(0.5 * speech, RATE) == words
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(speech))
    assert metrics.wer_moonshine_tiny(speech, speech, RATE) == 0.0
    assert metrics.wer_moonshine_tiny(noise, speech, RATE) > 0.5


def test_the_word_error_rate_is_not_there_when_it_is_not_installed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("diffgmm.metrics.wer")
    monkeypatch.setattr(module, "available", lambda: False)
    monkeypatch.setattr(module, "_spoken", module._spoken.__wrapped__)
    module._recogniser.cache_clear()
    score = metrics.explain(pair[1], pair[0], RATE, ["wer_moonshine_tiny"])["wer_moonshine_tiny"]
    assert math.isnan(score.value) and score.reason.endswith("not installed: pip install diffgmm[wer]")


# --- residual noise


def words_and_pauses(rate: int = RATE) -> tuple[np.ndarray, np.ndarray]:
    """Two words of a full-scale square wave, half a second each, with half a second around them; noise at -30 dB."""
    n = np.arange(int(2.5 * rate))
    word = (n // (rate // 2)) % 2 == 1
    noise = 10 ** (-30 / 20) * np.where(n % 2, 1.0, -1.0)
    return np.where(word, np.where(n // 8 % 2, 1.0, -1.0), 0.0), noise


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_residual_noise_by_hand(rate: int) -> None:
    clean, noise = words_and_pauses(rate)
    assert metrics.residual_noise(clean + noise, clean, rate) == pytest.approx(-30.0, abs=1e-6)
    # Halved by amplitude: 6.02 dB less, whatever happens to the words.
    assert metrics.residual_noise(3 * clean + noise / 2, clean, rate) == pytest.approx(-36.02, abs=0.01)
    assert metrics.residual_noise(clean, clean, rate) == -80.0
    # What stands before the first and after the last word does not count.
    n = np.arange(clean.size)
    outside = (n < 0.4 * rate) | (n > 2.1 * rate)
    assert metrics.residual_noise(clean + noise + 10 * outside, clean, rate) == pytest.approx(-30.0, abs=1e-6)


def test_residual_noise_needs_a_pause_between_words(speech: np.ndarray) -> None:
    whole = np.where(np.arange(2 * RATE) // 8 % 2, 0.5, -0.5)
    score = metrics.explain(whole, whole, RATE, ["residual_noise"])["residual_noise"]
    assert math.isnan(score.value) and score.reason == "no pause between words in the reference"
    blip = whole.copy()
    blip[RATE : RATE + 3 * 320] = 0.0  # three frames: a plosive, no pause
    assert math.isnan(metrics.residual_noise(blip, blip, RATE))
    blip[RATE : RATE + 4 * 320] = 0.0
    assert metrics.residual_noise(blip, blip, RATE) == -80.0


# --- masks


def test_overlap_by_hand() -> None:
    estimate = np.array([[True, True, False], [True, False, False]])
    reference = np.array([[True, False, True], [True, False, True]])
    found = masks.overlap(estimate, reference)
    assert found == (2, 1, 2) and found.iou == 2 / 5 and found.f1 == pytest.approx(4 / 7)
    precision, recall = 2 / 3, 2 / 4
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))
    nothing = masks.overlap(estimate & False, reference & False)
    assert math.isnan(nothing.iou) and math.isnan(nothing.f1)
    with pytest.raises(ValueError, match="boolean and of one shape"):
        masks.overlap(estimate, reference[:1])
    with pytest.raises(ValueError, match="boolean and of one shape"):
        masks.overlap(estimate.astype(float), reference)


def test_overlap_agrees_with_torchmetrics(pair: Pair) -> None:
    from torchmetrics.functional.classification import binary_f1_score, binary_jaccard_index

    clean, noisy = doubles(pair)
    estimate, reference = masks.spectral_masks(noisy, clean, RATE)
    a, b = torch.from_numpy(estimate), torch.from_numpy(reference)
    found = metrics.score(noisy, clean, RATE, ["iou", "f1", "dice"])
    assert found["iou"] == pytest.approx(float(binary_jaccard_index(a, b)), abs=1e-6)
    assert found["f1"] == found["dice"] == pytest.approx(float(binary_f1_score(a, b)), abs=1e-6)


def test_masks_find_two_tones() -> None:
    # Clean: 1 kHz. The estimate adds 3 kHz of the same level for all of the time: as many bins again, half in common.
    time = np.arange(2 * RATE) / RATE
    clean = np.sin(2 * np.pi * 1000 * time)
    estimate = clean + np.sin(2 * np.pi * 3000 * time)
    assert metrics.iou(estimate, clean, RATE) == pytest.approx(1 / 2, abs=0.02)
    assert metrics.dice(estimate, clean, RATE) == pytest.approx(2 / 3, abs=0.02)
    assert metrics.iou(clean + 1e-3 * estimate, clean, RATE) == pytest.approx(1.0)  # below the threshold
