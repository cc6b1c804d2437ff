"""`python -m tests.faults`: run schedules, repeat one, shrink one, add results up."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _find_package() -> None:
    """Without an installed wheel, test the checkout, here and in the agents' processes."""
    import importlib.util

    if importlib.util.find_spec("sls_siem") is None:
        source = str(ROOT / "agent")
        sys.path.insert(0, source)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def main() -> int:
    """Do what the command line says; 1 when a schedule failed."""
    _find_package()
    from tests.faults import campaign, report
    from tests.faults.schedule import OUTPUTS

    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", help="A-B, both included")
    parser.add_argument("--output", choices=[*OUTPUTS, "all"], default="all", help="all: each seed takes its turn")
    parser.add_argument("--workers", type=int, default=campaign.WORKERS)
    parser.add_argument("--json", type=Path, help="append one line per schedule to this file")
    parser.add_argument("--keep", type=Path, help="keep the files of failed schedules below this folder")
    parser.add_argument("--attempt", type=int, help="run this draw of the seed, whether it counts or not")
    parser.add_argument("--only", help="run only the faults with these numbers: 0,3,5")
    parser.add_argument("--shrink", action="store_true", help="leave out faults while it still fails")
    parser.add_argument("--report", type=Path, help="write a report of the lines in --json to this file")
    arguments = parser.parse_args()
    failed = False
    if arguments.seeds:
        failed = _run(arguments, campaign, OUTPUTS)
    if arguments.report:
        arguments.report.write_text(report.markdown(report.load([arguments.json])))
    return 1 if failed else 0


def _run(arguments: argparse.Namespace, campaign, outputs) -> bool:  # type: ignore[no-untyped-def]
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    pairs = [(seed, outputs[seed % len(outputs)] if arguments.output == "all" else arguments.output) for seed in seeds]
    if arguments.attempt is not None or arguments.only:
        only = tuple(int(number) for number in arguments.only.split(",")) if arguments.only else None
        outcomes = (
            campaign.run_seed(seed, output, attempt=arguments.attempt, only=only, keep=arguments.keep)
            for seed, output in pairs
        )
    else:
        outcomes = campaign.run_many(pairs, workers=arguments.workers, keep=arguments.keep)
    failed = False
    for outcome in outcomes:
        _tell(outcome, campaign)
        if arguments.json:
            with arguments.json.open("a") as file:
                file.write(outcome.line() + "\n")
        if outcome.verdict == campaign.FAILED:
            failed = True
            if arguments.shrink:
                needed = campaign.shrink(outcome)
                print("shrunk:", campaign.command(outcome.seed, outcome.output, outcome.attempt, needed), flush=True)
    return failed


def _tell(outcome, campaign) -> None:  # type: ignore[no-untyped-def]
    print(
        f"seed {outcome.seed} {outcome.output}: {outcome.verdict} in {outcome.seconds:.1f} s, "
        f"attempt {outcome.attempt}, "
        f"{outcome.logs} logs, {outcome.duplicates} duplicates, {outcome.dead_letters} dead letters",
        flush=True,
    )
    if outcome.verdict != campaign.OK:
        for reason in outcome.reasons:
            print("   ", reason.replace("\n", "\n    "))
        print("    faults:", ", ".join(f"{f['number']}:{f['kind']}@{f['at_s']}" for f in outcome.faults))
        print("    again:", campaign.command(outcome.seed, outcome.output, outcome.attempt), flush=True)


if __name__ == "__main__":
    sys.exit(main())
