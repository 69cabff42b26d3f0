"""The packages, pinned: version, SHA256 and licence of each, and the split its noise goes to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PINS", "VARIANTS", "Pin", "packages_of"]

VARIANTS = ("light", "full")


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


PINS: tuple[Pin, ...] = (
    Pin(
        "festvox-ru",
        "0.5+dfsg-6",
        "21ef3f0f2978ecf2e2eddb367cb0ff4a72572196d28dc69feb84f4177af5e6c4",
        "BSD-like",
        178_728_512,
        light=True,
    ),
    Pin(
        "asterisk-core-sounds-en-g722",
        "1.6.1-1",
        "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
        "CC-BY-SA-3.0",
        10_565_860,
        light=True,
    ),
    Pin(
        "asterisk-core-sounds-es-g722",
        "1.6.1-1",
        "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
        "CC-BY-SA-3.0",
        13_048_380,
        light=True,
    ),
    Pin(
        "asterisk-core-sounds-fr-g722",
        "1.6.1-1",
        "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
        "CC-BY-SA-3.0",
        10_822_860,
        light=True,
    ),
    Pin(
        "asterisk-core-sounds-it-g722",
        "1.6.1-1",
        "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
        "CC-BY-3.0",
        10_087_176,
        light=True,
    ),
    Pin(
        "asterisk-core-sounds-ru-g722",
        "1.6.1-1",
        "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
        "CC-BY-3.0",
        10_579_440,
        light=True,
    ),
    Pin(
        "fillets-ng-data-nl",
        "1.0.1-1.1",
        "afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10",
        "GPL-2",
        32_593_580,
        light=True,
    ),
    Pin(
        "fillets-ng-data-cs",
        "1.0.1-1.1",
        "3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14",
        "GPL-2",
        39_042_172,
        light=True,
    ),
    Pin(
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        "GPL-2",
        160_880_444,
        noise_split="test",
        light=True,
    ),
    Pin(
        "klettres-data",
        "4:22.12.3-1",
        "1186d257a19e84230856baea0b0b1ded8be9195080fcdb2588970b5cd937f5a8",
        "GPL-2+",
        39_529_084,
    ),
    Pin(
        "ktuberling-data",
        "4:22.12.3-1",
        "fba44c875bfa31ea488dadd9263e87a4dcaea0bd47d28817f6c0dc6d2af970ed",
        "GPL-2+",
        46_661_752,
    ),
    Pin(
        "ufoai-sound",
        "2.5-2",
        "0224308c10e1265581d1829f19eaef031175390fd0eafeb4a1d558ac6561ed4e",
        "GPL-2+ and CC-BY(-SA)",
        18_681_226,
        noise_split="test",
        light=True,
    ),
    Pin(
        "openttd-opensfx",
        "1.0.3-2",
        "2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
        "CC-BY-SA-3.0",
        9_895_076,
        noise_split="test",
        light=True,
    ),
    Pin(
        "gnome-shell-pomodoro-data",
        "0.22.1-1",
        "15a5e49f27b433b2615f4e2ac9878f6d065c1a75b9f31101bd4dbd05f80e1777",
        "GPL-3+",
        6_056_268,
        noise_split="valid",
        light=True,
    ),
    Pin(
        "qabcs-data",
        "1.0.2-6",
        "3484da4cf258e6f3a39a1fc99bbfcaddfd679cff96a8fa792f261ab0a2bf9d86",
        "GPL-3+",
        33_637_556,
        noise_split="train",
        light=True,
    ),
    Pin(
        "lincity-ng-data",
        "2.9~git20150314-5",
        "8f5e85bd42879abdc7099b035d7a3d7468eceb6b93b52a12270c28f3f3c792f9",
        "GPL-2+",
        44_782_216,
        noise_split="train",
        light=True,
    ),
    Pin(
        "openarena-data",
        "0.8.5split-14",
        "fa68862434f02a826b7ef22008f25f406623abf4e37113c1bfab5460065483c8",
        "GPL-2+",
        44_029_708,
        noise_split="test",
        light=True,
    ),
    Pin(
        "megaglest-data",
        "3.13.0-3",
        "ed4783d9fc78e201a548b266f7c30325eb16cfd58a20bf4597dd6e622f84a07e",
        "CC-BY-SA-3.0 / GPL-2+",
        242_024_888,
        noise_split="train",
        light=True,
    ),
    Pin(
        "0ad-data",
        "0.0.26-1",
        "53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178",
        "CC-BY-SA-3.0",
        1_377_557_908,
        noise_split="train",
    ),
    Pin(
        "redeclipse-data",
        "1.6.0-1",
        "ada26453d3100bd61154ce20a699352f0b48bb29f8505f477ebdcb612f71ab42",
        "CC-BY-SA-3.0+",
        862_260_812,
        noise_split="train",
    ),
    Pin(
        "wesnoth-1.16-data",
        "1:1.16.9-1",
        "1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26",
        "GPL-2",
        146_229_044,
        noise_split="train",
    ),
    Pin(
        "flightgear-data-base",
        "1:2020.3.16+dfsg-1",
        "f37bdab5ebc52c0dc622f9feead4301410a97bf6ec47bd595d3253c7681f0332",
        "GPL-2+",
        1_339_309_200,
        noise_split="valid",
    ),
    Pin(
        "widelands-data",
        "2:1.1-3",
        "0e23d645b15bcfb9e3bcae0de9bc1bdfa75a6ecb36b2e449759d6eb0b4bbd8fb",
        "GPL-2+",
        381_353_540,
        noise_split="valid",
    ),
    Pin(
        "unknown-horizons",
        "2019.1-6",
        "ff49ea196d0f57c80d4cd4509c030240cbe632881f8c5b2a1265dd3e3795f100",
        "CC-BY-SA-3.0",
        248_491_344,
        noise_split="test",
    ),
    Pin(
        "ambience",
        "1.1.0",
        "c7b9a557767e72c988af8f14ca909ea59561dee0224f52b9bf5f22e66a5fe8c5",
        "unstated",
        3_737_499,
        noise_split="valid",
        light=True,
        publisher="pypi",
    ),
    Pin(
        "onsen",
        "0.1.1",
        "b4e20dfe082ac6434976d06912ea7c096356d8eacfa95ccab61cc37818edc36a",
        "unstated",
        10_728_726,
        noise_split="test",
        light=False,
        publisher="pypi",
    ),
)


def packages_of(variant: str) -> tuple[Pin, ...]:
    """The pins of a variant: "full" is every package, "light" the small ones (about 870 MB)."""
    return tuple(pin for pin in PINS if pin.light or variant == "full")
