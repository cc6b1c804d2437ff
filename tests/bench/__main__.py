"""`python -m tests.bench`: the agent against the SDK's own consumer, on this machine, in one run."""

from __future__ import annotations

import argparse
import json
import sys

from sls_siem.cli.bench_case import CASES
from sls_siem.cli.bench_measure import Plan
from sls_siem.cli.bench_report import table
from tests.bench.comparison import compare, entries, ratios


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--output", choices=tuple(CASES), action="append", help="repeatable; default: all")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured in each run")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    plan = Plan(runs=options.runs, seconds=options.seconds)
    found = compare(entries(tuple(options.output or CASES)), plan)
    print(json.dumps(found, indent=2) if options.json else f"{table(found)}\n\n{ratios(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
