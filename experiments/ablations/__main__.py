"""Command line of the ablations: ``python -m experiments.ablations run``, ``table`` and ``nfe``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

from data_modules import home as diffgmm_home
from data_modules.errors import DataError
from experiments.ablations import plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.ablations", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="train and judge what is not done yet")
    table = verbs.add_parser("table", help="make table and plot of the runs that are finished")
    nfe = verbs.add_parser("nfe", help="make the table of network calls, from one model's weights")
    judge = verbs.add_parser("judge", help="judge one trained run (what `run` calls)")
    judge.add_argument("folder", type=Path)
    for verb in (run, table, nfe):
        verb.add_argument("--home", type=Path, metavar="DIR", help="of all runs ($DIFFGMM_HOME/ablations)")
    run.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these variants")
    run.add_argument(
        "--seeds", nargs="+", type=int, default=[], metavar="N", help="instead of each variant's own"
    )
    run.add_argument("--corpus", metavar="NAME|DIR", help="instead of that of base.yaml")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at once (1)")
    run.add_argument("--threads", type=int, default=1, metavar="N", help="of each run (1)")
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="another change to every run (YAML value)",
    )
    table.add_argument("--markdown", type=Path, metavar="FILE", help="write here, and the plot beside it")
    nfe.add_argument("--model", default="base", metavar="NAME|FILE", help="whose weights (base)")
    nfe.add_argument("--set", default="dsn-valid", metavar="NAME|DIR", help="of pairs (dsn-valid)")
    nfe.add_argument("--corpus", metavar="DIR", help="where the set's corpus is")
    nfe.add_argument("--pairs", type=int, default=40, metavar="N", help="the first so many (40)")
    nfe.add_argument(
        "--metrics", default="pesq_wb,estoi,si_sdr,dnsmos_ovrl,dnsmos_bak", metavar="NAME,...", help="columns"
    )
    nfe.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="stop after so long")
    nfe.add_argument("--markdown", type=Path, metavar="FILE", help="write here")
    return parser


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for entry in arguments.set:
        path, sign, value = entry.partition("=")
        if not sign:
            raise DataError(f"--set takes PATH=VALUE, got {entry!r}")
        changes[path] = yaml.safe_load(value)
    if arguments.corpus:
        changes["data.init_args.corpus"] = arguments.corpus
    return changes


def _run(arguments: argparse.Namespace) -> int:
    from experiments.ablations.running import Runner

    if arguments.jobs < 1 or arguments.threads < 1:
        raise DataError("--jobs and --threads must be at least 1")
    variants = plan.chosen(plan.read_variants(), arguments.only)
    runs = plan.runs(variants, _home(arguments), seeds=arguments.seeds, common=_common(arguments))
    failed = Runner(arguments.jobs, arguments.threads, lambda line: print(line, flush=True)).all(runs)
    return 1 if failed else 0


def _judge(arguments: argparse.Namespace) -> int:
    from diffgmm.utils.files import replacing
    from experiments.ablations.judging import judge

    plan = yaml.safe_load((arguments.folder / "plan.yaml").read_text(encoding="utf-8"))
    result = judge(arguments.folder / "checkpoints" / "last.ckpt", plan["config"]["data"]["init_args"])
    result = {"seed": plan["config"]["seed_everything"], "fingerprint": plan["fingerprint"], **result}
    with replacing(arguments.folder / "result.json") as part:
        part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _home(arguments: argparse.Namespace) -> Path:
    home: Path = arguments.home or diffgmm_home() / "ablations"
    return home


def _table(arguments: argparse.Namespace) -> int:
    from experiments.ablations.table import gather, render, write

    rows = gather(plan.read_variants(), _home(arguments))
    if not rows:
        raise DataError(
            f"{_home(arguments)}: no finished run there; `python -m experiments.ablations run` makes them"
        )
    if arguments.markdown:
        print("wrote " + " and ".join(str(path) for path in write(arguments.markdown, rows)))
    else:
        print(render(rows))
    return 0


def _nfe(arguments: argparse.Namespace) -> int:
    from diffgmm.diffusion.model import ModelError
    from diffgmm.evaluation.benchmark.errors import BenchmarkError
    from diffgmm.utils.files import replacing
    from experiments.ablations.nfe import measure, render

    names = arguments.metrics.split(",")
    try:
        facts, scores = measure(
            arguments.model,
            names,
            _home(arguments),
            set_name=arguments.set,
            pairs=arguments.pairs,
            corpus=arguments.corpus,
            seconds=arguments.seconds,
            say=lambda line: print(line, flush=True),
        )
    except (ModelError, BenchmarkError) as error:
        raise DataError(str(error)) from error
    if not scores:
        raise DataError("no pair was scored in that time")
    text = render(facts, scores, names)
    if arguments.markdown:
        with replacing(arguments.markdown) as part:
            part.write_text(text, encoding="utf-8")
        print(f"wrote {arguments.markdown}")
    else:
        print(text)
    left = facts["wanted"] - facts["pairs"]
    if left:
        print(f"{left} pairs are left; the same command goes on with them")
    return 0


def main() -> int:
    """Run a verb; 0 done, 1 a run failed, 2 wrong usage, 130 stopped."""
    arguments = _parser().parse_args()
    try:
        return {"run": _run, "table": _table, "nfe": _nfe, "judge": _judge}[arguments.verb](arguments)
    except DataError as error:
        print(f"ablations: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablations: stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
