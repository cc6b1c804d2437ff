"""`python -m tests.bench`: the agent against the SDK's own consumer, on this machine, in one run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sls_siem.cli.bench_case import CASES
from sls_siem.cli.bench_measure import Plan
from sls_siem.cli.bench_report import table
from tests.bench import codec_alone, hold
from tests.bench.comparison import Entry, compare, entries, more_entries, ratios
from tests.bench.plot import svg

_CHECKED = ("hec", "syslog")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--output", choices=tuple(CASES), action="append", help="repeatable; default: all")
    parser.add_argument("--all", action="store_true", help="other logs, shapes, numbers of shards and codecs too")
    names = {entry.case.name: None for entry in _every_entry()} | {plan.case.name: None for plan in hold.HOLDS}
    parser.add_argument(
        "--case", choices=tuple(names), action="append", help="only the line of this name, also of --hold; repeatable"
    )
    parser.add_argument("--codec", action="store_true", help="instead: the codec alone, in this process")
    parser.add_argument("--hold", action="store_true", help="instead: what it costs to keep a pace, and how late it is")
    parser.add_argument("--growth", action="store_true", help="instead: the same 20 MB/s in 1 to 100 shards")
    parser.add_argument("--checked", action="store_true", help="first compare every id and byte, as `sls-siem demo`")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="measured in each run; default: 5, 30 or 60 with --hold")
    parser.add_argument("--json", type=Path, help="write one JSON document there")
    parser.add_argument("--plot", type=Path, help="draw an SVG there")
    options = parser.parse_args()
    if options.codec:
        print(codec_alone.table(options.runs * 20))
        return 0
    if options.checked and not all(_arrives_whole(output) for output in _CHECKED):
        return 1
    found = _holds(options) if options.hold or options.growth else _comparison(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        options.plot.write_text(svg(found), encoding="utf-8")
    return 0


def _arrives_whole(output: str) -> bool:
    """Compare ids and bytes on both sides of the same installation."""
    command = [sys.executable, "-m", "sls_siem", "demo", "--output", output, "--seconds", "10", "--rate", "2"]
    return subprocess.run(command, check=False).returncode == 0


def _every_entry() -> list[Entry]:
    return entries(tuple(CASES)) + more_entries()


def _comparison(options: argparse.Namespace) -> dict[str, Any]:
    chosen = entries(tuple(options.output or CASES)) + (more_entries() if options.all else [])
    if options.case:
        chosen = [entry for entry in _every_entry() if entry.case.name in options.case]
    found = compare(chosen, Plan(runs=options.runs, seconds=options.seconds or 5.0))
    found["load"] = os.getloadavg()[0]
    print(f"{table(found)}\n\n{ratios(found)}\n\nload average at the end: {found['load']:.1f}")
    return found


def _holds(options: argparse.Namespace) -> dict[str, Any]:
    plans = [hold.growth(shards, 20.0) for shards in (1, 4, 10, 30, 100)] if options.growth else list(hold.HOLDS)
    rows = []
    for plan in plans:
        if options.case and plan.case.name not in options.case:
            continue
        rows.append(hold.hold(replace(plan, seconds=options.seconds or plan.seconds)))
        print(hold.table(rows[-1:]), f"load average {os.getloadavg()[0]:.1f}", sep="\n", flush=True)
    return {"results": rows}


if __name__ == "__main__":
    sys.exit(main())
