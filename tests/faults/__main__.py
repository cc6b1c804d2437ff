"""`python -m tests.faults`: run schedules, repeat one, shrink one, add results up.

`--campaign N` runs the seeds from `--first` on until N of them have a result in `--results`, and goes on where it
stopped. `--report FILE` adds the results to the pieces that stand in FILE with the ending `.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.campaign import Outcome

ROOT = Path(__file__).resolve().parents[2]


def _find_package() -> None:
    """Without an installed wheel, test the checkout, here and in the agents' processes."""
    if importlib.util.find_spec("sls_siem") is None:
        source = str(ROOT / "agent")
        sys.path.insert(0, source)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", help="A-B, both included")
    parser.add_argument("--campaign", type=int, metavar="N", help="run on until N seeds have a result")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="of the campaign")
    parser.add_argument(
        "--output", default="all", help="hec, hec-ack, syslog, tls, relp; all: each seed takes its turn"
    )
    parser.add_argument("--workers", type=int, default=0, help="schedules side by side")
    parser.add_argument("--results", type=Path, help="append one line per schedule to this file")
    parser.add_argument("--keep", type=Path, help="keep the files of failed schedules below this folder")
    parser.add_argument("--attempt", type=int, help="run this draw of the seed, whether it counts or not")
    parser.add_argument("--only", help="run only the faults with these numbers: 0,3,5")
    parser.add_argument("--executed", action="store_true", help="start every agent as a program")
    parser.add_argument("--shrink", action="store_true", help="leave out faults while it still fails")
    parser.add_argument("--report", type=Path, help="write the report of what stands in --results to this file")
    parser.add_argument("--notes", default="", help="what there is to say about the fresh piece, for the report")
    return parser.parse_args()


def main() -> int:
    """Do what the command line says; 1 when a schedule failed."""
    _find_package()
    arguments = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends what runs in good order
    failed = False
    if arguments.seeds or arguments.campaign:
        with contextlib.suppress(KeyboardInterrupt):
            for outcome in _outcomes(arguments):
                failed = _take(outcome, arguments) or failed
    if arguments.report:
        _report(arguments.report, arguments.results, arguments.notes)
    return 1 if failed else 0


def _outcomes(arguments: argparse.Namespace) -> Iterable[Outcome]:
    from tests.faults import campaign

    pairs = list(_pairs(arguments))
    if arguments.attempt is None and not arguments.only and not arguments.executed:
        return campaign.run_many(pairs, workers=arguments.workers or campaign.WORKERS, keep=arguments.keep)
    only = tuple(map(int, arguments.only.split(","))) if arguments.only else None
    executed = True if arguments.executed else None
    return (
        campaign.run_seed(seed, output, attempt=arguments.attempt, only=only, keep=arguments.keep, executed=executed)
        for seed, output in pairs
    )


def _pairs(arguments: argparse.Namespace) -> Iterator[tuple[int, str]]:
    """Seeds and outputs that are to be run."""
    from tests.faults import report
    from tests.faults.schedule import OUTPUTS

    if arguments.seeds:
        first, _, last = arguments.seeds.partition("-")
        seeds, done = range(int(first), int(last or first) + 1), set()
    else:
        seeds = range(arguments.first, arguments.first + arguments.campaign)
        done = report.seeds_in(report.load(arguments.results)) if arguments.results else set()
    for seed in seeds:
        pair = seed, OUTPUTS[seed % len(OUTPUTS)] if arguments.output == "all" else arguments.output
        if pair not in done:
            yield pair


def _take(outcome: Outcome, arguments: argparse.Namespace) -> bool:
    """Tell, note and shrink; True when it failed."""
    from tests.faults import campaign

    _tell(outcome)
    if arguments.results:
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        with arguments.results.open("a") as file:
            file.write(outcome.line() + "\n")
    if outcome.verdict != campaign.FAILED:
        return False
    if arguments.shrink:
        needed = campaign.shrink(outcome)
        print("shrunk:", campaign.command(outcome.seed, outcome.output, outcome.attempt, needed), flush=True)
    return True


def _tell(outcome: Outcome) -> None:
    from tests.faults import campaign

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


def _report(path: Path, results: Path | None, notes: str) -> None:
    from tests.faults import report

    kept = path.with_suffix(".json")
    fresh = report.pieces(report.load(results)) if results else []
    for piece in fresh:
        piece["notes"] = notes
    found = report.merge(report.undump(kept), fresh)
    report.dump(found, kept)
    path.write_text(report.markdown(found))
    print(f"report: {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
