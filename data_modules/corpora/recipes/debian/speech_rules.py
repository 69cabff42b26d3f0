"""Rules for the speech of the packages: files, speakers, and each speaker's split.

No speaker and no language is in two splits: train hears Russian, English, Spanish, Dutch, Bulgarian, Catalan,
Romanian and Belarusian (and, in the full variant, single words of other languages); valid hears Italian and
Greek, test French and Czech.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LANGUAGES_HELD_OUT = frozenset({"it", "el", "fr", "cs"})


@dataclass(frozen=True)
class Speaker:
    """Name of the group, language code (ISO 639-1 where there is one) and split."""

    name: str
    language: str
    split: str


# Package -> pattern of the whole path, and the speaker. Asterisk's tones, its `silence` and its monkeys (the same
# recording in every language) are no speech.
_ASTERISK = (
    r"usr/share/asterisk/sounds/[a-z]{{2}}_[A-Z]{{2}}_[fm]_{name}/"
    r"(?!silence/)(?!.*(?:beep|tone|confbridge-(?:join|leave)|tt-monkeys\.)).*\.g722"
)
_WHOLE_PACKAGE: dict[str, tuple[str, Speaker]] = {
    "festvox-ru": (r"usr/share/festival/voices/russian/.*\.wav", Speaker("nsh_male", "ru", "train")),
    "asterisk-core-sounds-en-g722": (_ASTERISK.format(name="Allison"), Speaker("allison", "en", "train")),
    "asterisk-core-sounds-es-g722": (_ASTERISK.format(name="Allison"), Speaker("allison", "es", "train")),
    "asterisk-core-sounds-ru-g722": (_ASTERISK.format(name=r"\w+"), Speaker("ivrvoice", "ru", "train")),
    "asterisk-core-sounds-it-g722": (_ASTERISK.format(name="Carlo"), Speaker("carlo", "it", "valid")),
    "asterisk-core-sounds-fr-g722": (_ASTERISK.format(name="June"), Speaker("june", "fr", "test")),
}
# Tux Paint's spoken descriptions: Spanish is clipped, French would cross a split, the rest is thin.
_TUXPAINT_SPLITS = {"bg": "train", "ca": "train", "ro": "train", "ru": "train", "be": "train", "el": "valid"}
# Clipped or noisy, but for KTuberling's `nn`, which is a synthetic voice.
_KLETTRES_REJECTED = frozenset({"tn", "hu", "ml", "nds"})
_KTUBERLING_REJECTED = frozenset({"nn", "de", "en", "gl", "nl", "ru", "sl"})
_FILLETS_LANGUAGES = {"fillets-ng-data-nl": ("nl", "train"), "fillets-ng-data-cs": ("cs", "test")}
_FILLETS_ROLES = {"m": "small_fish", "v": "big_fish"}


def _fillets(package: str, member: str) -> Speaker | None:
    language, split = _FILLETS_LANGUAGES[package]
    match = re.fullmatch(rf"usr/share/games/fillets-ng/sound/[^/]+/{language}/([^/]+)\.ogg", member)
    if match is None:
        return None
    roles = [part for part in match.group(1).split("-") if part in _FILLETS_ROLES]
    if len(roles) != 1:  # other characters, or a name that does not say who speaks
        return None
    return Speaker(f"{_FILLETS_ROLES[roles[0]]}_{language}", language, split)


def _tuxpaint(member: str) -> Speaker | None:
    match = re.fullmatch(r"usr/share/tuxpaint/stamps/.*_desc_([a-z]{2})\.ogg", member)
    if match is None or match.group(1) not in _TUXPAINT_SPLITS:
        return None
    language = match.group(1)
    return Speaker(f"tuxpaint_{language}", language, _TUXPAINT_SPLITS[language])


def _kde_words(member: str, folder: str, rejected: frozenset[str]) -> Speaker | None:
    match = re.fullmatch(rf"usr/share/{folder}/([a-z]{{2,3}})(?:[_@]\w+)?/.*\.(?:ogg|wav)", member)
    if match is None or match.group(1) in rejected or match.group(1) in LANGUAGES_HELD_OUT:
        return None
    return Speaker(f"{folder.split('/')[0]}_{match.group(1)}", match.group(1), "train")


def speaker_of(package: str, member: str) -> Speaker | None:
    """Who speaks in this file of this package; None when it is no speech or speech that the corpus refuses.

    >>> speaker_of("fillets-ng-data-nl", "usr/share/games/fillets-ng/sound/cave/nl/jes-v-tojo.ogg")
    Speaker(name='big_fish_nl', language='nl', split='train')
    """
    if package in _WHOLE_PACKAGE:
        pattern, speaker = _WHOLE_PACKAGE[package]
        return speaker if re.fullmatch(pattern, member) else None
    if package in _FILLETS_LANGUAGES:
        return _fillets(package, member)
    if package == "tuxpaint-stamps-default":
        return _tuxpaint(member)
    if package == "klettres-data":
        return _kde_words(member, "klettres", _KLETTRES_REJECTED)
    if package == "ktuberling-data":
        return _kde_words(member, "ktuberling/sounds", _KTUBERLING_REJECTED)
    return None
