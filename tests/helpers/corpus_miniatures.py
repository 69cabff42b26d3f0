"""The public corpora in miniature: archives with their true layouts, made of the mini corpus."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from data_modules.corpora.index import recipe as recipe_of
from data_modules.corpora.recipe import Recipe, Source
from data_modules.mini import mini_corpus
from diffgmm.audio import resample

Files = dict[str, bytes]
FOLDS = "12345"


def sounds(kind: str, seconds: float) -> Iterator[np.ndarray]:
    """Excerpts of the mini corpus without end, 16 kHz, float32 [samples]; each one different."""
    paths = sorted(mini_corpus().glob(f"*/{kind}/*/*.flac"))
    for turn, path in enumerate(cycle(paths)):
        x = soundfile.read(path, dtype="float32")[0]
        shift = 160 * (turn // len(paths))
        yield np.resize(x[shift:], round(seconds * 16000)).astype(np.float32)


def encoded(x: np.ndarray, rate: int, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    soundfile.write(buffer, resample(x[None], 16000, rate)[0], rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def zipped(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return buffer.getvalue()


def tarred(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as bundle:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            bundle.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@cache
def voicebank_demand() -> Files:
    archives: dict[str, Files] = {}
    voices, noises = sounds("speech", 0.7), sounds("noise", 0.7)
    sets = {"trainset_28spk": ("p226", "p227", "p286", "p287"), "testset": ("p232", "p257")}
    for name, speakers in sets.items():
        for speaker in speakers:
            for number in (1, 2, 5):  # utterances are numbered with gaps
                clean, noise = 0.6 * next(voices), 0.2 * next(noises)
                for kind, x in (("clean", clean), ("noisy", clean + noise)):
                    folder = f"{kind}_{name}_wav"
                    files = archives.setdefault(
                        f"{folder}.zip", {f"__MACOSX/{folder}/._p226_001.wav": b"junk"}
                    )
                    files[f"{folder}/{speaker}_{number:03}.wav"] = encoded(x, 48000)
    return {name: zipped(files) for name, files in archives.items()}


PLACES = (
    *("DKITCHEN", "DLIVING", "DWASHING", "NFIELD", "NPARK", "NRIVER", "OHALLWAY", "OMEETING", "OOFFICE"),
    *("PCAFETER", "PRESTO", "PSTATION", "SCAFE", "SPSQUARE", "STRAFFIC", "TBUS", "TCAR", "TMETRO"),
)


@cache
def demand() -> Files:
    noises = sounds("noise", 1.0)
    archives = {}
    for place in PLACES:
        rate = 48000 if place == "SCAFE" else 16000
        x = next(noises)
        files = {
            f"{place}/ch{number:02}.wav": encoded(x * (1 - 0.01 * number), rate) for number in (1, 2, 16)
        }
        archives[f"{place}_{rate // 1000}k.zip"] = zipped(files)
    return archives


@cache
def vctk() -> Files:
    voices = sounds("speech", 0.7)
    files: Files = {"license_text.txt": b"CC BY 4.0", "speaker-info.txt": b"ID AGE GENDER ACCENTS REGION\n"}
    files["wav48_silence_trimmed/log.txt"] = b""
    for speaker in ("p225", "p226", "p232", "p257", "p287", "p315", "s5"):
        for number in (1, 2):
            name = f"{speaker}/{speaker}_{number:03}"
            x = next(voices)
            files[f"txt/{name}.txt"] = b"Please call Stella."
            files[f"wav48_silence_trimmed/{name}_mic1.flac"] = encoded(x, 48000, "FLAC")
            if speaker != "p315":
                files[f"wav48_silence_trimmed/{name}_mic2.flac"] = encoded(0.5 * x, 48000, "FLAC")
    return {"VCTK-Corpus-0.92.zip": zipped(files)}


@cache
def musan() -> Files:
    voices, noises = sounds("speech", 1.0), sounds("noise", 1.0)
    files: Files = {"musan/README": b"MUSAN", "musan/speech/librivox/LICENSE": b"public domain"}
    languages = ("english", "french", "german", "danish", "spanish", "italian")
    lines = []
    for number, language in enumerate(languages):
        name = f"speech-librivox-{number:04}"
        lines.append(f"{name} {'mf'[number % 2]} {language}")
        files[f"musan/speech/librivox/{name}.wav"] = encoded(next(voices), 16000)
    files["musan/speech/librivox/ANNOTATIONS"] = "\n".join(lines).encode()
    files["musan/speech/us-gov/speech-us-gov-0000.wav"] = encoded(next(voices), 16000)
    files["musan/speech/us-gov/ANNOTATIONS"] = b"speech-us-gov-0000 m english\n"
    for sort, count in (("free-sound", 24), ("sound-bible", 6)):
        for number in range(count):
            files[f"musan/noise/{sort}/noise-{sort}-{number:04}.wav"] = encoded(next(noises), 16000)
    files["musan/noise/free-sound/ANNOTATIONS"] = b"noise-free-sound-0000 wind\n"
    files["musan/music/fma/music-fma-0000.wav"] = encoded(next(noises), 16000)
    return {"musan.tar.gz": tarred(files)}


def _librispeech(archive: str, readers: Sequence[int], utterances: int) -> bytes:
    voices = sounds("speech", 1.0)
    for _ in range({"train-clean-100": 0, "dev-clean": 40, "test-clean": 60}[archive]):
        next(voices)
    files: Files = {"LibriSpeech/SPEAKERS.TXT": b"; ID | SEX | SUBSET\n"}
    for reader in readers:
        for number in range(utterances):
            chapter = 120000 + reader
            name = f"LibriSpeech/{archive}/{reader}/{chapter}/{reader}-{chapter}"
            files[f"{name}-{number:04}.flac"] = encoded(next(voices), 16000, "FLAC")
            files[f"{name}.trans.txt"] = b"TEXT"
    return tarred(files)


def esc50() -> bytes:
    noises = sounds("noise", 1.0)  # the real ones last five seconds
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["filename", "fold", "target", "category", "esc10", "src_file", "take"])
    files: Files = {"ESC-50-master/README.md": b"ESC-50"}
    for target, category in enumerate([*recipe_of("librispeech-esc50").tables["classes"], "dog"]):
        for fold in FOLDS:
            name = f"{fold}-{100000 + target}-A-{target}.wav"
            rows.writerow(
                [name, fold, target, category, category in ("clock_tick", "dog"), 100000 + target, "A"]
            )
            files[f"ESC-50-master/audio/{name}"] = encoded(next(noises), 44100)
    files["ESC-50-master/meta/esc50.csv"] = table.getvalue().encode()
    return zipped(files)


@cache
def librispeech_esc50() -> Files:
    return {
        "train-clean-100.tar.gz": _librispeech("train-clean-100", (19, 26, 103), 4),
        "dev-clean.tar.gz": _librispeech("dev-clean", (84, 174), 3),
        "test-clean.tar.gz": _librispeech("test-clean", (61, 121, 237, 260), 3),
        "ESC-50-master.zip": esc50(),
    }


@cache
def bird_sounds_denoising() -> Files:
    record: Files = {}
    birds, noises = sounds("noise", 1.2), sounds("noise", 1.2)
    for _ in range(7):
        next(noises)
    for folder, numbers in (("Training", range(6)), ("Valid", range(10, 12)), ("Test", range(20, 23))):
        files: Files = {}
        for number in numbers:
            name, rate = f"XC{41126 + number}", (44100, 48000)[number % 2]
            clean = 0.5 * next(birds)
            # The denoised side comes out of an inverse STFT, a little shorter than what went in.
            files[f"{folder}/Denoised_audios/{name}.wav"] = encoded(clean[:-20], rate)
            files[f"{folder}/Raw_audios/{name}.wav"] = encoded(clean + 0.3 * next(noises), rate)
            files[f"{folder}/Masks/{name}.png"] = files[f"{folder}/Images/{name}.png"] = b"\x89PNG"
        record[f"{folder}.zip"] = zipped(files)
    return {"BirdSoundsDenoising.zip": zipped(record)}


@cache
def open_voices() -> Files:
    """Archives of commits, each with the folder that GitHub puts around what is in it."""
    from data_modules.corpora.recipes.open_voices import _PARTS

    voices, noises = sounds("speech", 2.4), sounds("noise", 1.2)
    rooms = {f"bg/room{number}.wav": encoded(next(noises), 16000) for number in range(2)}
    paths = {
        "librispeech_train_clean_100": [
            f"audio_data/librispeech_train-clean-100/{reader}-1-0000.flac" for reader in (19, 26, 1040)
        ],
        "librispeech_test_other": ["audio_data/librispeech_test-other/1688/1688-1-0000.flac"],
        "speechocean762": [f"WAVE/SPEAKER{speaker}/{speaker}0001.WAV" for speaker in ("0001", "0002")],
        "picovoice_speech_to_intent": ["data/speech/clean/0a-1.wav", "data/speech/noisy/0a-1.wav"],
        "gcompris_voices": ["ca/words/sneaker.ogg", "gd/alphabet/U0061.ogg", "mk/words/sneaker.ogg"],
        "watson_stt_demo": ["public/audio/es-ES_Broadband_sample1.wav"],
        "vctk_autovc": ["wavs/p225/p225_003.wav", "wavs/p230/p230_003.wav"],
        "cdda_cc_sounds": [
            f"sound/CC-Sounds/{name}.ogg"
            for name in ("humming/electric", "environment/ambient/indoors", "reload/default", "reload/unknown")
        ],
        "esc10": ["002 - Rain/1-1-A.ogg", "008 - Chainsaw/1-2-A.ogg"],
        "blanket": ["data/resources/sounds/coffee-shop.ogg", "data/resources/sounds/pink-noise.ogg"],
        "speech_commands_background": ["data/_background_noise_/running_tap.wav"],
        "precise_room_noise": ["not-wake-words/noises/bg_noise-20201215-jarbas.tar.gz"],
    }  # fmt: skip
    archives: dict[str, Files] = {}
    for part in _PARTS:
        top = f"{part.repository.split('/')[1]}-{part.commit}"
        files = archives.setdefault(part.archive, {f"{top}/README.md": b"About", f"{top}/setup.py": b""})
        for path in paths[part.source]:
            sound, ending = next(voices if part.kind == "speech" else noises), path.rsplit(".", 1)[1].upper()
            files[f"{top}/{path}"] = tarred(rooms) if ending == "GZ" else encoded(sound, 16000, ending)
    return {name: tarred(files) for name, files in archives.items()}


MINIATURES: dict[str, Callable[[], Files]] = {
    "voicebank-demand": voicebank_demand,
    "demand": demand,
    "vctk": vctk,
    "musan": musan,
    "librispeech-esc50": librispeech_esc50,
    "bird-sounds-denoising": bird_sounds_denoising,
    "open-voices": open_voices,
}


def write(files: Files, folder: Path) -> Path:
    """Write files below a folder, which is made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def miniature(name: str, folder: Path) -> Recipe:
    """Write the archives of a corpus in miniature; returns its recipe with their sizes and checksums.

    Where the recipe has a size or a checksum of the same kind the miniature's own takes its place, so that checking
    is done wherever it is done for the corpus itself; it asks for no more room on the disk than it takes.
    """
    write(MINIATURES[name](), folder)
    original = recipe_of(name)

    def fitted(source: Source) -> Source:
        content = (folder / source.name).read_bytes()
        checksum = source.checksum
        if checksum is not None:
            kind = checksum.split(":")[0]
            checksum = f"{kind}:{hashlib.new(kind, content).hexdigest()}"
        return replace(source, size=None if source.size is None else len(content), checksum=checksum)

    return replace(
        original,
        sources=lambda variant: [fitted(source) for source in original.sources(variant)],
        download_bytes={},
        hours=dict.fromkeys(original.hours, 0.0),
        unpacked_bytes={},
    )


def dns_challenge(folder: Path) -> Path:
    """The folders that the challenge's scripts leave."""
    voices, noises = sounds("speech", 0.8), sounds("noise", 0.8)
    files: Files = {}
    clean = "datasets_fullband/clean_fullband"
    for reader in range(6700, 6712):
        for piece in range(2):
            name = f"book_00000_chp_0009_reader_{reader:05}_{piece}_seg_{piece}.wav"
            files[f"{clean}/read_speech/{name}"] = encoded(next(voices), 48000)
    files[f"{clean}/vctk_wav48_silence_trimmed/p225/p225_001_mic1.wav"] = encoded(next(voices), 48000)
    files[f"{clean}/emotional_speech/crema_d/1001_IEO_ANG_HI.wav"] = encoded(next(voices), 48000)
    files[f"{clean}/spanish_speech/SLR61_es_ar_female_arf_06592_00774535859.wav"] = encoded(
        next(voices), 48000
    )
    files[f"{clean}/french_speech/M-AILABS/l_ile_mysterieuse_2_06_f000145.wav"] = encoded(next(voices), 48000)
    files[f"{clean}/VocalSet_48kHz_mono/female1_arpeggios_belt_a.wav"] = encoded(next(voices), 48000)
    files["datasets_fullband/impulse_responses/SLR26/room1.wav"] = encoded(next(noises), 48000)
    files["datasets_fullband/dev_testset_fullband/noisy/a.wav"] = encoded(next(voices), 48000)
    for recording in range(412400, 412420):
        for piece in range(2):
            name = f"door_Freesound_validated_{recording}_{piece}.wav"
            files[f"datasets_fullband/noise_fullband/{name}"] = encoded(next(noises), 48000)
    for number in range(30):
        files[f"datasets_fullband/noise_fullband/wntLte49d{number:02}.wav"] = encoded(next(noises), 48000)
    return write(files, folder)
