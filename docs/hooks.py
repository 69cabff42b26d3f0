"""Hooks of the documentation site: generated pages, links into the repository, formulas as MathML."""

from __future__ import annotations

import argparse
import functools
import html
import importlib
import json
import posixpath
import re
import sys
from pathlib import Path
from typing import Any

import latex2mathml.converter
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

#: Pages that lie outside docs/, by their path in the repository.
PAGES = {
    **{
        path.relative_to(ROOT).as_posix(): f"results/{path.name}"
        for path in (ROOT / "experiments").glob("*.md")
    },
    **{name: f"project/{name}" for name in ("CONTRIBUTING.md", "CHANGELOG.md")},
    "data_modules/mini/CREDITS.md": "project/CREDITS.md",
}
#: What pages link to that is no page: served as it is.
FILES = {
    path.relative_to(ROOT).as_posix(): f"files/{path.relative_to(ROOT).as_posix()}"
    for path in [ROOT / "LICENSE", *(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "experiments").rglob("*")]
    if path.suffix in ("", ".ipynb", ".yaml", ".sh", ".sbatch", ".svg") and path.is_file()
}
ADDRESSES = {**PAGES, **FILES}

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):<code>(~?)([\w.]+)(?:\(\))?</code>")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the command reference, the model cards, the results and the files that pages link to."""
    for path, uri in ADDRESSES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    for name, card in model_cards().items():
        files.append(File.generated(config, f"models/{name}.md", content=card))
    for uri, content in gallery().items():
        files.append(File.generated(config, uri, content=content))
    return files


def commands() -> str:
    """Markdown of every verb's ``--help``."""
    from diffgmm.cli.main import TRAINING, VERBS, Parser

    parts = ["# Commands", "`diffgmm VERB --help` prints the same."]
    wide = functools.partial(argparse.HelpFormatter, width=100)
    for verb, path in VERBS.items():
        module = importlib.import_module(path)
        parser = Parser(prog=f"diffgmm {verb}", description=module.HELP, formatter_class=wide)
        module.add_arguments(parser)
        parts.append(f"## diffgmm {verb}\n\n```text\n{parser.format_help()}```")
    parts += [f"## diffgmm {verb}\n\n{text[0].upper()}{text[1:]}. Its options are the keys of its YAML file: "
              "see [Configuration](configuration.md)." for verb, text in TRAINING.items()]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def model_cards() -> dict[str, str]:
    """Markdown of each shipped model's card."""
    from diffgmm.report.model_card import render

    descriptions = sorted((ROOT / "diffgmm" / "pretrained").glob("*.json"))
    return {
        path.stem: render(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in descriptions
    }


#: Kinds of noise of the mini corpus that no training here has heard, and what they are called on the page.
NOISES = {
    "bell": "Bell", "birds": "Birds", "jackhammer": "Jackhammer", "helicopter": "Helicopter", "saw": "Saw",
    "traffic": "Traffic",
}  # fmt: skip
_SECONDS, _SNR = 4.0, 5.0


def gallery() -> dict[str, str | bytes]:
    """A page of voices in several kinds of noise, before and after, with its sounds and pictures, by address."""
    import numpy as np

    import diffgmm
    from data_modules import mini
    from diffgmm import audio
    from diffgmm.audio.figures import png, spectrogram_panel
    from diffgmm.report.audio import Sound, encode

    folder = Path(mini.__file__).parent / "test"
    voices = sorted(path for speaker in (folder / "speech").iterdir() for path in speaker.glob("*.flac"))
    page = [
        "# Listen",
        f"Voices and noises of the mini corpus that no training here has heard, mixed at {_SNR:g} dB, and what "
        "`diffgmm denoise` makes of them. [Credits](project/CREDITS.md).",
    ]
    files: dict[str, str | bytes] = {}
    denoiser = diffgmm.load("base")
    rate = denoiser.sample_rate
    for number, (kind, title) in enumerate(NOISES.items()):
        chosen = voices[number * len(voices) // len(NOISES)], min((folder / "noise" / kind).glob("*.flac"))
        clean, noise = (
            np.resize(audio.read(path, rate, mono=True)[0][0], round(_SECONDS * rate)) for path in chosen
        )
        noise *= np.sqrt(np.square(clean).mean() / np.square(noise).mean() / 10 ** (_SNR / 10))
        noisy = 0.9 * (clean + noise) / max(1.0, float(np.abs(clean + noise).max()))
        sounds = {"noisy": noisy, "denoised": denoiser.denoise(noisy, rate)}
        players = []
        for name, x in sounds.items():
            files[f"gallery/{kind}-{name}.flac"] = encode(Sound(x, rate, False), "flac")
            place = f'style="vertical-align: middle" src="gallery/{kind}-{name}.flac"'
            players.append(f'{name} <audio controls preload="none" {place}></audio>')
        files[f"gallery/{kind}.png"] = png(spectrogram_panel(sounds, rate), dpi=80)
        picture = f"![Spectrograms before and after: {title}](gallery/{kind}.png)"
        page += [f"## {title}", "<p>" + "<br>".join(players) + "</p>", picture]
    files["gallery.md"] = "\n\n".join(page) + "\n"
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Lead links between files of the repository to where the site has them."""
    uri = page.file.src_uri
    source = next((path for path, address in PAGES.items() if address == uri), f"docs/{uri}")

    def address(link: re.Match[str]) -> str:
        image, text, target, anchor = link.groups()
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path.startswith("docs/"):
            place = path.removeprefix("docs/")
        elif path in ADDRESSES:
            place = ADDRESSES[path]
        else:
            return text if (ROOT / path).exists() else link[0]
        return f"{image}[{text}]({posixpath.relpath(place, posixpath.dirname(uri) or '.')}{anchor or ''})"

    return _LINK.sub(address, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Set formulas as MathML, which browsers show without a script, and link the roles of docstrings."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return latex2mathml.converter.convert(html.unescape(match[2]).strip(), display=display)

    def role(match: re.Match[str]) -> str:
        text = match[2].rsplit(".", 1)[-1] if match[1] else match[2]
        return f'<autoref identifier="{match[2]}" optional><code>{text}</code></autoref>'

    return _ROLE.sub(role, _FORMULA.sub(formula, content))
