"""Runs schedules: one, many side by side, and a failing one with ever fewer faults."""

from __future__ import annotations

import atexit
import ctypes
import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tests.faults import kinds_hec, kinds_process, kinds_sls, kinds_stream, verdict
from tests.faults.nursery import EXECUTED, Nursery
from tests.faults.schedule import KINDS, Schedule, draw
from tests.faults.world import PATIENCE, BrokenPromiseError, World

assert all((kinds_hec, kinds_process, kinds_sls, kinds_stream))  # imported for what they register
OK, FAILED, VOID = "ok", "failed", "void"
ATTEMPTS = 8
# Most of a schedule is waiting: for time-outs, leases, acknowledgements.
WORKERS = 4 * (os.cpu_count() or 1)
SHRINK_TRIES = 2
PR_SET_PDEATHSIG = 1


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
    stalls: int = 0
    forked: bool = False
    patience: float = PATIENCE
    commit: str = ""
    agent: str = ""
    void_attempts: tuple[str, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()

    def line(self) -> str:
        """Render as one JSON line."""
        return json.dumps(dataclasses.asdict(self))


@lru_cache(maxsize=1)
def under_test() -> dict[str, str]:
    """The commit under test, and git's name for all of its `agent/`; a `+` behind both when files differ from it."""
    git = ["git", "-C", str(Path(__file__).resolve().parents[2])]
    ask = partial(subprocess.run, capture_output=True, text=True, check=True)
    try:
        commit, agent = ask([*git, "rev-parse", "HEAD", "HEAD:agent"]).stdout.split()
        changed = ask([*git, "status", "--porcelain", "-uno"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "agent": "unknown"}
    return {name: found + "+" * bool(changed) for name, found in (("commit", commit), ("agent", agent))}


def command(seed: int, output: str, attempt: int, only: Iterable[int] | None = None) -> str:
    """The command that repeats a schedule."""
    faults = "" if only is None else f" --only {','.join(map(str, only))}"
    return f"python -m tests.faults --seeds {seed}-{seed} --output {output} --attempt {attempt}{faults}"


@lru_cache(maxsize=1)
def nursery() -> Nursery:
    """The one of this process; it ends with it."""
    made = Nursery()
    atexit.register(made.close)
    return made


def run_seed(
    seed: int,
    output: str,
    *,
    attempt: int | None = None,
    only: tuple[int, ...] | None = None,
    keep: Path | None = None,
    executed: bool | None = None,
) -> Outcome:
    """Run the schedule of a seed; one that does not count is drawn again.

    Args:
        seed: of the schedule.
        output: see `schedule`.
        attempt: only this one, whether it counts or not.
        only: only the faults with these numbers; then it always counts.
        keep: folder in which a failed schedule's files are left.
        executed: start each agent as a program; None does so for one seed in `EXECUTED`, the others are forked.
    """
    forked = seed % EXECUTED != 0 if executed is None else not executed
    run = partial(_run, keep=keep, forked=forked)
    if attempt is not None or only is not None:
        return run(_some(draw(seed, output, attempt or 0), only), counts=False)
    voids: list[str] = []
    for number in range(ATTEMPTS):
        outcome = run(draw(seed, output, number), counts=True)
        if outcome.verdict != VOID:
            break
        voids += outcome.reasons
    return dataclasses.replace(outcome, void_attempts=tuple(voids))


def _some(schedule: Schedule, only: tuple[int, ...] | None) -> Schedule:
    if only is None:
        return schedule
    return dataclasses.replace(schedule, faults=tuple(fault for fault in schedule.faults if fault.number in only))


def _run(schedule: Schedule, *, counts: bool, keep: Path | None, forked: bool) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{schedule.output}-{schedule.seed}-"))
    began = time.monotonic()
    reasons: list[str] = []
    world: World | None = None
    try:
        world = World(schedule, folder, nursery() if forked else None)
        world.run()
        world.letters = len(world.obligations.dead())
        reasons = verdict.violations(world)
    except BrokenPromiseError as exc:
        reasons = [str(exc), *(world.obligations.violations if world else ()), *(world.agents.trouble if world else ())]
    except Exception:  # noqa: BLE001 - a bug of this model is a failed schedule, with its traceback
        reasons = [traceback.format_exc()]
    if reasons and world is not None and counts and (excuse := verdict.excuse(world, reasons)):
        reasons = []
        state, why = VOID, [excuse]
    else:
        state, why = (FAILED, reasons) if reasons else (OK, [])
    if state == OK and counts and world is not None and (excuse := verdict.void(world)):
        state, why = VOID, [excuse]
    if state == FAILED and keep is not None:
        (folder / "told.txt").write_text("" if world is None else world.told())
        shutil.copytree(folder, keep / folder.name, ignore_dangling_symlinks=True, symlinks=True)
    shutil.rmtree(folder, ignore_errors=True)
    outcome = _outcome(schedule, world, state, why, time.monotonic() - began)
    return dataclasses.replace(outcome, forked=forked, **under_test())


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
        stalls=len(world.stalls),
    )


def _end_with_parent() -> None:
    """Have the kernel end a worker whose campaign was killed; its nursery and agents follow by themselves."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def run_many(
    seeds: Iterable[tuple[int, str]], *, workers: int = WORKERS, keep: Path | None = None
) -> Iterator[Outcome]:
    """Run many side by side; yields each outcome as it comes."""
    under_test()  # before it can change under us; the workers inherit it
    waiting = iter(seeds)
    with ProcessPoolExecutor(workers, initializer=_end_with_parent) as pool:
        running: set[Future[Outcome]] = set()
        try:
            while True:
                for seed, output in itertools.islice(waiting, workers - len(running)):
                    running.add(pool.submit(run_seed, seed, output, keep=keep))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def shrink(failed: Outcome, tell: Any = print, *, executed: bool | None = None) -> tuple[int, ...]:
    """Leave out faults one at a time while it still fails; returns the numbers of those that are needed."""
    run = partial(run_seed, failed.seed, failed.output, attempt=failed.attempt, executed=executed)
    needed = tuple(fault["number"] for fault in failed.faults)
    for number in needed:
        fewer = tuple(other for other in needed if other != number)
        if any(run(only=fewer).verdict == FAILED for _ in range(SHRINK_TRIES)):
            needed = fewer
            tell(f"still fails without fault {number}: {command(failed.seed, failed.output, failed.attempt, needed)}")
    return needed


def kinds_of(output: str) -> list[str]:
    """Names of the faults that an output can meet."""
    return [name for name, kind in KINDS.items() if output in kind.outputs]
