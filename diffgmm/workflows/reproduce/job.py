"""The steps of a benchmark, by the functions that the verbs ``prepare``, ``fit``, ``benchmark``, ``report`` run on."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from diffgmm.evaluation.benchmark.pairset import PairSet, load_set
from diffgmm.evaluation.results import FILE
from diffgmm.training.files import arguments, in_folder
from diffgmm.utils.code_version import OURS, code_version, key_of
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import sha256_of
from diffgmm.workflows.reproduce.plan import Plan, ReproduceError
from diffgmm.workflows.reproduce.steps import Steps

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

    def _file(self, name: str, inputs: Mapping[str, Any], make: Callable[[], Path]) -> Path:
        """A step whose result is a file, kept with its checksum."""

        def work() -> dict[str, Any]:
            path = make()
            return {"path": str(path), "sha256": sha256_of(path)}

        def intact(outputs: dict[str, Any]) -> bool:
            path = Path(outputs.get("path", ""))
            return path.is_file() and sha256_of(path) == outputs["sha256"]

        return Path(self.steps.run(name, inputs, work, intact)["path"])

    def _prepare(self) -> dict[str, Any]:
        from data_modules import home
        from data_modules.corpora.build.engine import prepare
        from data_modules.corpora.index import recipe as find_recipe
        from data_modules.mini import mini_corpus

        name, args = self.plan.corpus["name"], self.args
        if name == MINI:
            mini = {"corpus": MINI}
            return self.steps.run("prepare", mini, lambda: _corpus(Path(mini_corpus())), _is_complete)
        recipe = find_recipe(name)
        variant = self.plan.corpus.get("variant") or recipe.variants[0]
        root = home() / "corpora"
        folder = root / name
        sources = [] if recipe.local else recipe.sources(variant)
        # A recipe says by its revision when the same sources give another corpus: that is its code's version.
        held = [[file.name, file.checksum, file.size] for file in sources]
        inputs = {"recipe": [name, variant, recipe.revision, recipe.sample_rate], "folder": str(folder)}
        inputs["sources"] = key_of({"sources": held})

        def work() -> dict[str, Any]:
            again = "prepare" in self.steps.anew
            if folder.is_dir() and not again:
                return _adopted(folder, name, variant)
            downloads = args.downloads.expanduser() if args.downloads else None
            options = {"mirror": args.mirror, "overwrite": again, "workers": args.jobs}
            return _corpus(prepare(recipe, root, variant, downloads=downloads, **options))

        return self.steps.run("prepare", inputs, work, _is_complete)

    def _set(self, corpus: dict[str, Any]) -> PairSet:
        from data_modules import benchmarks, home

        options = dict(self.plan.set)
        kind = options.pop("kind")
        code = code_version("data_modules.benchmarks", "data_modules.offline.pair_folder")
        inputs = {"corpus": corpus["manifest_sha256"], "set": dict(self.plan.set), "code": code}
        if kind == "named":
            listed = options["name"] in benchmarks.LISTS
            inputs["list"] = sha256_of(benchmarks.list_path(options["name"])) if listed else ""
        # Rendered audio is kept in the home folder, under a name of its own for everything that went into it.
        kept = home() / "benchmarks" / f"{self.plan.name}-{key_of(inputs)[:12]}"
        pairs: list[PairSet] = []

        def load(path: Path) -> dict[str, Any]:
            """Reads all files: their checksums together are the set's."""
            loaded = load_set(path)
            if kind not in ("named", "corpus"):  # without a name of its own it gets the benchmark's
                info = replace(loaded.info, name=self.plan.name, description=self.plan.title)
                loaded = replace(loaded, info=info)
            pairs[:] = [loaded]
            return {"path": str(path), "checksum": loaded.info.checksum}

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

    def _train(self, corpus: dict[str, Any]) -> Path:
        config = yaml.safe_load(self.plan.training.read_text(encoding="utf-8"))
        settings: dict[str, Any] = {**(self.plan.train.get("settings") or {}), **dict(self.args.set)}
        code = code_version("diffgmm.training.lightning_cli", *_classes(config), *_classes(settings))
        inputs = {"corpus": corpus["manifest_sha256"], "config": config, "settings": settings, "code": code}
        folder = self.out / f"train-{key_of(inputs)[:12]}"
        return self._file("train", inputs, lambda: train(self.plan.training, settings, folder))

    def _benchmark(self, pairs: PairSet, trained: Path | None) -> Path:
        from data_modules import home
        from diffgmm.evaluation.benchmark.cache import metric_version
        from diffgmm.evaluation.benchmark.run import run, write
        from diffgmm.evaluation.benchmark.systems import baseline_systems, models

        systems, args = self.plan.systems, self.args
        names = [*systems.get("models", []), *([f"{TRAINED}={trained}"] if trained else [])]
        nfes, estimates = systems.get("nfe", [1]), systems.get("estimate", ["mean"])
        candidates = baseline_systems(args.baselines or (), args.baselines_python)
        candidates += models(names, nfes, estimates, systems.get("samples", 1), systems.get("seed", 0))
        keys = {candidate.name: candidate.key for candidate in candidates}
        versions = {name: metric_version(name) for name in self.plan.metrics}
        inputs = {"set": pairs.info.checksum, "systems": keys, "metrics": versions, "timing": args.timing}

        def make() -> Path:
            cache = home() / "benchmark"
            outcome = run(pairs, candidates, cache, self.plan.metrics, args.jobs, args.timing)
            command = ["diffgmm", "reproduce", self.plan.name, *(["--train"] if trained else [])]
            config = {"plan": self.plan.path.name, "settings": dict(args.set)}
            write(self.out, pairs, outcome, command=command, config=config)
            return self.out / FILE

        return self._file("benchmark", inputs, make)

    def _report(self, results: Path) -> None:
        from diffgmm.report import render

        inputs = {"results": sha256_of(results), "code": code_version("diffgmm.report")}
        page = self.out / "report.html"
        self._file("report", inputs, lambda: render([results], page, title=self.plan.title, overwrite=True))


def train(config: Path, settings: dict[str, Any], folder: Path) -> Path:
    """Train in a process of its own, from the last checkpoint in a folder if there is one; returns the final one.

    Raises:
        ReproduceError: the training failed.
    """

    def last() -> Path | None:
        """The newest: each start of a training writes into a folder of its own."""
        return max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime, default=None)

    words = ["fit", "--config", str(config), *arguments({**settings, **in_folder(folder)})]
    words += ["--ckpt_path", str(last())] if last() else []
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "diffgmm.cli.main", *words], check=False)
    if done.returncode or not (checkpoint := last()):
        ended = f"the training ended with code {done.returncode}"
        raise ReproduceError(f"{config}: {ended}; run the command again to go on")
    return checkpoint


def _corpus(folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "manifest_sha256": sha256_of(folder / "manifest.csv")}


def _is_complete(outputs: dict[str, Any]) -> bool:
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
    if held != (name, variant) or not _is_complete(outputs):
        raise ReproduceError(
            f"{folder}: holds {' '.join(filter(None, map(str, held)))} or is damaged, and {name} {variant} is needed; "
            "--again prepare replaces it, or choose another home by DIFFGMM_HOME"
        )
    return outputs


def _make_set(kind: str, options: dict[str, Any], corpus: Path, kept: Path) -> Path:
    """Render or describe the pairs; what is there already is made anew."""
    from data_modules import benchmarks
    from data_modules.benchmarks.recorded import write_corpus
    from data_modules.mixing.options import belz_blend
    from data_modules.offline.pair_folder import write_pairs

    if kind == "named":
        return benchmarks.open_set(options["name"], corpus)
    if kind == "corpus":
        path = kept / "set.json"
        write_corpus(corpus, path, name=options["name"], description=options["description"])
        return path
    options = {**options, "corpus": str(corpus), "overwrite": True}
    mixing = belz_blend() if options.pop("belz", False) else None
    write_pairs(kept, options.pop("split", "test"), options.pop("pairs"), mixing=mixing, **options)
    return kept


def _classes(data: Any) -> set[str]:
    """Modules that a configuration's class paths name."""
    if isinstance(data, str):
        return {data.rpartition(".")[0]} if data.startswith(tuple(f"{name}." for name in OURS)) else set()
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return set().union(*(_classes(entry) for entry in inner))
