"""Holding a pace: logs appear evenly in every shard, and one agent has to keep up; what that costs, and how late it is.

How late each log group is follows from when it appeared and from when the request came that ends with it: both are on
this machine's clock. The receiver counts and stores nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from sls_siem.cli.bench_case import Case
from sls_siem.cli.bench_measure import FIRST_EVENT_S, Stage
from sls_siem.cli.demo_rig import AgentProcess, RigError, ended_cleanly, pause, scratch, starting_children

TRACED: Mapping[str, object] = {"sink_trace": True}
BEHIND_S = 2.5
"""A pace counts as held when no more is on its way in the end than appears in so many seconds (and `settle_s`)."""


@dataclass(frozen=True)
class Hold:
    """One pace.

    Args:
        case: the way of the logs.
        mb_per_s: raw megabytes a second that appear in each shard; None: one log every `every_s` in one of them.
        every_s: see there.
        seconds: that are measured, after `warmup_s`.
    """

    case: Case
    mb_per_s: Optional[float] = 10.0
    every_s: float = 5.0
    seconds: float = 60.0
    warmup_s: float = 5.0


HOLDS = (
    Hold(Case("HEC", "hec", shards=10, receiver=TRACED)),
    Hold(Case("HEC, acknowledged after 2 s", "hec", acknowledge=True, shards=10, receiver={"ack_delay_s": 2.0})),
    Hold(Case("syslog TCP, settle_s = 2", "syslog", shards=10)),
    Hold(Case("HEC, one shard", "hec", shards=1, receiver=TRACED), seconds=30.0),
    Hold(Case("HEC, one log every 5 s", "hec", shards=10, receiver=TRACED), mb_per_s=None),
)


@dataclass
class Held:
    """What was found; sizes in bytes, times in seconds."""

    name: str
    wanted_mb_per_s: float
    mb_per_s: float
    behind_s: float
    cores: float
    resident: int
    peak: int
    calls_per_s: float
    late_s: list[float] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For the JSON and the table."""
        late = sorted(self.late_s)
        quantiles = {name: late[int(len(late) * share)] for name, share in _SHARES.items()} if late else {}
        return {
            "case": self.name,
            "wanted_mb_per_s": round(self.wanted_mb_per_s, 3),
            "mb_per_s": round(self.mb_per_s, 3),
            "behind_s": round(self.behind_s, 2),
            "cores": round(self.cores, 4),
            "resident_mb": round(self.resident / 1e6, 1),
            "peak_resident_mb": round(self.peak / 1e6, 1),
            "sls_calls_per_s": round(self.calls_per_s, 2),
            "late_s": {name: round(value, 3) for name, value in quantiles.items()},
        }


_SHARES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}


def hold(plan: Hold) -> dict[str, Any]:
    """Let one agent keep that pace.

    Raises:
        RigError: a process ended, or nothing arrives.
    """
    with ended_cleanly() as stack:
        folder = scratch(stack)
        stage = stack.enter_context(
            Stage(plan.case, folder, mb_per_s=plan.mb_per_s, preloaded=plan.mb_per_s is not None)
        )
        with starting_children():
            agent = stack.enter_context(stage.agent(1))
        if plan.mb_per_s is None:
            speed = plan.case.raw_bytes_per_log / plan.every_s / 1e6
            stage.sls.control.post("feed", shard=0, logs_per_group=1, mb_per_s=speed, profile=plan.case.profile)
        _await_first(stage, agent)
        pause(plan.warmup_s)
        first = _Reading(stage, agent)
        largest = 0
        for _ in _ticks(plan.seconds):
            agent.check()
            largest = max(largest, agent.usage().resident_bytes)
        last = _Reading(stage, agent)
        traces = _traces(stage, plan, since=first.wall, until=last.wall)
    return _held(plan, first, last, largest, traces).document()


class _Reading:
    """All meters at one moment."""

    def __init__(self, stage: Stage, agent: AgentProcess) -> None:
        self.wall = time.time()
        self.usage = agent.usage()
        self.at_s = time.monotonic()
        self.events = stage.arrived()
        self.calls = int(stage.sls.control.get("stats")["calls"])
        per_group = stage.case.logs_per_group if stage.mb_per_s is not None else 1
        shards = stage.sls.control.get("shards")
        self.appended = sum(shard["end"] - shard["base"] for shard in shards) * per_group


def _held(plan: Hold, first: _Reading, last: _Reading, largest: int, late: list[float]) -> Held:
    case, seconds = plan.case, last.at_s - first.at_s
    size = case.raw_bytes_per_log / 1e6
    wanted = case.shards * plan.mb_per_s if plan.mb_per_s is not None else size / plan.every_s
    behind_mb = max(0, last.appended - last.events) * size
    return Held(
        name=case.name,
        wanted_mb_per_s=wanted,
        mb_per_s=(last.events - first.events) * size / seconds,
        behind_s=behind_mb / wanted,
        cores=(last.usage.cpu_s - first.usage.cpu_s) / seconds,
        resident=largest,
        peak=last.usage.peak_bytes,
        calls_per_s=(last.calls - first.calls) / seconds,
        late_s=late,
    )


def _traces(stage: Stage, plan: Hold, *, since: float, until: float) -> list[float]:
    """How late each log group was whose end came in the measured time."""
    if "sink_trace" not in plan.case.receiver:
        return []
    found = []
    appeared = _Appeared(stage)
    for trace in stage.receiver.ask("traces"):
        if since <= trace["at"] <= until:
            (shard, begin), (_, end) = _place(trace["first"]), _place(trace["last"])
            found += [trace["at"] - appeared.at(shard, position) for position in range(begin, end + 1)]
    return found


class _Appeared:
    """When the log group at a position was there to be pulled."""

    def __init__(self, stage: Stage) -> None:
        control = stage.sls.control
        self._pace: dict[int, tuple[int, float, float]] = {}
        self._listed: dict[tuple[int, int], float] = {}
        for row in control.get("shards"):
            shard, base = row["shard"], row["base"]
            if stage.mb_per_s is None:
                for group in control.get("groups", shard=shard):
                    self._listed[shard, group["position"]] = group["received"]
            else:
                two = [group["received"] for group in control.get("groups", shard=shard, limit=2)]
                self._pace[shard] = (base, two[0], two[1] - two[0])

    def at(self, shard: int, position: int) -> float:
        """Epoch seconds."""
        if shard not in self._pace:
            return self._listed[shard, position]
        base, first, step = self._pace[shard]
        return first + (position - base) * step


def _place(event_id: str) -> tuple[int, int]:
    shard, position, _ = event_id.split("-")
    return int(shard), int(position)


def _await_first(stage: Stage, agent: AgentProcess) -> None:
    for _ in _ticks(FIRST_EVENT_S):
        agent.check()
        if stage.arrived():
            return
    raise RigError(f"{stage.case.name}: nothing has arrived within {FIRST_EVENT_S:g} s")


def _ticks(seconds: float) -> Iterator[float]:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        yield left
        pause(min(0.5, left))


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out what was found."""
    names = f"{'MB/s':>8}{'of':>8}{'behind s':>10}{'cores':>8}{'RSS MB':>8}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}"
    lines = [f"{'':<30}{names}"]
    for row in rows:
        late = [f"{1000 * row['late_s'][name]:.0f}" if row["late_s"] else "-" for name in ("median", "p99")]
        lines.append(
            f"{row['case']:<30}{row['mb_per_s']:>8.4g}{row['wanted_mb_per_s']:>8.4g}{row['behind_s']:>10.2f}"
            f"{row['cores']:>8.3f}{row['peak_resident_mb']:>8.1f}{row['sls_calls_per_s']:>9.1f}{late[0]:>8}{late[1]:>8}"
        )
    return "\n".join(lines)


def growth(shards: int, seconds: float) -> Hold:
    """A total of 20 MB/s, spread over so many shards."""
    case = Case(f"HEC, {shards} shards, 20 MB/s in all", "hec", shards=shards, receiver=TRACED)
    return replace(HOLDS[0], case=case, mb_per_s=20.0 / shards, seconds=seconds)
