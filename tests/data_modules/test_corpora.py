"""The debian-speech-noise recipe: what it takes, what it refuses, and how it names things."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from data_corpus import read_manifest
from debian_packages import LINGWARE, PIN, container, tone, wav_bytes

from data_modules import home
from data_modules.corpora.build.finish import Clip, write_manifest
from data_modules.corpora.recipe import Refused
from data_modules.corpora.recipes.debian.clips import SAMPLE_RATE, clean, file_stem, speech_to_floor_db
from data_modules.corpora.recipes.debian.packages import NOISE, PINS, Label, label_of, packages_of
from data_modules.corpora.recipes.debian.unpack import opensfx_entries
from data_modules.errors import DataError
from data_modules.pools.sources import SPLITS
from data_modules.pools.sources import read_manifest as read_items

FISH = "usr/share/games/fillets-ng/sound"
STAMPS = "usr/share/tuxpaint/stamps"


@pytest.mark.parametrize(
    ("package", "member", "category"),
    [
        ("0ad-data", "audio/ambient/weather/rain_11.ogg", "rain"),
        ("0ad-data", "audio/music/First_Sighting.ogg", None),
        ("0ad-data", "audio/voice/greek/civ/civ_male_attack_01.ogg", None),
        ("0ad-data", "audio/actor/human/death/male_death_1.ogg", None),
        ("0ad-data", "audio/interface/ui/chat_alert.ogg", None),
        ("0ad-data", "audio/attack/weapon/arrowfly_02.ogg", "swish"),
        ("megaglest-data", "usr/share/games/megaglest/tilesets/autumn/sounds/rain.ogg", "rain"),
        ("megaglest-data", "usr/share/games/megaglest/tilesets/desert2/sounds/night.ogg", "night_insects"),
        ("megaglest-data", "usr/share/games/megaglest/techs/megapack/commondata/sounds/cow_ack1.wav", None),
        ("lincity-ng-data", "usr/share/games/lincity-ng/sounds/TraficHigh1.wav", "traffic"),
        ("lincity-ng-data", "usr/share/games/lincity-ng/sounds/Click.wav", None),
        ("wesnoth-1.16-data", "x/core/sounds/magic-dark-big.ogg", None),
        ("widelands-data", "usr/share/games/widelands/data/music/ingame_00.ogg", None),
        ("widelands-data", "usr/share/games/widelands/data/sound/smiths/smith_00.ogg", "hammer"),
        ("flightgear-data-base", "usr/share/games/flightgear/Sounds/mk-viii/pull-up.wav", None),
        ("flightgear-data-base", "usr/share/games/flightgear/Sounds/helicopter.wav", "helicopter"),
        ("ufoai-sound", "sound/ambience/alienbase-bubbles.ogg", None),
        ("ufoai-sound", "sound/ambience/tv_newswav.ogg", None),
        ("ufoai-sound", "sound/ambience/thunder1.ogg", "thunder"),
        ("tuxpaint-stamps-default", f"{STAMPS}/household/vacuum_cleaner.ogg", "vacuum_cleaner"),
        ("tuxpaint-stamps-default", f"{STAMPS}/household/vacuum_cleaner_desc_fr.ogg", None),
        ("openttd-opensfx", 'opensfx.cat/24 "Helicopter". Original "rain.wav" by "Wind".', "helicopter"),
        ("openttd-opensfx", 'opensfx.cat/44 "Toyland: Toy factory (3)". Original "train.wav".', None),
    ],
)
def test_noise_category(package, member, category):
    label = label_of(PIN[package], member)
    assert (label.group if label else None) == category


def test_categories_are_folder_names_and_every_noise_package_has_rules():
    categories = {rule["category"] for rules in NOISE.values() for _, rule in rules} - {""}
    assert len(categories) >= 40
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", category) for category in categories)
    assert set(NOISE) == {pin.name for pin in PINS if pin.noise_split}


SPEECH = [
    ("festvox-ru", "usr/share/festival/voices/russian/msu_ru_nsh_clunits/wav/ru_0456.wav", "nsh_male"),
    ("asterisk-core-sounds-en-g722", f"{LINGWARE}/en_US_f_Allison/vm-intro.g722", "allison"),
    ("asterisk-core-sounds-es-g722", f"{LINGWARE}/es_MX_f_Allison/digits/19.g722", "allison"),
    ("asterisk-core-sounds-ru-g722", f"{LINGWARE}/ru_RU_f_IvrvoiceRU/vm-intro.g722", "ivrvoice"),
    ("asterisk-core-sounds-it-g722", f"{LINGWARE}/it_IT_m_Carlo/vm-intro.g722", "carlo"),
    ("asterisk-core-sounds-fr-g722", f"{LINGWARE}/fr_CA_f_June/vm-intro.g722", "june"),
    ("fillets-ng-data-nl", f"{FISH}/cave/nl/jes-v-tojo.ogg", "big_fish_nl"),
    ("fillets-ng-data-nl", f"{FISH}/hanoi/nl/m-restartuj.ogg", "small_fish_nl"),
    ("fillets-ng-data-cs", f"{FISH}/corridor/cs/ch-m-odpoved3.ogg", "small_fish_cs"),
    ("fillets-ng-data-cs", f"{FISH}/fdto/cs/podvodou-v.ogg", "big_fish_cs"),
    *(
        ("tuxpaint-stamps-default", f"{STAMPS}/animals/dog_desc_{language}.ogg", f"tuxpaint_{language}")
        for language in ("bg", "ca", "ro", "ru", "be", "el")
    ),
    ("klettres-data", "usr/share/klettres/lt/alpha/a.ogg", "klettres_lt"),
    ("ktuberling-data", "usr/share/ktuberling/sounds/sr@latin/oko.ogg", "ktuberling_sr"),
]
NO_SPEECH = [
    ("asterisk-core-sounds-en-g722", f"{LINGWARE}/en_US_f_Allison/silence/1.g722"),
    ("asterisk-core-sounds-en-g722", f"{LINGWARE}/en_US_f_Allison/beeperr.g722"),
    ("fillets-ng-data-nl", f"{FISH}/electromagnet/nl/shoot-2-0.ogg"),
    ("fillets-ng-data-nl", f"{FISH}/cave/cs/jes-v-tojo.ogg"),
    ("tuxpaint-stamps-default", f"{STAMPS}/animals/dog_desc_es.ogg"),
    ("tuxpaint-stamps-default", f"{STAMPS}/animals/dog_desc_fr.ogg"),
    ("klettres-data", "usr/share/klettres/hu/alpha/a.ogg"),
    ("klettres-data", "usr/share/klettres/fr/alpha/a-0.ogg"),
    ("ktuberling-data", "usr/share/ktuberling/sounds/nn/eye.ogg"),
    ("widelands-data", "usr/share/games/widelands/data/sound/smiths/smith_00.ogg"),
]


@pytest.mark.parametrize(("package", "member", "name"), SPEECH)
def test_speaker(package, member, name):
    label = label_of(PIN[package], member)
    assert label is not None and (label.kind, label.group) == ("speech", name)


@pytest.mark.parametrize(("package", "member"), NO_SPEECH)
def test_no_speech(package, member):
    label = label_of(PIN[package], member)
    assert label is None or label.kind == "noise"


def test_splits_are_disjoint_by_speaker_language_and_package():
    speakers, languages = defaultdict(set), defaultdict(set)
    for package, member, _ in SPEECH:
        speaker = label_of(PIN[package], member)
        speakers[speaker.group].add(speaker.split)
        languages[speaker.language].add(speaker.split)
    for seen in (speakers, languages):
        assert all(len(splits) == 1 for splits in seen.values()), seen
    assert {split for splits in speakers.values() for split in splits} == set(SPLITS)
    assert {pin.noise_split for pin in PINS} == {*SPLITS, None}
    assert PIN["openarena-data"].noise_split == PIN["ufoai-sound"].noise_split  # they share a file


def test_pins():
    assert len({pin.name for pin in PINS}) == len(PINS)
    assert all(re.fullmatch(r"[0-9a-f]{64}", pin.sha256) and pin.licence for pin in PINS)
    assert set(packages_of("light")) < set(packages_of("full")) == set(PINS)
    assert PIN["klettres-data"].file_name == "klettres-data_4%3a22.12.3-1_all.deb"


def test_label_of():
    member = f"{STAMPS}/household/kettle.ogg"
    assert label_of(PIN["tuxpaint-stamps-default"], member) == Label("test", "noise", "kettle")
    assert label_of(PIN["klettres-data"], "usr/share/klettres/pics/kettle.ogg") is None


def test_home(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFGMM_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.setenv("DIFFGMM_HOME", " ")
    assert home() == Path.home() / ".cache" / "diffgmm"


def test_clean_refuses():
    assert clean(tone(0.1), SAMPLE_RATE, "noise") == Refused("short")
    assert clean(tone(0.3), SAMPLE_RATE, "speech") == Refused("short")
    assert clean(tone(1, 1e-4), SAMPLE_RATE, "noise") == Refused("silent")
    assert clean(np.clip(tone(1, 3.0), -1, 1), SAMPLE_RATE, "noise") == Refused("clipped")
    hiss = np.random.default_rng(0).normal(0, 0.1, (1, SAMPLE_RATE)).astype(np.float32)
    assert clean(hiss, SAMPLE_RATE, "speech") == Refused("noisy")
    short = np.pad(tone(0.1), ((0, 0), (8000, 8000)))
    assert clean(short, SAMPLE_RATE, "noise") == Refused("short")


def test_clean_trims_noise_only_and_resamples():
    quiet = np.zeros((1, 44100), np.float32)
    x = np.concatenate([quiet, tone(1, rate=44100), quiet], axis=1).repeat(2, axis=0)
    noise = clean(x, 44100, "noise")
    speech = clean(x, 44100, "speech")
    assert isinstance(noise, np.ndarray) and isinstance(speech, np.ndarray)
    assert 16000 <= len(noise) <= 16000 + 2 * 160 + 160
    assert len(speech) == 48000
    assert np.abs(noise).max() == pytest.approx(0.5, abs=0.02)
    faint = clean(x * 0.02, 44100, "noise")
    assert isinstance(faint, np.ndarray) and np.abs(faint).max() == pytest.approx(0.1, rel=1e-3)


def test_speech_to_floor():
    levels = np.array([-60.0] * 5 + [-20.0] * 95)
    assert speech_to_floor_db(levels) == pytest.approx(40.0)


def test_file_stem_is_portable_and_unique():
    stem = file_stem("a", "x/Ünïcode & spaces (1).ogg")
    assert re.fullmatch(r"[a-z0-9_-]+", stem)
    assert stem != file_stem("a", "y/Ünïcode & spaces (1).ogg")


def test_opensfx_container():
    riff = wav_bytes(tone(0.5))
    data = container([('"Wind". By A.', riff), ('"Beep". By B.', riff)])
    names = [name for name, content in opensfx_entries(data) if content == riff]
    assert names == ['opensfx.cat/00 "Wind". By A.', 'opensfx.cat/01 "Beep". By B.']
    for broken in (b"", data[:20], b"\xff\xff\xff\x7f" + data[4:], data.replace(b"RIFF", b"RAFF")):
        with pytest.raises(ValueError, match=r"too short|no table|beyond the end|no RIFF"):
            list(opensfx_entries(broken))


def row(path: str = "train/noise/rain/a.flac") -> Clip:
    return Clip("train", "noise", "rain", path, 1.5, "", "MIT", "p 1", "0" * 64, 'a "b", c')


def test_manifest_round_trip_and_damage(tmp_path):
    rows = [row("b"), row("a")]
    write_manifest(tmp_path / "manifest.csv", rows)
    assert read_manifest(tmp_path) == rows[::-1]
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]
    assert [item.path for item in read_items(tmp_path / "manifest.csv")] == [
        str(tmp_path / name) for name in "ab"
    ]
    text = (tmp_path / "manifest.csv").read_bytes()
    for damage in (b"1.5\xff", b'"' + b"x" * 200000):
        (tmp_path / "manifest.csv").write_bytes(text.replace(b"1.5000", damage, 1))
        with pytest.raises(DataError, match="can't be read as a CSV manifest"):
            read_items(tmp_path / "manifest.csv")
