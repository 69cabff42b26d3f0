"""The steps of a benchmark, by the functions that the verbs ``prepare``, ``fit``, ``benchmark``, ``report`` run on."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from diffgmm.evaluation.benchmark.identity import key_of
from diffgmm.evaluation.results import FILE
from diffgmm.utils.code_version import OURS, code_version
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import sha256_of
from diffgmm.workflows.reproduce.plan import Plan, ReproduceError
from diffgmm.workflows.reproduce.steps import Steps
from diffgmm.workflows.reproduce.training import train
from diffgmm.workflows.sweep.space import setting

if TYPE_CHECKING:
    from diffgmm.evaluation.benchmark.pairset import PairSet
    from diffgmm.evaluation.benchmark.systems import Candidate

STEPS = ("prepare", "set", "train", "benchmark", "report")
MINI = "mini"
TRAINED = "trained"


@dataclass
class Job:
    """A benchmark that is being reproduced.

    Args:
        plan: what to do.
        out: folder of results.
        args: of the verb.
        steps: what is done already.
    """

    plan: Plan
    out: Path
    args: argparse.Namespace
    steps: Steps

    def run(self) -> Path:
        """Do all steps; returns the file of results."""
        self.out.mkdir(parents=True, exist_ok=True)
        corpus = self._prepare()
        pairs = self._set(corpus)
        trained = self._train(corpus) if self.args.train else None
        results = self._benchmark(pairs, trained)
        self._report(results)
        return results

    def _prepare(self) -> dict[str, Any]:
        from data_modules import home
        from data_modules.corpora.build.engine import prepare
        from data_modules.corpora.index import recipe as find_recipe
        from data_modules.mini import mini_corpus

        name = self.plan.corpus["name"]
        if name == MINI:
            folder = Path(mini_corpus())
            return self.steps.run("prepare", {"corpus": MINI}, lambda: _corpus(folder), _is_whole)
        recipe = find_recipe(name)
        variant = self.plan.corpus.get("variant") or recipe.variants[0]
        root = home() / "corpora"
        folder = root / name
        sources = (
            []
            if recipe.local
            else [[source.name, source.checksum, source.size] for source in recipe.sources(variant)]
        )
        # A recipe says by its revision when the same sources give another corpus: that is its code's version.
        inputs = {
            "recipe": [name, variant, recipe.revision, recipe.sample_rate],
            "sources": key_of({"sources": sources}),
            "folder": str(folder),
        }

        def work() -> dict[str, Any]:
            again = "prepare" in self.steps.anew
            if folder.is_dir() and not again:
                return _adopted(folder, name, variant)
            downloads = Path(self.args.downloads).expanduser() if self.args.downloads else None
            made = prepare(
                recipe, root, variant, downloads=downloads, mirror=self.args.mirror, overwrite=again,
                workers=self.args.jobs,
            )  # fmt: skip
            return _corpus(made)

        return self.steps.run("prepare", inputs, work, _is_whole)

    def _set(self, corpus: dict[str, Any]) -> PairSet:
        from data_modules import benchmarks, home
        from diffgmm.evaluation.benchmark.pairset import load_set

        options = dict(self.plan.set)
        kind = options.pop("kind")
        code = code_version(
            "data_modules.benchmarks", "data_modules.windows.fixed_pairs", "data_modules.offline.run"
        )
        inputs = {"corpus": corpus["manifest_sha256"], "set": dict(self.plan.set), "code": code}
        if kind == "named":
            inputs["list"] = (
                sha256_of(benchmarks.list_path(options["name"]))
                if options["name"] in benchmarks.LISTS
                else ""
            )
        # Rendered audio is kept in the home folder, under a name of its own for everything that went into it.
        kept = home() / "benchmarks" / f"{self.plan.name}-{key_of(inputs)[:12]}"
        pairs: list[PairSet] = []

        def load(path: Path) -> dict[str, Any]:
            """Reads all files: their checksums together are the set's."""
            pairs[:] = [_named(load_set(path), self.plan)]
            return {"path": str(path), "checksum": pairs[0].info.checksum}

        def work() -> dict[str, Any]:
            return load(_make_set(kind, options, Path(corpus["folder"]), kept))

        def intact(outputs: dict[str, Any]) -> bool:
            if kind == "named":  # opening it compares every byte with the list, and mends what is damaged
                return work() == outputs
            try:
                return Path(outputs["path"]).exists() and load(Path(outputs["path"])) == outputs
            except UserError:  # damaged: rendered anew
                return False

        self.steps.run("set", inputs, work, intact)
        return pairs[0]

    def _train(self, corpus: dict[str, Any]) -> dict[str, Any]:
        config = self.plan.training
        settings: dict[str, Any] = dict(self.plan.train.get("settings") or {})
        settings.update(map(setting, self.args.set))
        text = config.read_text(encoding="utf-8")
        inputs = {
            "corpus": corpus["manifest_sha256"],
            "config": yaml.safe_load(text),
            "settings": settings,
            "code": code_version(
                "diffgmm.training.lightning_cli", *_classes(yaml.safe_load(text)), *_classes(settings)
            ),
        }
        folder = self.out / f"train-{key_of(inputs)[:12]}"

        def work() -> dict[str, Any]:
            checkpoint = train(config, settings, folder)
            return {"checkpoint": str(checkpoint), "sha256": sha256_of(checkpoint)}

        def intact(outputs: dict[str, Any]) -> bool:
            path = Path(outputs["checkpoint"])
            return path.is_file() and sha256_of(path) == outputs["sha256"]

        return self.steps.run("train", inputs, work, intact)

    def _candidates(self, trained: dict[str, Any] | None) -> list[Candidate]:
        from diffgmm.evaluation.benchmark.systems import baseline_systems, models

        options = self.plan.systems
        names = [*options.get("models", [])]
        if trained:
            names.append(f"{TRAINED}={trained['checkpoint']}")
        return [
            *baseline_systems(
                [name for name in (self.args.baselines or "").split(",") if name], self.args.baselines_python
            ),
            *models(
                names,
                options.get("nfe", [1]),
                options.get("estimate", ["mean"]),
                options.get("samples", 1),
                options.get("seed", 0),
            ),
        ]

    def _benchmark(self, pairs: PairSet, trained: dict[str, Any] | None) -> Path:
        from data_modules import home
        from diffgmm.evaluation.benchmark.cache import metric_version
        from diffgmm.evaluation.benchmark.run import Options, run, write
        from diffgmm.utils.cores import usable_cores
        from diffgmm.utils.progress import Bars

        candidates = self._candidates(trained)
        inputs = {
            "set": pairs.info.checksum,
            "systems": {candidate.name: candidate.key for candidate in candidates},
            "metrics": {name: metric_version(name) for name in self.plan.metrics},
            "timing": self.args.timing,
        }

        def work() -> dict[str, Any]:
            from diffgmm.utils.errors import complain

            with Bars() as bars:
                systems, names = run(
                    pairs, candidates, home() / "benchmark",
                    Options(self.plan.metrics, self.args.jobs or usable_cores(), self.args.timing),
                    bars.begin, lambda line: bars.above(lambda: complain(line)),
                )  # fmt: skip
            command = ["diffgmm", "reproduce", self.plan.name, *(["--train"] if trained else [])]
            config = {"plan": self.plan.path.name, "settings": self.args.set}
            write(self.out, pairs, systems, names, command=command, config=config)
            return {"sha256": sha256_of(self.out / FILE)}

        def intact(outputs: dict[str, Any]) -> bool:
            return (self.out / FILE).is_file() and sha256_of(self.out / FILE) == outputs["sha256"]

        self.steps.run("benchmark", inputs, work, intact)
        return self.out / FILE

    def _report(self, results: Path) -> None:
        page = self.out / "report.html"
        inputs = {"results": sha256_of(results), "code": code_version("diffgmm.report")}

        def work() -> dict[str, Any]:
            from diffgmm.report import render

            render([results], page, title=self.plan.title, overwrite=True)
            return {"sha256": sha256_of(page)}

        self.steps.run(
            "report", inputs, work, lambda kept: page.is_file() and sha256_of(page) == kept["sha256"]
        )


def _corpus(folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "manifest_sha256": sha256_of(folder / "manifest.csv")}


def _is_whole(outputs: dict[str, Any]) -> bool:
    """The same manifest, and every file of it there; the pairs' own checksums guard what is in them."""
    from data_modules.pools.sources import read_manifest

    folder = Path(outputs["folder"])
    manifest = folder / "manifest.csv"
    if not manifest.is_file() or sha256_of(manifest) != outputs["manifest_sha256"]:
        return False
    return all(Path(clip.path).is_file() for clip in read_manifest(manifest))


def _adopted(folder: Path, name: str, variant: str) -> dict[str, Any]:
    """A corpus that was prepared before, if it is the one."""
    about = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    held = (about.get("recipe", about.get("corpus")), about.get("variant", ""))
    outputs = _corpus(folder)
    if held != (name, variant) or not _is_whole(outputs):
        raise ReproduceError(
            f"{folder}: holds {' '.join(filter(None, map(str, held)))} or is damaged, and {name} {variant} is needed; "
            "--again prepare replaces it, or choose another home by DIFFGMM_HOME"
        )
    return outputs


def _make_set(kind: str, options: dict[str, Any], corpus: Path, kept: Path) -> Path:
    """Render or describe the pairs; what is there already is made anew."""
    from data_modules import benchmarks
    from data_modules.benchmarks.voicebank import write_set_file
    from data_modules.offline.pair_folder import write_pairs
    from data_modules.offline.run import create_pairs

    if kind == "named":
        return benchmarks.open_set(options["name"], corpus)
    if kind == "corpus":
        path = kept / "set.json"
        write_set_file(corpus, path, name=options["name"], description=options["description"])
        return path
    if kind == "created":
        split = options.pop("split")
        create_pairs(kept, options.pop("pairs"), corpus=str(corpus), overwrite=True, **options)
        return kept / split
    write_pairs(
        kept,
        options.pop("split", "test"),
        options.pop("pairs"),
        corpus=str(corpus),
        overwrite=True,
        **options,
    )
    return kept


def _named(pairs: PairSet, plan: Plan) -> PairSet:
    """Sets that come without a name get the benchmark's."""
    from dataclasses import replace

    if plan.set["kind"] in ("named", "corpus"):
        return pairs
    return replace(pairs, info=replace(pairs.info, name=plan.name, description=plan.title))


def _classes(data: Any) -> set[str]:
    """Modules that a configuration's class paths name."""
    if isinstance(data, str):
        return {data.rpartition(".")[0]} if data.startswith(tuple(f"{name}." for name in OURS)) else set()
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return set().union(*(_classes(entry) for entry in inner))
