"""The packages that only the larger variants of debian-speech-noise take, and the readers of two games' files."""

from __future__ import annotations

import re
import struct
from io import BytesIO

import pytest
import soundfile

from data_modules.corpora.debian.labels import Label, label_of
from data_modules.corpora.debian.noise_rules import noise_category
from data_modules.corpora.debian.pins import PINS
from data_modules.corpora.debian.pins_extended import (
    ALL_PINS,
    EXTENDED_PINS,
    TALKIE_PINS,
    VARIANTS,
    packages_of,
)
from data_modules.corpora.debian.rules_extended import EXTENDED_RULES
from data_modules.corpora.debian.speech_rules import LANGUAGES_HELD_OUT, speaker_of
from data_modules.corpora.debian.talkies import SKY_RATE, queen_entries, rnc_unpack, sky_entries

PIN = {pin.name: pin for pin in ALL_PINS}
VOICES = "usr/share/games/hedgewars/Data/Sounds/voices"
SPOKEN = [
    ("hedgewars-data", f"{VOICES}/British/Amazing.ogg", "hedgewars_british", "en"),
    ("hedgewars-data", f"{VOICES}/Russian/Boring.ogg", "hedgewars_russian", "en"),
    ("hedgewars-data", f"{VOICES}/Russian_pl/Boring.ogg", "hedgewars_russian_pl", "pl"),
    ("kajongg", "usr/share/kajongg/voices/de/female1/b1.ogg", "kajongg_female1", "de"),
    ("kajongg", "usr/share/kajongg/voices/male2/b1.ogg", "kajongg_male2", "en"),
    ("nexuiz-data", "sound/tutorial/1-welcome.ogg", "nexuiz_tutor", "en"),
    ("pocketsphinx-testdata", "usr/share/pocketsphinx/test/data/cards/001.wav", "pocketsphinx_cards", "en"),
    ("flight-of-the-amazon-queen", "queen.1c/JOE00012.SB.mp3", "narrow_queen_joe", "en"),
    ("flight-of-the-amazon-queen", "queen.1c/120006P1.SB.mp3", "narrow_queen_12", "en"),
    ("flight-of-the-amazon-queen", "queen.1c/C100A042.SB.mp3", "narrow_queen_scenes", "en"),
    ("beneath-a-steel-sky", "sky.dsk/50705.wav", "narrow_sky", "en"),
]
NO_SPEECH = [
    ("hedgewars-data", f"{VOICES}/Robot/Amazing.ogg"),
    ("hedgewars-data", f"{VOICES}/British/Ooff1.ogg"),
    ("hedgewars-data", "usr/share/games/hedgewars/Data/Music/Art.ogg"),
    ("kajongg", "usr/share/kajongg/voices/male1/b1.ogg"),
    ("nexuiz-data", "sound/announcer/male/05kills.ogg"),
    ("flight-of-the-amazon-queen", "queen.1c/52SSSSSS.SB.mp3"),
]
# A block that spells "abcabcabcab!": three literals, a copy of eight bytes that overlaps itself, and one literal.
PACKED_TEXT = b"abcabcabcab!"


def rnc(size: int | None = None) -> bytes:
    """`PACKED_TEXT` packed by hand, as one block of two runs; `size` is the length that the header states."""
    code = [
        (0, 4),
        (1, 4),
        (1, 4),
    ]  # bit lengths of symbols 0, 1 and 2: symbol 1 is the bit 0, symbol 2 the bit 1
    before = [(0, 2), (3, 5), *code, (3, 5), *code, (4, 5), (0, 4), *code, (2, 16)]
    before += [(1, 1), (1, 1)]  # three literals: symbol 2 and its extra bit
    after = [(1, 1), (0, 1)]  # the distance 3, less 1: symbol 2 and its extra bit
    after += [(1, 1), (2, 2), (0, 1)]  # the length 8, less 2: symbol 3 and its extra bits; then one literal

    def packed(fields: list[tuple[int, int]]) -> tuple[int, int]:
        value = width = 0
        for field, bits in fields:
            value |= field << width
            width += bits
        return value, width

    used = -(-packed(before)[1] // 16) * 2  # literals stand behind the last word that was begun
    value, width = packed(before + after)
    words = value.to_bytes(-(-width // 16) * 2, "little")
    stream = words[:used] + PACKED_TEXT[:3] + words[used:] + PACKED_TEXT[-1:]
    stated = len(PACKED_TEXT) if size is None else size
    return b"RNC\x01" + struct.pack(">IIHHBB", stated, len(stream), 0, 0, 0, 1) + stream


@pytest.mark.parametrize(("package", "member", "name", "language"), SPOKEN)
def test_voices(package, member, name, language):
    assert label_of(PIN[package], member) == Label("train", "speech", name, language)
    assert language not in LANGUAGES_HELD_OUT


@pytest.mark.parametrize(("package", "member"), NO_SPEECH)
def test_no_voices(package, member):
    assert speaker_of(package, member) is None


def test_noise():
    assert noise_category("torcs-data", "usr/share/games/torcs/data/sound/nsx.wav") == "car_engine"
    assert noise_category("torcs-data", "usr/share/games/torcs/data/music/torcs1.ogg") is None
    assert noise_category("supertux-data", "usr/share/games/supertux2/sounds/phone.wav") == "telephone"
    assert (
        label_of(PIN["nexuiz-data"], "sound/ambient/fan4.ogg") is None
    )  # test has recordings of this package
    for package in EXTENDED_RULES:
        assert PIN[package].noise_split == "train"


def test_variants_only_add_to_training():
    assert VARIANTS == ("light", "full", "extended", "talkies")
    assert set(PINS) < set(packages_of("extended")) < set(packages_of("talkies")) == set(ALL_PINS)
    assert packages_of("full") == PINS
    assert len({pin.name for pin in ALL_PINS}) == len(ALL_PINS)
    for pin in (*EXTENDED_PINS, *TALKIE_PINS):
        assert pin.noise_split in (None, "train")
        assert re.fullmatch(r"[0-9a-f]{64}", pin.sha256)


def test_rnc():
    assert rnc_unpack(rnc()) == PACKED_TEXT
    with pytest.raises(ValueError, match="12 bytes, not 13"):
        rnc_unpack(rnc(size=13))
    with pytest.raises(ValueError, match="damaged"):
        rnc_unpack(rnc(size=5))
    with pytest.raises(ValueError, match="no data packed"):
        rnc_unpack(b"RIFF" + bytes(30))
    with pytest.raises(ValueError):
        rnc_unpack(rnc()[:24])


def sky(number: int, content: bytes, stored: bool, start: int) -> bytes:
    length = (22 + len(content)) | (0x800000 if stored else 0)
    return struct.pack("<H", number) + start.to_bytes(3, "little") + length.to_bytes(3, "little")


def test_sky_entries():
    plain = bytes([128, 255, 0, 128] * 50)
    heap = bytes(16) + bytes(22) + plain
    heap += bytes(-len(heap) % 16)
    at = len(heap)
    heap += bytes(22) + rnc()
    table = struct.pack("<I", 3) + sky(50001, plain, True, 16) + sky(7, b"", True, 0)
    table += sky(50002, rnc(), False, at >> 4 | 0x800000)
    found = dict(sky_entries(table, heap))
    assert list(found) == ["sky.dsk/50001.wav", "sky.dsk/50002.wav"]
    x, rate = soundfile.read(BytesIO(found["sky.dsk/50001.wav"]))
    assert rate == SKY_RATE and len(x) == 200
    assert x[:3] == pytest.approx([0.0, 1.0, -1.0], abs=1e-3)
    assert soundfile.info(BytesIO(found["sky.dsk/50002.wav"])).frames == len(PACKED_TEXT)
    with pytest.raises(ValueError, match="beyond the end"):
        list(sky_entries(table, heap[:100]))
    with pytest.raises(ValueError, match="too short"):
        list(sky_entries(table[:20], heap))


def test_queen_entries():
    sounds = [(b"020006J1.SB", b"\xff\xe3abc"), (b"GAME.BBK", b"xyz"), (b"120006P1.SB", b"\xff\xe3d")]
    offset = 15 + 21 * len(sounds)
    table, heap = b"QTBLCEM10\0\0\0\1" + struct.pack(">H", len(sounds)), b""
    for name, content in sounds:
        table += struct.pack(">12sBII", name, 1, offset + len(heap), len(content))
        heap += content
    found = dict(queen_entries(table + heap))
    assert found == {"queen.1c/020006J1.SB.mp3": sounds[0][1], "queen.1c/120006P1.SB.mp3": sounds[2][1]}
    with pytest.raises(ValueError, match="beyond the end"):
        list(queen_entries((table + heap)[:-2]))
    with pytest.raises(ValueError, match="not MP3"):
        list(queen_entries(table[:12] + b"\3" + table[13:] + heap))
    with pytest.raises(ValueError, match="no table"):
        list(queen_entries(b"RIFF"))
