"""Metadata carried over to the denoised file: tags, cover, chunks of broadcast WAV, places of channels."""

from __future__ import annotations

import base64
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import soundfile

from diffgmm.audio.reader import AudioInfo
from diffgmm.audio.streams import Chunk, chunks

_CHUNKED = {"WAV": "RIFF", "WAVEX": "RIFF", "RF64": "RIFF", "AIFF": "FORM", "CAF": "caff"}
# What describes the samples as they were coded, and is written anew or would be wrong.
_OF_THE_SAMPLES = frozenset(
    (b"fmt ", b"data", b"fact", b"PEAK", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"levl", b"COMM", b"SSND",
     b"FVER", b"desc", b"pakt", b"kuki", b"chan", b"free", b"peak", b"slnt")
)  # fmt: skip
_OF_ANOTHER_FILE = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff")  # joined to this one
_STUDIO = {b"bext": "broadcast time and description (BWF)", b"iXML": "iXML", b"cue ": "cue points"}
_LARGEST_CHUNK = 1 << 26
#: What libsndfile writes by itself.
_STRINGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright")
_MASK = "waveformatextensible_channel_mask"
_OF_THE_ENCODER = frozenset(("encoder", "encoded-by", "encodedby", _MASK))
_PLACES = {
    0x1: 2, 0x2: 3, 0x4: 4, 0x8: 11, 0x10: 9, 0x20: 10, 0x40: 12, 0x80: 13, 0x100: 8, 0x200: 14, 0x400: 15,
}  # fmt: skip
"""Bit of a channel mask -> libsndfile's SF_CHANNEL_MAP of that speaker, in the order of the channels."""
_PLAIN = {5: 2, 6: 3, 7: 4}  # front left, front right and front centre, which WAV files have as left, ...
_FLAC_MASKS = {3: 0x7, 4: 0x33, 5: 0x607, 6: 0x60F, 7: 0x70F, 8: 0x63F}
"""Number of channels -> the speakers that players take for them, of a FLAC file without a mask (RFC 9639, 9.1.3)."""
_GET_CHANNELS, _SET_CHANNELS = 0x1100, 0x1101  # libsndfile's SFC_GET_CHANNEL_MAP_INFO and SFC_SET_...


def copy_channels(source: Path, sound: soundfile.SoundFile) -> None:
    """Give a file that is being written the places of the source's channels (5.1 with side or back speakers)."""
    if sound.channels < 3:
        return
    if speakers := _places(source, sound.channels):
        places = soundfile._ffi.new("int[]", speakers)
        soundfile._snd.sf_command(sound._file, _SET_CHANNELS, places, soundfile._ffi.sizeof(places))


def _places(source: Path, channels: int) -> list[int]:
    """The speaker of each channel, as libsndfile numbers them; nothing if the file doesn't state them.

    FLAC has a tag for them, which libsndfile doesn't read, or means the usual ones.
    """
    import mutagen
    from mutagen.flac import FLAC

    try:
        with soundfile.SoundFile(os.fsencode(source)) as original:
            if original.format == "FLAC":
                tags: Any = FLAC(source).tags
                tagged = tags.get(_MASK, []) if tags else []
                mask = int(tagged[0], 16) if tagged else _FLAC_MASKS.get(channels, 0)
                named = [place for bit, place in _PLACES.items() if mask & bit]
                return named if len(named) == channels else []
            places = soundfile._ffi.new("int[]", channels)
            size = soundfile._ffi.sizeof(places)
            known = soundfile._snd.sf_command(original._file, _GET_CHANNELS, places, size)
            return list(places) if known else []
    except (soundfile.SoundFileError, mutagen.MutagenError, ValueError):
        return []


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


def carry(like: AudioInfo, target: Path, form: str) -> list[str]:
    """Write into ``target``, which is complete otherwise, the metadata of ``like.path``.

    Args:
        like: where the sound came from.
        target: the new file; its name may end in anything.
        form: of the new file.

    Returns:
        What could not be kept, in words.

    Raises:
        OSError: the file can't be written.
    """
    import mutagen

    if like.format in _CHUNKED and _CHUNKED[like.format] == _CHUNKED.get(form):
        return _copy_chunks(like, target)
    try:
        if like.format == form and form in ("MP3", "FLAC"):
            (_copy_id3 if form == "MP3" else _copy_flac)(like.path, target)
            return []
        lost = _translate(like, target, form)
        if form == "FLAC" and like.channels > 2:
            _tag_mask(like, target)
        return lost
    except mutagen.MutagenError as error:
        return [f"tags ({error})"]


def _own_chunks(like: AudioInfo, view: mmap.mmap) -> Iterator[Chunk]:
    """The chunks of one file, as far as they are where the header says."""
    for chunk in chunks(view):
        if chunk.name in _OF_ANOTHER_FILE or (like.note and chunk.name in (b"data", b"SSND")):
            return
        yield chunk


def _copy_chunks(like: AudioInfo, target: Path) -> list[str]:
    """Append the source's other chunks to a file of the same kind, as they are."""
    extra, lost = b"", []
    with like.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        order = {b"FORM": ">I", b"RIFX": ">I", b"caff": ">q"}.get(view[:4], "<I")
        for chunk in _own_chunks(like, view):
            if chunk.name in _OF_THE_SAMPLES or not 0 <= chunk.size <= len(view) - chunk.start:
                continue
            if chunk.size > _LARGEST_CHUNK:
                lost.append(f"chunk {chunk.name.decode('latin-1')!r} of {chunk.size} bytes")
                continue
            body = view[chunk.start : chunk.start + chunk.size]
            padding = bytes(0 if order == ">q" else chunk.size % 2)
            extra += chunk.name + struct.pack(order, chunk.size) + body + padding
    return lost + (_append(target, extra) if extra else [])


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

    with suppress(ID3NoHeaderError):
        tags = ID3(source)
        for name in ("TSSE", "TLEN", "TENC"):  # of the encoder that wrote the source
            tags.delall(name)
        version = 3 if tags.version < (2, 4, 0) else 4
        if version == 3:
            tags.update_to_v23()
        tags.save(target, v2_version=version)
    with suppress(APENoHeaderError):
        APEv2(source).save(target)


def _copy_flac(source: Path, target: Path) -> None:
    from mutagen.flac import FLAC, Padding, SeekTable, StreamInfo, VCFLACDict

    old: Any = FLAC(source)
    new: Any = FLAC(target)
    made_anew = (StreamInfo, SeekTable, Padding, VCFLACDict)
    copied = [block for block in old.metadata_blocks if not isinstance(block, made_anew)]
    new.metadata_blocks.extend(copied)
    kept = [(name, value) for name, value in old.tags or () if name.lower() not in _OF_THE_ENCODER - {_MASK}]
    if kept and new.tags is None:
        new.add_tags()
    if kept:
        new.tags.extend(kept)
    if kept or copied:
        new.save()


def _tag_mask(like: AudioInfo, target: Path) -> None:
    """Write down the speakers of a FLAC file where they aren't the usual ones (RFC 9639, 8.6.2)."""
    from mutagen.flac import FLAC

    places = [_PLAIN.get(place, place) for place in _places(like.path, like.channels)]
    # FLAC's channels are in the order of the mask's bits.
    ordered = places == [place for place in _PLACES.values() if place in places]
    mask = sum(bit for bit, place in _PLACES.items() if place in places) if ordered else 0
    if mask not in (0, _FLAC_MASKS.get(like.channels)):
        file: Any = FLAC(target)
        file[_MASK.upper()] = f"0x{mask:04X}"
        file.save()


def _picture(data: bytes, mime: str, kind: int = 3, description: str = "") -> Any:
    from mutagen.flac import Picture

    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = data, mime, kind, description
    return picture


def _pictures(like: AudioInfo) -> list[Any]:
    """Covers of any kind of file as FLAC's picture blocks."""
    import mutagen
    from mutagen.flac import Picture, error

    source = mutagen.File(like.path)
    if source is None or source.tags is None:
        return []
    pictures = list(getattr(source, "pictures", []))
    for coded in source.tags.get("metadata_block_picture", []) if not pictures else []:
        with suppress(ValueError, error):  # damaged: there is nothing to keep
            pictures.append(Picture(base64.b64decode(coded)))
    frames = source.tags.getall("APIC") if hasattr(source.tags, "getall") else []
    pictures += [_picture(frame.data, frame.mime, frame.type, frame.desc) for frame in frames]
    return pictures + [
        _picture(cover, "image/png" if cover.startswith(b"\x89PNG") else "image/jpeg")
        for cover in map(bytes, source.tags.get("covr", []))
    ]


def _translate(like: AudioInfo, target: Path, form: str) -> list[str]:
    """Texts and covers from one kind of file to another."""
    texts, pictures, lost = _texts(like), _pictures(like), _studio(like)
    if form in ("MP3", "FLAC", "OGG"):
        return lost + (_write_tags(target, form, texts, pictures) if texts or pictures else [])
    lost += ["cover"] if pictures else []
    if form not in _CHUNKED:
        return ["tags", *lost] if texts else lost
    other = sorted(set(texts) - set(_STRINGS))  # these are written by libsndfile
    return [f"tags {', '.join(other)}", *lost] if other else lost


def _studio(like: AudioInfo) -> list[str]:
    """What recorders and editors note in chunks that other kinds of file have no place for."""
    if like.format not in _CHUNKED:
        return []
    with like.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        names = {chunk.name for chunk in _own_chunks(like, view)}
    return [words for name, words in _STUDIO.items() if name in names]


def _write_tags(target: Path, form: str, texts: dict[str, list[str]], pictures: list[Any]) -> list[str]:
    import mutagen
    from mutagen.easyid3 import EasyID3KeyError
    from mutagen.id3 import APIC, COMM, ID3
    from mutagen.mp3 import EasyMP3

    file: Any = EasyMP3(target) if form == "MP3" else mutagen.File(target)
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
        coded = [base64.b64encode(image.write()).decode("ascii") for image in pictures]
        file["metadata_block_picture"] = coded
    file.save()
    if form == "MP3" and (pictures or "comment" in texts):
        tags = ID3(target)
        for image in pictures:
            tags.add(APIC(encoding=3, mime=image.mime, type=image.type, desc=image.desc, data=image.data))
        if "comment" in texts:
            tags.add(COMM(encoding=3, lang="XXX", desc="", text=texts["comment"]))
        tags.save(target)
    return [f"tags {', '.join(sorted(lost))}"] if lost else []
