"""Corpora that are described by lhotse manifests, and ours described by them (Zelasko et al., "Lhotse", 2021).

Import writes a manifest that points to the audio where it is; cuts become stretches of files. Export writes
recordings, supervisions and cuts for each split and kind. What lhotse calls a supervision's speaker and language is
the group and the language of a clip; the category of a noise is kept as the custom field ``category``.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_modules.corpora.manifest import Clip
from data_modules.corpora.records import Record, Records
from data_modules.errors import DataError
from data_modules.pools.sources import KINDS, SPLITS
from diffgmm.utils.files import replacing

_COLUMNS = [*(field.name for field in fields(Clip)), "start", "channel"]
_CLOSE = 1e-3  # seconds that a cut of a whole recording may differ from it


def _lhotse() -> Any:
    try:
        import lhotse
    except ImportError as error:
        raise DataError(f"lhotse is needed for its manifests: pip install lhotse ({error})") from error
    return lhotse


class _Left(Exception):
    """A cut that can't be a clip, and why."""


def import_manifests(
    sources: Mapping[tuple[str, str], Sequence[Path]], folder: Path, *, overwrite: bool = False
) -> tuple[Path, dict[str, list[str]]]:
    """Writes ``folder/manifest.csv`` with the clips that manifests of lhotse describe.

    Args:
        sources: for split and kind (``("train", "speech")``) files of cuts or recordings: ``.jsonl``, ``.jsonl.gz`` or
            what else lhotse loads. Recordings may be followed by their supervisions, each of which becomes a clip.
        folder: of the new corpus; gets nothing but the manifest.
        overwrite: replace a manifest that is there.

    Returns:
        The manifest, and the cuts left out by reason.

    Raises:
        DataError: lhotse is not installed, a file is no manifest, nothing is left, or the folder holds a corpus.
    """
    target = folder / "manifest.csv"
    if target.exists() and not overwrite:
        raise DataError(f"{target}: exists already; choose another folder or allow overwriting")
    rows: list[dict[str, Any]] = []
    left: dict[str, list[str]] = defaultdict(list)
    for (split, kind), files in sources.items():
        if split not in SPLITS or kind not in KINDS:
            raise DataError(
                f"{split}/{kind}: must be one of {', '.join(SPLITS)}, a slash, and one of {', '.join(KINDS)}"
            )
        for cut in _cuts(files):
            try:
                clip, start, channel = _clip(cut, split, kind, files)
            except _Left as reason:
                left[str(reason)].append(str(cut.id))
                continue
            rows.append(
                {**asdict(clip), "seconds": f"{clip.seconds:.9g}", "start": start, "channel": channel}
            )
    if not rows:
        raise DataError(
            f"none of the cuts can be used: {', '.join(f'{len(ids)} {why}' for why, ids in left.items())}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return target, dict(left)


def _cuts(files: Sequence[Path]) -> Iterator[Any]:
    """The cuts of a manifest, or those that recordings and supervisions make."""
    lhotse = _lhotse()
    loaded = []
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such manifest")
        try:
            loaded.append(
                lhotse.load_manifest_lazy(file) if ".jsonl" in file.name else lhotse.load_manifest(file)
            )
        except (ValueError, KeyError, TypeError, AssertionError, OSError, EOFError) as error:
            raise DataError(f"{file}: lhotse can't read it as a manifest ({error})") from error
        if loaded[-1] is None or not isinstance(
            loaded[-1], (lhotse.CutSet, lhotse.RecordingSet, lhotse.SupervisionSet)
        ):
            raise DataError(f"{file}: holds no cuts, recordings or supervisions")
    supervisions = [manifest for manifest in loaded if isinstance(manifest, lhotse.SupervisionSet)]
    recordings = [manifest for manifest in loaded if isinstance(manifest, lhotse.RecordingSet)]
    for manifest in loaded:
        if isinstance(manifest, lhotse.CutSet):
            yield from manifest
    if supervisions and not recordings:
        raise DataError(
            f"{files[0]}: supervisions need the recordings they belong to; give both, with a comma between"
        )
    for manifest in recordings:
        eager = manifest.to_eager()
        if not supervisions:
            yield from (recording.to_cut() for recording in eager)
        for segments in supervisions:
            cuts = lhotse.CutSet.from_manifests(recordings=eager, supervisions=segments.to_eager())
            yield from cuts.trim_to_supervisions(keep_overlapping=False)


def _clip(cut: Any, split: str, kind: str, files: Sequence[Path]) -> tuple[Clip, str, str]:
    """A cut as a row of the manifest: clip, start ("" for a whole file) and channel ("" for the only or all)."""
    if type(cut).__name__ not in ("MonoCut", "MultiCut") or cut.recording is None:
        raise _Left("mixed, padded or without a recording")
    recording = cut.recording
    changes = [
        transform if isinstance(transform, dict) else transform.to_dict()
        for transform in recording.transforms or ()
    ]
    if any(change.get("name") != "Resample" for change in changes):
        raise _Left("changed on the fly (speed, volume, room)")
    path, channel = _file(cut, recording, files)
    speakers = sorted({supervision.speaker for supervision in cut.supervisions if supervision.speaker})
    if len(speakers) > 1:
        raise _Left("of several speakers")
    about: dict[str, Any] = {}
    for holder in (cut, *cut.supervisions):
        about |= holder.custom or {}
    group = about.get("category") if kind == "noise" else None
    is_whole = abs(cut.start) < _CLOSE and abs(cut.duration - recording.duration) < _CLOSE
    clip = Clip(
        str(path),
        split,
        kind,
        str(group or (speakers[0] if speakers else "unknown")),
        next((supervision.language for supervision in cut.supervisions if supervision.language), ""),
        str(about.get("source") or files[0].name),
        str(about.get("licence") or ""),
        float(cut.duration),
        "",
        str(cut.id),
    )
    return clip, "" if is_whole else f"{cut.start:.9g}", channel


def _file(cut: Any, recording: Any, files: Sequence[Path]) -> tuple[Path, str]:
    """Where a cut's audio is, and which channel of the file it is."""
    wanted = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    sources = [source for source in recording.sources if set(source.channels) & set(wanted)]
    if len(sources) != 1 or not set(wanted) <= set(sources[0].channels):
        raise _Left("spread over several files")
    source = sources[0]
    if source.type != "file":
        raise _Left(f"in a source of type {source.type}, not in a file")
    places = [Path(source.source).absolute(), *((file.parent / source.source).absolute() for file in files)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise _Left("missing their audio file")
    if sorted(wanted) == sorted(source.channels):
        return path, ""
    if len(wanted) > 1:
        raise _Left("of some of several channels")
    return path, str(sorted(source.channels).index(wanted[0]))


def export_manifests(records: Records, folder: Path, *, overwrite: bool = False) -> int:
    """Writes ``recordings``, ``supervisions`` and ``cuts`` as ``NAME_SPLIT_KIND.jsonl.gz`` into a folder.

    Args:
        records: the corpus.
        folder: where to; made if need be.
        overwrite: replace files of these names.

    Returns:
        How many clips were written.

    Raises:
        DataError: lhotse is not installed, or a file is there already.
    """
    lhotse = _lhotse()
    parts = records.by_part()
    names = ("recordings", "supervisions", "cuts")
    targets = {part: [folder / f"{name}_{'_'.join(part)}.jsonl.gz" for name in names] for part in parts}
    there = [path for paths in targets.values() for path in paths if path.exists()]
    if there and not overwrite:
        raise DataError(f"{there[0]}: exists already; choose another folder or allow overwriting")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lhotse.", dir=folder) as part_folder:
        for part, clips in parts.items():
            recordings: dict[str, Any] = {}
            cuts = [
                _cut(lhotse, record, recordings)
                for record in tqdm(clips, desc=f"export {' '.join(part)}", unit="clip", disable=None)
            ]
            sets = (
                lhotse.RecordingSet.from_recordings(recordings.values()),
                lhotse.SupervisionSet.from_segments(
                    cut.supervisions[0].with_offset(cut.start)
                    for cut in cuts  # from the cut's start to the file's
                ),
                lhotse.CutSet.from_cuts(cuts),
            )
            for manifest, target in zip(sets, targets[part], strict=True):
                manifest.to_file(Path(part_folder) / target.name)
        for path in Path(part_folder).iterdir():
            path.replace(folder / path.name)
    return len(records.clips)


def _cut(lhotse: Any, record: Record, recordings: dict[str, Any]) -> Any:
    """A clip as a cut with one supervision; its recording is added to those there are."""
    item = record.item
    path = os.path.abspath(item.path)
    if path not in recordings:
        recordings[path] = lhotse.Recording.from_file(
            path, recording_id=f"{item.group}/{Path(path).stem}-{len(recordings)}"
        )
    recording = recordings[path]
    if item.channel >= 0:
        channel: int | list[int] = recording.channel_ids[item.channel]
    else:
        channel = recording.channel_ids[0] if recording.num_channels == 1 else list(recording.channel_ids)
    start = item.start
    duration = item.seconds or recording.duration - start
    about = {"licence": record.licence, "source": record.source}
    if item.kind == "noise":
        about["category"] = item.group
    known = item.kind != "noise" and item.group != "unknown"
    name = f"{item.split}-{item.kind}-{recording.id}" + ("" if item.whole else f"-{start:.6g}-{item.channel}")
    supervision = lhotse.SupervisionSegment(
        id=name,
        recording_id=recording.id,
        start=0.0,
        duration=duration,
        channel=channel,
        language=record.language or None,
        speaker=item.group if known else None,
        custom={key: value for key, value in about.items() if value} or None,
    )
    kind = lhotse.MultiCut if isinstance(channel, list) else lhotse.MonoCut
    return kind(
        id=name,
        start=start,
        duration=duration,
        channel=channel,
        recording=recording,
        supervisions=[supervision],
    )
