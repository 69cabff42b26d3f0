"""The packages, pinned: version, SHA256 and licence of each, and the split its noise goes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_modules.corpora.recipe import csv_rows


@dataclass(frozen=True)
class Pin:
    """One package: where it comes from, what it must hash to, its bytes, and the split its noise goes to.

    `publisher` is "debian" (bookworm; the SHA256 is the one in Debian's Packages file) or "pypi" (a wheel;
    the SHA256 is the one in the package index). `noise_split` is None where a package gives speech
    only: speech is split by speaker, noise by package.
    """

    name: str
    version: str
    sha256: str
    licence: str
    size: int
    noise_split: str | None = None
    light: bool = False
    publisher: str = "debian"

    @property
    def file_name(self) -> str:
        """Name that the package manager gives the downloaded file."""
        if self.publisher == "pypi":
            return f"{self.name}-{self.version}-py3-none-any.whl"
        return f"{self.name}_{self.version.replace(':', '%3a')}_all.deb"

    @property
    def manager(self) -> str:
        """The program that knows the package, as :class:`data_modules.corpora.recipe.Source` calls it."""
        return "pip" if self.publisher == "pypi" else "apt"

    @property
    def request(self) -> str:
        """How that program is asked for this version."""
        return f"{self.name}=={self.version}" if self.manager == "pip" else f"{self.name}={self.version}"

    @property
    def source(self) -> str:
        """How manifests name the package."""
        return f"{self.name} {self.version}"


def _pin(size: str, noise_split: str, light: str, **texts: str) -> Pin:
    return Pin(**texts, size=int(size), noise_split=noise_split or None, light=light == "1")


PINS = tuple(_pin(**row) for row in csv_rows(Path(__file__).with_name("packages.csv")))


def packages_of(variant: str) -> tuple[Pin, ...]:
    """The pins of a variant: "full" is every package, "light" the small ones (about 870 MB)."""
    return tuple(pin for pin in PINS if pin.light or variant == "full")
