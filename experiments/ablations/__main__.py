"""Command line of the ablations: ``python -m experiments.ablations run``, ``table`` and ``nfe``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import yaml

from data_modules import home
from data_modules.errors import DataError
from diffgmm.cli.main import Parser
from diffgmm.cli.options import at_least, processes, setting
from diffgmm.utils.errors import UserError
from diffgmm.utils.files import write_text
from experiments.ablations import plan


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m experiments.ablations", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="train and judge what is not done yet")
    table = verbs.add_parser("table", help="make table and plot of the runs that are finished")
    elsewhere = verbs.add_parser(
        "elsewhere", help="judge finished runs on a benchmark set, and make its table"
    )
    nfe = verbs.add_parser("nfe", help="make the table of network calls, from one model's weights")
    judge = verbs.add_parser("judge", help="judge one trained run (what `run` calls)")
    judge.add_argument("folder", type=Path)
    place = home() / "ablations"
    for verb in (run, table, elsewhere, nfe):
        verb.add_argument("--home", type=Path, default=place, metavar="DIR", help=f"of all runs ({place})")
    for verb in (run, table, elsewhere):
        told = f"folder of {plan.BASE} and {plan.VARIANTS} ({plan.HERE.name})"
        verb.add_argument("--plan", type=Path, default=plan.HERE, metavar="DIR", help=told)
    for verb in (table, elsewhere, nfe):
        page = "write here (with the plot beside it)"
        verb.add_argument("--markdown", type=Path, metavar="FILE", help=page)
    add = run.add_argument
    add("--only", nargs="+", default=[], metavar="NAME", help="these variants")
    add("--seeds", nargs="+", type=int, default=[], metavar="N", help="instead of each variant's own")
    add("--corpus", metavar="NAME|DIR", help="instead of that of base.yaml")
    add("--jobs", type=processes, default=1, metavar="N", help="runs at once (1)")
    add("--threads", type=processes, default=1, metavar="N", help="of each run (1)")
    add("--set", action="append", type=setting, default=[], metavar="PATH=VALUE", help="change every run")
    add = elsewhere.add_argument
    add("--calls", nargs="+", default=["nfe1"], metavar="NAME", help="of the plan's settings (nfe1)")
    add("--set", default="cross-test", metavar="NAME|DIR", help="of pairs (cross-test)")
    add("--metrics", default="pesq_wb,estoi,si_sdr", metavar="NAME,...", help="a table each")
    for verb, most in ((elsewhere, 105), (nfe, 40)):
        verb.add_argument("--corpus", metavar="DIR", help="where the set's corpus is")
        verb.add_argument(
            "--pairs", type=at_least(1), default=most, metavar="N", help=f"the first so many ({most})"
        )
    add = nfe.add_argument
    add("--model", default="base", metavar="NAME|FILE", help="whose weights (base)")
    add("--set", default="cross-valid", metavar="NAME|DIR", help="of pairs (cross-valid)")
    metrics = "pesq_wb,estoi,si_sdr,dnsmos_ovrl,dnsmos_bak"
    add("--metrics", default=metrics, metavar="NAME,...", help="columns")
    add("--seconds", type=float, default=math.inf, metavar="S", help="stop after so long")
    return parser


def _place(arguments: argparse.Namespace) -> Path:
    """Folder of a plan's runs: variants of different plans may have one name."""
    folder: Path = arguments.home
    return folder / plan.own_name(arguments.plan)


def _run(arguments: argparse.Namespace) -> int:
    from experiments.ablations.running import Runner

    changes = dict(arguments.set)
    if arguments.corpus:
        changes["data.init_args.corpus"] = arguments.corpus
    variants = plan.chosen(plan.read_variants(arguments.plan), arguments.only)
    runs = plan.runs(variants, _place(arguments), arguments.seeds, changes, arguments.plan)
    return 1 if Runner(arguments.jobs, arguments.threads).all(runs) else 0


def _judge(arguments: argparse.Namespace) -> int:
    from experiments.ablations.judging import judge

    planned = yaml.safe_load((arguments.folder / plan.PLAN).read_text(encoding="utf-8"))
    config = planned["config"]
    result = judge(arguments.folder / plan.CHECKPOINT, config["data"]["init_args"], planned["settings"])
    result = {"seed": config["seed_everything"], "fingerprint": planned["fingerprint"], **result}
    write_text(arguments.folder / plan.RESULT, json.dumps(result, indent=2) + "\n")
    return 0


def _table(arguments: argparse.Namespace) -> int:
    from experiments.ablations.table import gather, render, write

    rows = gather(plan.read_variants(arguments.plan), place := _place(arguments))
    if not rows:
        raise DataError(f"{place}: no finished run there; `python -m experiments.ablations run` makes them")
    if arguments.markdown:
        print("wrote " + " and ".join(str(path) for path in write(arguments.markdown, rows, arguments.plan)))
    else:
        print(render(rows, arguments.plan))
    return 0


def _elsewhere(arguments: argparse.Namespace) -> int:
    from experiments.ablations.elsewhere import calls_of, measure, render

    names, variants = arguments.metrics.split(","), plan.read_variants(arguments.plan)
    calls = calls_of(arguments.plan, arguments.calls)
    snrs, found = measure(
        variants, _place(arguments), calls, names,
        set_name=arguments.set, pairs=arguments.pairs, corpus=arguments.corpus,
    )  # fmt: skip
    page = arguments.markdown.name if arguments.markdown else "PAGE.md"
    text = render(snrs, found, variants, names, calls, Path(arguments.set).name, arguments.plan, page)
    if arguments.markdown:
        write_text(arguments.markdown, text)
    print(f"wrote {arguments.markdown}" if arguments.markdown else text)
    return 0


def _nfe(arguments: argparse.Namespace) -> int:
    from experiments.ablations.nfe import measure, render

    names = arguments.metrics.split(",")
    facts, scores = measure(
        arguments.model, names, arguments.home, set_name=arguments.set, pairs=arguments.pairs,
        corpus=arguments.corpus, seconds=arguments.seconds,
    )  # fmt: skip
    if not scores:
        raise DataError("no pair was scored in that time")
    text = render(facts, scores, names)
    if arguments.markdown:
        write_text(arguments.markdown, text)
    print(f"wrote {arguments.markdown}" if arguments.markdown else text)
    if left := facts["wanted"] - facts["pairs"]:
        print(f"{left} pairs are left; the same command goes on with them")
    return 0


VERBS = {"run": _run, "table": _table, "elsewhere": _elsewhere, "nfe": _nfe, "judge": _judge}


def main() -> int:
    """Run a verb; 0 done, 1 a run failed, 2 wrong usage, 130 stopped."""
    try:
        arguments = _parser().parse_args()
        return VERBS[arguments.verb](arguments)
    except UserError as error:
        print(f"ablations: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ablations: stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
