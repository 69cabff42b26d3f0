"""Report of ``diffgmm data``: assembled, drawn and written."""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from data_modules.augment import Augmentation
    from data_modules.corpora.records import Record, Records
    from data_modules.inspect.measure import Measured
    from data_modules.inspect.mixtures import Drawn
    from data_modules.mixing.mixer import Mixture
    from data_modules.mixing.options import Mixing

REPORT = "report.json"  # also the mark of a folder that this verb may replace
_COLUMNS = 6  # of the contact sheet
_SECONDS = 3.0
_WINDOWS = 400


@dataclass(frozen=True)
class Settings:
    """What is looked at, and how training would mix it."""

    name: str
    root: str
    records: Records
    mixing: Mixing
    augmentations: Sequence[Augmentation]
    sample_rate: int
    window: int


def survey(
    settings: Settings,
    measured: dict[Record, Measured],
    leaks: list[dict[str, Any]] | None,
    compared: int,
) -> dict[str, Any]:
    """Everything but the mixtures, as plain data."""
    from data_modules.inspect import survey as facts

    records = settings.records
    report = facts.overview(settings.name, records)
    report["levels"] = facts.levels(records.by_part(), measured)
    report["grades"] = facts.grades(records, measured)
    report["leaks"], report["compared"] = leaks, compared
    return report


def mixtures(settings: Settings, count: int, seed: int) -> tuple[dict[str, Any] | None, Drawn | None]:
    """Mixtures as training would make them, and how far the voices stand above the noise in them."""
    from data_modules.inspect import survey as facts
    from data_modules.inspect.mixtures import draw

    drawn = draw(
        settings.records.by_part(),
        mixing=settings.mixing,
        augmentations=settings.augmentations,
        sample_rate=settings.sample_rate,
        window=settings.window,
        windows=_WINDOWS,
        examples=count,
        seconds=4.0,
        seed=seed,
    )
    if drawn is None:
        return None, None
    snr = facts.distribution(drawn.snrs, facts.SNR_BINS)
    return {"split": drawn.split, "windows": len(drawn.snrs), "snr": snr}, drawn


def as_text(report: dict[str, Any], root: str) -> str:
    """The tables, and what the leak check found."""
    from data_modules.inspect import text

    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    shown = text.render(report, bars=encoding.lower().replace("-", "").startswith("utf"))
    if report["leaks"] is None:
        return f"{shown}\n\nleaks between splits: not looked for; --check does"
    return f"{shown}\n\n{text.leak_lines(report['leaks'], report['compared'], root)}"


def replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or was written by this verb."""
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / REPORT).is_file())


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report; the file appears whole or not at all."""
    from diffgmm.utils.files import replacing

    with replacing(path) as part:
        part.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write(folder: Path, settings: Settings, report: dict[str, Any], drawn: Drawn | None, text: str) -> None:
    """Write tables, pictures and mixtures; the folder appears whole or not at all, in place of an older one."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        part.chmod(0o755)
        (part / "summary.txt").write_text(text + "\n", encoding="utf-8")
        write_json(part / REPORT, report)
        _leaks_csv(part / "leaks.csv", report["leaks"])
        _histograms(part / "histograms.png", report)
        _contact_sheet(part / "contact_sheet.png", settings, drawn)
        if drawn is not None and drawn.examples:
            _write_mixtures(part / "mixtures", drawn)
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _leaks_csv(path: Path, leaks: list[dict[str, Any]] | None) -> None:
    if leaks:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(leaks[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(leaks)


def _histograms(path: Path, report: dict[str, Any]) -> None:
    from diffgmm.audio.contact_sheet import Histogram, histograms

    def of(counts: dict[str, Any]) -> Histogram:
        return Histogram(counts["from"], counts["step"], counts["histogram"])

    panels: dict[str, dict[str, Histogram]] = {}
    for row in report["levels"]:
        panels.setdefault(f"active level of {row['kind']}, dBFS", {})[row["split"]] = of(row["level"])
        if "snr" in row:
            panels.setdefault(f"{row['kind']} above its own noise, dB", {})[row["split"]] = of(row["snr"])
    if report["mixtures"]:
        panels["SNR of mixtures, dB"] = {report["mixtures"]["split"]: of(report["mixtures"]["snr"])}
    histograms(panels, path, title=Path(report["corpus"]).name)


def _contact_sheet(path: Path, settings: Settings, drawn: Drawn | None) -> None:
    from data_modules.corpora.records import sample
    from data_modules.pools.build import read_item
    from diffgmm.audio import AudioError
    from diffgmm.audio.contact_sheet import Row, contact_sheet

    rows = []
    for (split, kind), clips in settings.records.by_part().items():
        shown: list[tuple[str, np.ndarray]] = []
        # More than needed, for some may be unreadable; a word or a click makes a poor picture.
        for record in sorted(sample(clips, 8 * _COLUMNS), key=lambda record: record.seconds < 1.0):
            if len(shown) < _COLUMNS:
                try:
                    x = read_item(record.item, settings.sample_rate)[0]
                except AudioError:
                    continue  # counted and named in the report
                shown.append((f"{record.item.group}, {record.seconds:.1f} s", x))
        groups = len({clip.item.group for clip in clips})
        one_of, more = ("category", "categories") if kind == "noise" else ("speaker", "speakers")
        what = one_of if groups == 1 else more
        minutes = sum(clip.seconds for clip in clips) / 60.0
        rows.append(Row(f"{split}\n{kind}", f"{groups} {what}\n{len(clips)} clips\n{minutes:.1f} min", shown))
    if drawn is not None and drawn.examples:
        mixed = [
            (", ".join(text for text in (_snr_text(record), speaker) if text), record.noisy)
            for record, speaker in zip(drawn.examples, drawn.speakers, strict=True)
        ][:_COLUMNS]
        rows.append(Row(f"{drawn.split}\nmixtures", "as in training", mixed))
    contact_sheet(rows, settings.sample_rate, path, title=Path(settings.name).name, seconds=_SECONDS)


def _snr_text(mixture: Mixture) -> str:
    if math.isfinite(mixture.snr):
        return f"{round(mixture.snr):+d} dB"
    return "speech alone" if mixture.clean.any() else "noise alone"


def _write_mixtures(folder: Path, drawn: Drawn) -> None:
    from diffgmm import audio

    rows = []
    for number, (mixture, speaker) in enumerate(zip(drawn.examples, drawn.speakers, strict=True)):
        name = f"{number:03d}.wav"
        for side in ("noisy", "clean"):
            (folder / side).mkdir(parents=True, exist_ok=True)
            signal = np.asarray(getattr(mixture, side), np.float32)[None]
            audio.write(folder / side / name, signal, drawn.sample_rate, subtype="PCM_24")
        rows.append((name, speaker, "" if math.isnan(mixture.snr) else f"{mixture.snr:.2f}"))
    with (folder / "mixtures.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([("name", "speaker", "snr"), *rows])
