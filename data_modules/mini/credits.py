"""The text of CREDITS.md: who made each sound, under which licence, and what was changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from data_modules.corpora.manifest import Clip

__all__ = ["credits_text"]

_BY_SA = "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)"
_BY = "[CC BY 3.0](https://creativecommons.org/licenses/by/3.0/)"
_FESTLANG = "https://sourceforge.net/projects/festlang.berlios"


@dataclass(frozen=True)
class _Source:
    author: str
    licence: str
    about: str


_SOURCES: dict[str, _Source] = {
    "festvox-ru": _Source(
        "Nickolay V. Shmyrev, copyright (c) 2005 (voice `msu_ru_nsh_clunits`)",
        f"BSD-like, in full below; [project page]({_FESTLANG})",
        "speaker `nsh_male`: one man, Russian sentences",
    ),
    "asterisk-core-sounds-en-g722": _Source(
        "Allison Smith (theivrvoice.com), copyright 2003-2010; financed by Digium, Inc.",
        _BY_SA,
        "speaker `allison`: one woman, English prompts",
    ),
    "asterisk-core-sounds-ru-g722": _Source(
        "Maxim Topal (ivrvoice.ru), copyright 2010", _BY, "speaker `ivrvoice`: one woman, Russian prompts"
    ),
    "asterisk-core-sounds-it-g722": _Source(
        "Carlo Flora (carloflora.com, segreterietelefoniche.it), copyright 2012; "
        "text translated by Silvia Petrin",
        _BY,
        "speaker `carlo`: one man, Italian prompts",
    ),
    "asterisk-core-sounds-fr-g722": _Source(
        "June Wallack (junewallack.com), copyright 2006-2008; translated by Clod Patry, Kristopher Lalletti "
        "and June Wallack; financed by Digium, Inc., Unlimitel and BGM Informatique",
        _BY_SA,
        "speaker `june`: one woman, French prompts",
    ),
    "0ad-data": _Source(
        "Wildfire Games (https://www.wildfiregames.com/), copyright (c) 2009",
        _BY_SA,
        "sounds of the game 0 A.D.",
    ),
    "openttd-opensfx": _Source(
        "the OpenSFX authors; each clip's own credit line stands in the list below",
        f"{_BY_SA} for the collection; single sounds are CC0, CC BY 3.0 or CC BY-SA 3.0 as their lines say",
        "sounds of OpenTTD's free sound set",
    ),
}

_FESTVOX_TEXT = """\
> Nickolay V. Shmyrev, Copyright (c) 2005. All Rights Reserved.
>
> Permission is hereby granted, free of charge, to use and distribute this software and its
> documentation without restriction, including without limitation the rights to use, copy, modify,
> merge, publish, distribute, sublicense, and/or sell copies of this work, and to permit persons to whom
> this work is furnished to do so, subject to the following conditions:
>
> 1. The code must retain the above copyright notice, this list of conditions and the following
>    disclaimer.
> 2. Any modifications must be clearly marked as such.
> 3. Original authors' names are not deleted.
> 4. The authors' names are not used to endorse or promote products derived from this software without
>    specific prior written permission.
>
> THE AUTHOR AND THE CONTRIBUTORS TO THIS WORK DISCLAIM ALL WARRANTIES WITH REGARD TO THIS SOFTWARE,
> INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS, IN NO EVENT SHALL THE UNIVERSITY OF
> EDINBURGH NOR THE CONTRIBUTORS BE LIABLE FOR ANY SPECIAL, INDIRECT OR CONSEQUENTIAL DAMAGES OR ANY
> DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT,
> NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
> THIS SOFTWARE.
"""

_HEAD = """\
# Credits of the mini corpus

These recordings are not covered by the project's MIT licence: each source keeps its own, named below.
`manifest.csv` says for every file which package and file it comes from.

**All files are modified.** Common to all: decoded, mixed down to one channel, offset removed, resampled
to 16 kHz, re-encoded as 16-bit FLAC, and lowered where the peak would clip. Noise is trimmed at its ends,
and long noise is cut to a piece of a few seconds. Speech is whole utterances. Share-alike sources: these
modified versions are offered under the same licence as the originals.
"""


def credits_text(clips: Iterable[Clip]) -> str:
    """Markdown that names every source of the clips: author, package and version, licence, changes, files.

    Raises:
        KeyError: a clip comes from a package whose author and licence are not on record here.
    """
    by_source: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_source[clip.source].append(clip)
    parts = [_HEAD]
    for source, members in sorted(by_source.items()):
        known = _SOURCES[source.split(" ")[0]]
        seconds = sum(clip.seconds for clip in members)
        parts.append(
            f"## {source}\n\n"
            f"- What: {known.about}; {len(members)} files, {seconds:.0f} s, Debian package `{source}`\n"
            f"- Author: {known.author}\n"
            f"- Licence: {known.licence}\n"
            "- Changes: as above\n"
        )
        if source.startswith("festvox-ru"):
            parts.append(_FESTVOX_TEXT)
        if source.startswith("openttd-opensfx"):
            lines = [
                f"- `{c.path}`: {c.member.partition(' ')[2]}" for c in sorted(members, key=lambda c: c.path)
            ]
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)
