"""What the files mean in the packages that only the larger variants take: all of it is for training."""

from __future__ import annotations

import re

from data_modules.corpora.debian.noise_tables_train import Rules

__all__ = ["EXTENDED_RULES", "extended_voice"]

Voice = tuple[str, str]

# Robot is a vocoder's voice, Singer sings; the names that start like these are shouts, not words.
_HEDGEWARS = re.compile(
    r"usr/share/games/hedgewars/Data/Sounds/voices/(?!Robot|Singer)(\w+)/(?!Ooff|Ow|Laugh|Nooo|Gasp|Hmm)\w+\.ogg"
)
_HEDGEWARS_LANGUAGES = frozenset({"es", "pl", "ru", "uk"})
# Kajongg's other voices stand less than 28 dB above their room.
_KAJONGG = re.compile(r"usr/share/kajongg/voices/(?:(de)/)?(female1|male2)/\w+\.ogg")
_POCKETSPHINX = re.compile(r"usr/share/pocketsphinx/test/data/(cards|librivox)/[\w-]+\.wav")
# Nexuiz's announcers speak in halls; its noises are recordings that ufoai-sound and openarena-data have for test.
_NEXUIZ = re.compile(r"sound/tutorial/[^/]+\.ogg")
# Joe's lines have a J behind the number of the dialogue or begin with JOE; cut scenes mix the speakers.
_QUEEN = re.compile(r"queen\.1c/(?:(JOE)|(C\d|COMIC|CDINT)|(\d\d)\w{4}([JP]))\w*\.SB\.mp3")


def _hedgewars(member: str) -> Voice | None:
    found = _HEDGEWARS.fullmatch(member)
    if found is None:
        return None
    ending = found.group(1).rpartition("_")[2]
    return f"hedgewars_{found.group(1).lower()}", ending if ending in _HEDGEWARS_LANGUAGES else "en"


def _kajongg(member: str) -> Voice | None:
    found = _KAJONGG.fullmatch(member)
    return None if found is None else (f"kajongg_{found.group(2)}", found.group(1) or "en")


def _queen(member: str) -> Voice | None:
    found = _QUEEN.fullmatch(member)
    if found is None:
        return None
    joe, scene, dialogue, who = found.groups()
    if joe or who == "J":
        return "narrow_queen_joe", "en"
    return f"narrow_queen_{'scenes' if scene else dialogue}", "en"


def extended_voice(package: str, member: str) -> Voice | None:
    """Name and language of who speaks in this file of this package; None where it is no speech to train with.

    >>> extended_voice("hedgewars-data", "usr/share/games/hedgewars/Data/Sounds/voices/Default_pl/Boring.ogg")
    ('hedgewars_default_pl', 'pl')
    >>> extended_voice("flight-of-the-amazon-queen", "queen.1c/020006J1.SB.mp3")
    ('narrow_queen_joe', 'en')
    """
    if package == "hedgewars-data":
        return _hedgewars(member)
    if package == "kajongg":
        return _kajongg(member)
    if package == "flight-of-the-amazon-queen":
        return _queen(member)
    if package == "beneath-a-steel-sky":
        return ("narrow_sky", "en") if member.startswith("sky.dsk/") else None
    if package == "nexuiz-data":
        return ("nexuiz_tutor", "en") if _NEXUIZ.fullmatch(member) else None
    found = _POCKETSPHINX.fullmatch(member) if package == "pocketsphinx-testdata" else None
    return None if found is None else (f"pocketsphinx_{found.group(1)}", "en")


_TORCS_RULES: Rules = [
    (r"data/sound/(boom|clkdtmb|turbo)", None),
    (r"data/sound/(crash|bottom_crash|skid_metal)", "metal_clatter"),
    (r"data/sound/(skid_tyres|out_of_road|road-ride)", "tyres"),
    (r"data/sound/", "car_engine"),
]
_FLARE_RULES: Rules = [
    (r"environment/(teleporter|falling_rocks)", None),
    (r"environment/rain", "rain"),
    (r"environment/minecart", "wheels"),
    (r"environment/anvil", "hammer"),
    (r"environment/(bird|raven|forest_owl)", "birds"),
    (r"environment/cave_droplets", "dripping"),
    (r"environment/(cave_wind|wind)", "wind"),
    (r"environment/open_fire", "fire"),
    (r"environment/river", "river"),
    (r"environment/(stairs|stone_open)|fantasycore/soundfx/door", "door"),
    (r"soundfx/steps/", "footsteps"),
]
_LUGARU_RULES: Rules = [
    (r"sounds/(music|console|rabbit|whoosh\.|knife|jump|flesh)", None),
    (r"sounds/alarm", "alarm"),
    (r"sounds/(bark|growl|snarl)", "pets"),
    (r"sounds/hawk", "birds"),
    (r"sounds/(break|broken|staffbreak)", "impact"),
    (r"sounds/bushrustle", "rustle"),
    (r"sounds/(clank|metalhit|swordstaff)", "metal_clatter"),
    (r"sounds/(desertambient|wind)", "wind"),
    (r"sounds/fire", "fire"),
    (r"sounds/(footstep|skid|snowskid)", "footsteps"),
    (r"sounds/(heavyimpact|land|staff|thud)", "impact"),
]
_MINETEST_RULES: Rules = [
    (r"soundstuff|player_damage|default_item_smoke|tnt_", None),
    (r"carts_", "wheels"),
    (r"(break_glass|glass_footstep)", "glass"),
    (r"(doors_|xpanes_|default_chest)", "door"),
    (r"(footstep|gravel_dug)", "footsteps"),
    (r"(env_sounds_water)", "water"),
    (r"(fire_|default_furnace|cool_lava)", "fire"),
    (r"env_sounds_lava", "bubbles"),
    (r"default_(dig|dug|gravel_dig|ice_d|tool_breaks|place_node)", "digging"),
]
_SUPERTUX_RULES: Rules = [
    (r"sounds/phone", "telephone"),
    (r"sounds/rain", "rain"),
    (r"sounds/waterfall", "river"),
    (r"sounds/splash", "splash"),
    (r"sounds/thunder", "thunder"),
    (r"sounds/(door|turnkey|locked|switch)\.", "door"),
    (r"sounds/(fire|flame)\.", "fire"),
    (r"sounds/(fizz|sizzle)", "steam"),
    (r"sounds/(fireworks|firecracker)", "fireworks"),
    (r"sounds/(cracking|icecrash|iceblock)", "impact"),
    (r"sounds/lava", "bubbles"),
]

EXTENDED_RULES: dict[str, Rules] = {
    "torcs-data": _TORCS_RULES,
    "flare-game": _FLARE_RULES,
    "lugaru-data": _LUGARU_RULES,
    "minetest-data": _MINETEST_RULES,
    "bucklespring-data": [(r"buckle/wav/", "typing")],
    "supertux-data": _SUPERTUX_RULES,
}
