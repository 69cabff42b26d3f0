"""Metadata carried over to the denoised file: tags, cover, chunks of broadcast WAV, places of channels."""

from __future__ import annotations

import base64
import mmap
import os
import struct
from pathlib import Path
from typing import Any

import soundfile

from diffgmm.audio.reader import AudioInfo
from diffgmm.audio.streams import chunks

_CHUNKED = {"WAV": "RIFF", "WAVEX": "RIFF", "RF64": "RIFF", "AIFF": "FORM", "CAF": "caff"}
# What describes the samples as they were coded, and is written anew or would be wrong.
_OF_THE_SAMPLES = frozenset(
    (b"fmt ", b"data", b"fact", b"PEAK", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"levl", b"COMM", b"SSND",
     b"FVER", b"desc", b"pakt", b"kuki", b"chan", b"free", b"peak", b"slnt")
)  # fmt: skip
_LARGEST_CHUNK = 1 << 26
_STRINGS = (
    "title",
    "artist",
    "album",
    "date",
    "genre",
    "tracknumber",
    "comment",
    "copyright",
)  # libsndfile's
_OF_THE_ENCODER = frozenset(("encoder", "encoded-by", "encodedby", "waveformatextensible_channel_mask"))
_GET_CHANNELS, _SET_CHANNELS = 0x1100, 0x1101  # libsndfile's SFC_GET_CHANNEL_MAP_INFO and SFC_SET_...


def copy_channels(source: Path, sound: soundfile.SoundFile) -> None:
    """Give a file that is being written the places of the source's channels (5.1 with side or back speakers)."""
    if sound.channels < 3:
        return
    library, places = soundfile._snd, soundfile._ffi.new("int[]", sound.channels)
    size = soundfile._ffi.sizeof(places)
    try:
        with soundfile.SoundFile(os.fsencode(source)) as original:
            known = library.sf_command(original._file, _GET_CHANNELS, places, size)
    except soundfile.SoundFileError:
        return
    if known:
        library.sf_command(sound._file, _SET_CHANNELS, places, size)


def strings(like: AudioInfo, form: str) -> dict[str, str]:
    """Texts that libsndfile writes into a new WAV, AIFF or CAF file that comes from another kind of file."""
    if form not in _CHUNKED or _CHUNKED.get(like.format) == _CHUNKED[form]:
        return {}
    return {name: "; ".join(value) for name, value in _texts(like).items() if name in _STRINGS}


def _texts(like: AudioInfo) -> dict[str, list[str]]:
    import mutagen

    try:
        easy = mutagen.File(like.path, easy=True)
    except mutagen.MutagenError:
        return {}
    if easy is not None and easy.tags is not None and like.format not in _CHUNKED:
        return {
            name.lower(): [str(entry) for entry in (value if isinstance(value, list) else [value])]
            for name, value in easy.tags.items()
            if name.lower() not in _OF_THE_ENCODER and name.lower() != "metadata_block_picture"
        }
    try:
        with soundfile.SoundFile(os.fsencode(like.path)) as original:
            metadata = original.copy_metadata()
    except soundfile.SoundFileError:
        return {}
    return {name: [value] for name, value in metadata.items() if name in _STRINGS and value}


def carry(like: AudioInfo, target: Path, form: str, subtype: str) -> list[str]:
    """Write into ``target``, which is complete otherwise, what ``like.path`` tells about itself.

    Args:
        like: where the sound came from.
        target: the new file; its name may end in anything.
        form, subtype: of the new file.

    Returns:
        What could not be kept, in words.

    Raises:
        OSError: the file can't be written.
    """
    import mutagen

    if like.format in _CHUNKED and _CHUNKED[like.format] == _CHUNKED.get(form):
        return _copy_chunks(like, target)
    try:
        if like.format == form == "MP3":
            _copy_id3(like.path, target)
            return []
        if like.format == form == "FLAC":
            _copy_flac(like.path, target)
            return []
        return _translate(like, target, form, subtype)
    except mutagen.MutagenError as error:
        return [f"tags ({error})"]


def _copy_chunks(like: AudioInfo, target: Path) -> list[str]:
    """Append the source's other chunks to a file of the same kind, as they are."""
    extra, lost = b"", []
    with like.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        big = view[:4] in (b"FORM", b"RIFX")
        caf = view[:4] == b"caff"
        for chunk in chunks(view):
            if like.note and chunk.name in (b"data", b"SSND"):
                break  # what follows is not where the header says
            inside = 0 <= chunk.size <= len(view) - chunk.start
            if chunk.name in _OF_THE_SAMPLES or not inside:
                continue
            if chunk.size > _LARGEST_CHUNK:
                lost.append(f"chunk {chunk.name.decode('latin-1')!r} of {chunk.size} bytes")
                continue
            size = struct.pack(">q" if caf else ">I" if big else "<I", chunk.size)
            body = bytes(view[chunk.start : chunk.start + chunk.size])
            extra += chunk.name + size + body + bytes(0 if caf else chunk.size % 2)
    if extra:
        lost += _append(target, extra)
    return lost


def _append(target: Path, extra: bytes) -> list[str]:
    with target.open("r+b") as file:
        magic = file.read(4)
        end = file.seek(0, os.SEEK_END)
        extra = bytes(0 if magic == b"caff" else end % 2) + extra
        if magic == b"RF64":
            file.seek(20)
            file.write(struct.pack("<Q", end + len(extra) - 8))
        elif magic != b"caff":
            if end + len(extra) >= 1 << 32:
                return ["chunks with metadata (no room below 4 GiB)"]
            file.seek(4)
            file.write(struct.pack("<I" if magic == b"RIFF" else ">I", end + len(extra) - 8))
        file.seek(end)
        file.write(extra)
    return []


def _copy_id3(source: Path, target: Path) -> None:
    from mutagen.apev2 import APENoHeaderError, APEv2
    from mutagen.id3 import ID3, ID3NoHeaderError

    try:
        tags = ID3(source)
    except ID3NoHeaderError:
        tags = None
    if tags:
        for name in ("TSSE", "TLEN", "TENC"):  # of the encoder that wrote the source
            tags.delall(name)
        version = 3 if tags.version < (2, 4, 0) else 4
        if version == 3:
            tags.update_to_v23()
        tags.save(target, v2_version=version)
    try:
        APEv2(source).save(target)
    except APENoHeaderError:
        return


def _copy_flac(source: Path, target: Path) -> None:
    from mutagen.flac import FLAC, Padding, SeekTable, StreamInfo, VCFLACDict

    old: Any = FLAC(source)
    new: Any = FLAC(target)
    made_anew = (StreamInfo, SeekTable, Padding, VCFLACDict)
    copied = [block for block in old.metadata_blocks if not isinstance(block, made_anew)]
    new.metadata_blocks.extend(copied)
    kept = [(name, value) for name, value in old.tags or () if name.lower() not in _OF_THE_ENCODER - _MASK]
    if kept and new.tags is None:
        new.add_tags()
    for name, value in kept:
        new.tags.append((name, value))
    if kept or copied:
        new.save()


_MASK = frozenset(("waveformatextensible_channel_mask",))


def _pictures(like: AudioInfo) -> list[Any]:
    """Covers of any kind of file as FLAC's picture blocks."""
    import mutagen
    from mutagen.flac import Picture, error

    source = mutagen.File(like.path)
    if source is None or source.tags is None:
        return []
    pictures = list(getattr(source, "pictures", []))
    for coded in source.tags.get("metadata_block_picture", []) if not pictures else []:
        try:
            pictures.append(Picture(base64.b64decode(coded)))
        except (ValueError, error):
            continue  # damaged: there is nothing to keep
    for frame in source.tags.getall("APIC") if hasattr(source.tags, "getall") else []:
        picture = Picture()
        picture.type, picture.mime, picture.desc, picture.data = (
            frame.type,
            frame.mime,
            frame.desc,
            frame.data,
        )
        pictures.append(picture)
    for cover in source.tags.get("covr", []):
        picture = Picture()
        picture.type, picture.data = 3, bytes(cover)
        picture.mime = "image/png" if picture.data.startswith(b"\x89PNG") else "image/jpeg"
        pictures.append(picture)
    return pictures


def _translate(like: AudioInfo, target: Path, form: str, subtype: str) -> list[str]:
    """Texts and covers from one kind of file to another."""
    texts, pictures = _texts(like), _pictures(like)
    lost = []
    if form in _CHUNKED:
        if other := sorted(set(texts) - set(_STRINGS)):
            lost.append(f"tags {', '.join(other)}")
        texts = {}
    elif form not in ("MP3", "FLAC", "OGG"):
        lost += ["tags"] if texts else []
        texts = {}
    if form in ("MP3", "FLAC", "OGG") and (texts or pictures):
        lost += _write_tags(target, form, subtype, texts, pictures)
    elif pictures:
        lost.append("cover")
    return lost


def _write_tags(
    target: Path, form: str, subtype: str, texts: dict[str, list[str]], pictures: list[Any]
) -> list[str]:
    from mutagen.easyid3 import EasyID3KeyError
    from mutagen.flac import FLAC
    from mutagen.id3 import APIC, COMM, ID3
    from mutagen.mp3 import EasyMP3
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis

    kinds: dict[str, Any] = {"MP3": EasyMP3, "FLAC": FLAC}
    file = kinds.get(form, OggOpus if subtype == "OPUS" else OggVorbis)(target)
    if file.tags is None:
        file.add_tags()
    lost = []
    for name, value in texts.items():
        try:
            file[name] = value
        except (EasyID3KeyError, ValueError, KeyError):
            if name != "comment":
                lost.append(name)
    if form == "FLAC":
        for picture in pictures:
            file.add_picture(picture)
    elif form == "OGG" and pictures:
        file["metadata_block_picture"] = [
            base64.b64encode(picture.write()).decode("ascii") for picture in pictures
        ]
    file.save()
    if form == "MP3" and (pictures or "comment" in texts):
        tags = ID3(target)
        for one in pictures:
            tags.add(APIC(encoding=3, mime=one.mime, type=one.type, desc=one.desc, data=one.data))
        if "comment" in texts:
            tags.add(COMM(encoding=3, lang="XXX", desc="", text=texts["comment"]))
        tags.save(target)
    return [f"tags {', '.join(sorted(lost))}"] if lost else []
