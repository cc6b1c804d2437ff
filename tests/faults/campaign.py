"""Runs schedules: one, many side by side, and a failing one with ever fewer faults."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import kinds_hec, kinds_process, kinds_sls, kinds_stream, verdict
from tests.faults.schedule import KINDS, Schedule, draw
from tests.faults.world import BrokenPromiseError, World

assert all((kinds_hec, kinds_process, kinds_sls, kinds_stream))  # imported for what they register
OK, FAILED, VOID = "ok", "failed", "void"
ATTEMPTS = 8
WORKERS = 3
LOG_BYTES = 6000


@dataclass(frozen=True)
class Outcome:
    """What became of one schedule; `void_attempts` were drawn again."""

    seed: int
    output: str
    attempt: int
    verdict: str
    reasons: tuple[str, ...]
    seconds: float
    agents: int = 0
    shards: int = 0
    starts: int = 0
    logs: int = 0
    pulls: int = 0
    saves: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    expired: int = 0
    peak_bytes: int = 0
    void_attempts: tuple[str, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()

    def line(self) -> str:
        """Render as one JSON line."""
        return json.dumps(dataclasses.asdict(self))


def command(seed: int, output: str, attempt: int, only: Iterable[int] | None = None) -> str:
    """The command that repeats a schedule."""
    faults = "" if only is None else f" --only {','.join(map(str, only))}"
    return f"python -m tests.faults --seeds {seed}-{seed} --output {output} --attempt {attempt}{faults}"


def run_seed(
    seed: int, output: str, *, attempt: int | None = None, only: tuple[int, ...] | None = None, keep: Path | None = None
) -> Outcome:
    """Run the schedule of a seed; one that does not count is drawn again.

    Args:
        seed: of the schedule.
        output: see `schedule`.
        attempt: only this one, whether it counts or not.
        only: only the faults with these numbers; then it always counts.
        keep: folder in which a failed schedule's files are left.
    """
    if attempt is not None or only is not None:
        return _run(_some(draw(seed, output, attempt or 0), only), counts=False, keep=keep)
    voids: list[str] = []
    for number in range(ATTEMPTS):
        outcome = _run(draw(seed, output, number), counts=True, keep=keep)
        if outcome.verdict != VOID:
            break
        voids += outcome.reasons
    return dataclasses.replace(outcome, void_attempts=tuple(voids))


def _some(schedule: Schedule, only: tuple[int, ...] | None) -> Schedule:
    if only is None:
        return schedule
    return dataclasses.replace(schedule, faults=tuple(fault for fault in schedule.faults if fault.number in only))


def _run(schedule: Schedule, *, counts: bool, keep: Path | None) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{schedule.output}-{schedule.seed}-"))
    began = time.monotonic()
    reasons: list[str] = []
    world: World | None = None
    try:
        world = World(schedule, folder)
        world.run()
        world.letters = len(world.obligations.dead())
        reasons = verdict.violations(world)
    except BrokenPromiseError as exc:
        reasons = [str(exc), *(world.obligations.violations if world else ()), *(world.agents.trouble if world else ())]
    except Exception:  # noqa: BLE001 - a bug of this model is a failed schedule, with its traceback
        reasons = [traceback.format_exc()]
    state, why = (FAILED, reasons) if reasons else (OK, [])
    if not reasons and counts and world is not None and (excuse := verdict.void(world)):
        state, why = VOID, [excuse]
    if state == FAILED and keep is not None:
        shutil.copytree(folder, keep / folder.name, ignore_dangling_symlinks=True, symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
    return _outcome(schedule, world, state, why, time.monotonic() - began)


def _outcome(schedule: Schedule, world: World | None, state: str, why: list[str], seconds: float) -> Outcome:
    outcome = Outcome(
        schedule.seed,
        schedule.output,
        schedule.attempt,
        state,
        tuple(text[:4000] for text in why),
        round(seconds, 2),
        agents=schedule.agents,
        shards=schedule.shards,
        faults=tuple(
            {
                "number": f.number,
                "kind": f.kind,
                "at_s": round(f.at_s, 2),
                "in_flight": f.in_flight,
                "struck": f.struck_s is not None,
            }
            for f in schedule.faults
        ),
    )
    if world is None or not hasattr(world, "obligations"):
        return outcome
    return dataclasses.replace(
        outcome,
        starts=world.agents.starts,
        logs=world.obligations.appended,
        pulls=len(world.sls.history.pulls),
        saves=world.obligations.saves,
        duplicates=verdict.duplicates(world),
        expired=len([event_id for event_id in world.obligations.gone if event_id not in world.siem.store]),
        dead_letters=world.letters,
        peak_bytes=world.agents.peak_bytes,
    )


def run_many(
    seeds: Iterable[tuple[int, str]], *, workers: int = WORKERS, keep: Path | None = None
) -> Iterator[Outcome]:
    """Run many side by side; yields each outcome as it comes."""
    with ProcessPoolExecutor(workers) as pool:
        futures: list[Future[Outcome]] = [pool.submit(run_seed, seed, output, keep=keep) for seed, output in seeds]
        for future in as_completed(futures):
            yield future.result()


def shrink(failed: Outcome, tell: Any = print) -> tuple[int, ...]:
    """Leave out faults one at a time while it still fails; returns the numbers of those that are needed."""
    needed = tuple(fault["number"] for fault in failed.faults)
    for number in needed:
        fewer = tuple(other for other in needed if other != number)
        outcomes = [run_seed(failed.seed, failed.output, attempt=failed.attempt, only=fewer)]
        if outcomes[-1].verdict != FAILED:
            outcomes.append(run_seed(failed.seed, failed.output, attempt=failed.attempt, only=fewer))
        if outcomes[-1].verdict == FAILED:
            needed = fewer
            tell(f"still fails without fault {number}: {command(failed.seed, failed.output, failed.attempt, needed)}")
    return needed


def kinds_of(output: str) -> list[str]:
    """Names of the faults that an output can meet."""
    return [name for name, kind in KINDS.items() if output in kind.outputs]
