"""More packages for training: pinned like the others, and what each variant takes.

"extended" adds packages to "full"; "talkies" adds two adventure games with much English speech, which ends at 4.5 to
5.5 kHz (groups `narrow_*`). Neither changes what the validation and test splits hold.
"""

from __future__ import annotations

from data_modules.corpora.debian import pins
from data_modules.corpora.debian.pins import PINS, Pin

__all__ = ["ALL_PINS", "EXTENDED_PINS", "TALKIE_PINS", "VARIANTS", "packages_of"]

VARIANTS = (*pins.VARIANTS, "extended", "talkies")

EXTENDED_PINS: tuple[Pin, ...] = (
    Pin(
        "hedgewars-data",
        "1.0.2-6",
        "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
        "GFDL-1.3 / GPL-2",
        145_330_284,
    ),
    Pin(
        "nexuiz-data",
        "2.5.2-12",
        "5d4a4e293d9382be3b8edf6ec2d9f39d2a16f49467618b2316fbfa400acecf0e",
        "GPL-2",
        266_586_504,
    ),
    Pin(
        "kajongg",
        "4:22.12.3-1",
        "be0a9cc0f9a97064ffa0ab01133f55e021c7c58f9869857431bf1ca951dadbaf",
        "GPL-2+",
        4_713_320,
    ),
    Pin(
        "pocketsphinx-testdata",
        "0.8+5prealpha+1-15",
        "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
        "BSD-2-clause",
        1_822_580,
    ),
    Pin(
        "torcs-data",
        "1.3.7+dfsg-5",
        "33a170ec9db8bdf7e33cb07b96b9854d5ef9e47b1f82705e4c24d6caaf13fb99",
        "GPL-2+ / Free-Art-License",
        333_308_448,
        noise_split="train",
    ),
    Pin(
        "flare-game",
        "1.14-1",
        "4ab6a8298276013d35a0806257e130d992761af1b749041433b409c3dafec508",
        "CC-BY-SA-3.0+",
        122_515_912,
        noise_split="train",
    ),
    Pin(
        "lugaru-data",
        "1.2-6",
        "6a25e8d2d7c2d94b7873669d1f52137b2ba56e86ba5c2f08fefeacd65e526023",
        "CC-BY-SA-3.0 / GPL-2+",
        34_165_204,
        noise_split="train",
    ),
    Pin(
        "minetest-data",
        "5.6.1+dfsg+~1.9.0mt8+dfsg-2",
        "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        "CC-BY-SA-3.0 / CC-BY-3.0",
        3_646_524,
        noise_split="train",
    ),
    Pin(
        "bucklespring-data",
        "1.4.0-2",
        "2add9f5583b3afc9c0b528066f4578baff930b74d4a94c8a25d103ef79a444e5",
        "GPL-2+",
        2_627_210,
        noise_split="train",
    ),
    Pin(
        "supertux-data",
        "0.6.3-2",
        "a6ad8865972f1dbb5e7b49f4e1b381dd16a68f3028a3502cfeaca2400285d27f",
        "GPL-3+ / CC-BY-SA-3.0",
        161_647_984,
        noise_split="train",
    ),
)

_GAME = "free to give away and to modify with a notice (game's own licence)"
TALKIE_PINS: tuple[Pin, ...] = (
    Pin(
        "flight-of-the-amazon-queen",
        "1.0.0-9",
        "40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1",
        _GAME,
        34_859_620,
    ),
    Pin(
        "beneath-a-steel-sky",
        "0.0372-8",
        "e2a25c880220c26a4dfd42904b878cc655afa1c72895f9c932befbd078622934",
        _GAME,
        66_024_312,
    ),
)

ALL_PINS = (*PINS, *EXTENDED_PINS, *TALKIE_PINS)


def packages_of(variant: str) -> tuple[Pin, ...]:
    """The pins of a variant: those of :func:`data_modules.corpora.debian.pins.packages_of` and more.

    >>> len(packages_of("extended")) - len(packages_of("full"))
    10
    """
    if variant not in VARIANTS[-2:]:
        return pins.packages_of(variant)
    more = EXTENDED_PINS if variant == "extended" else (*EXTENDED_PINS, *TALKIE_PINS)
    return (*pins.packages_of("full"), *more)
