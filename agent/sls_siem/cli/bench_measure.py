"""Measures one case: an endless service and a counting receiver in processes of their own, the shipper in another.

What counts is what the receiver has counted, in raw bytes (as pulled, decompressed), against the CPU time that the
kernel charged to the shipper's process alone: warm-up, then one stretch of time, several times with a fresh process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Protocol

from sls_siem.cli.bench_case import Case
from sls_siem.cli.bench_certificate import Certificate, make_certificate
from sls_siem.cli.demo_rig import AgentProcess, RigError, SlsProcess, pause, starting_children
from sls_siem.cli.demo_usage import Usage
from sls_siem.emulator.remote import EmulatorProcess

FIRST_EVENT_S = 60.0
_LOOK_S = 0.1
_REPEAT = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How long and how often.

    Args:
        runs: each with a fresh process and consumer group.
        warmup_s: from the first arrival on.
        seconds: that are measured.
    """

    runs: int = 3
    warmup_s: float = 2.0
    seconds: float = 5.0


@dataclass(frozen=True)
class Run:
    """What one run found.

    Args:
        events: that arrived in the measured time.
        raw_mb: of these, as pulled, decompressed.
        cpu_s: CPU time of the shipper in that time.
        wall_s: that time.
        peak_bytes: most memory the shipper had resident, from its start on.
    """

    events: int
    raw_mb: float
    cpu_s: float
    wall_s: float
    peak_bytes: int

    @property
    def raw_mb_per_cpu_s(self) -> float:
        # The kernel counts CPU time in hundredths of a second.
        return self.raw_mb / max(self.cpu_s, 0.01)

    @property
    def wall_mb_per_s(self) -> float:
        return self.raw_mb / self.wall_s

    @property
    def cores(self) -> float:
        """Share of one core it took."""
        return self.cpu_s / self.wall_s


class Shipper(AbstractContextManager["Shipper"], Protocol):
    """The process that is measured; ended with its context."""

    def check(self) -> None:
        """Raise `RigError` when it has ended."""
        ...

    def usage(self) -> Usage:
        """CPU time and memory so far."""
        ...


class Stage:
    """Everything of a case but the shipper.

    Args:
        case: what is measured.
        folder: an empty one for its files.
        mb_per_s: raw megabytes a second that appear in each shard; None has them all there from the start.
        preloaded: False leaves the shards empty.
    """

    def __init__(self, case: Case, folder: Path, *, mb_per_s: Optional[float] = None, preloaded: bool = True) -> None:
        self.case = case
        self.mb_per_s = mb_per_s
        self._preloaded = preloaded
        self.folder = folder
        self._stack = ExitStack()
        self._certificate: Certificate
        self.sls: SlsProcess
        self.receiver: EmulatorProcess

    def __enter__(self) -> Stage:  # noqa: PYI034 - Self is not in Python 3.9
        with self._stack:
            with starting_children():
                self.sls = self._stack.enter_context(SlsProcess(self.case.shards))
                self.receiver = self._start_receiver()
            if self._preloaded:
                self._preload()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _preload(self) -> None:
        for shard in range(self.case.shards):
            self.sls.control.post(
                "preload",
                shard=shard,
                profile=self.case.profile,
                logs=self.case.logs_per_shard,
                logs_per_group=self.case.logs_per_group,
                seed=shard,
                repeat=_REPEAT,
                **({"mb_per_s": self.mb_per_s} if self.mb_per_s else {}),
            )

    def _start_receiver(self) -> EmulatorProcess:
        options = []
        if self.case.tls:
            self._certificate = make_certificate(self.folder)
            options = ["--tls-cert", str(self._certificate.cert_file), "--tls-key", str(self._certificate.key_file)]
        return self._stack.enter_context(EmulatorProcess(self.case.emulator, self.case.receiver_settings(), options))

    def arrived(self) -> int:
        """Events that the receiver has counted so far."""
        return int(self.receiver.ask("summary")["counters"]["events"])

    def agent(self, number: int) -> AgentProcess:
        """Start the agent with a consumer group of its own."""
        token_file = self.folder / "hec-token"
        token_file.write_text(str(self.receiver.addresses.get("token", "")), encoding="utf-8")
        tables = {"sls": self.sls.tables(f"bench-{number}")}
        for name, keys in self.case.agent_tables(self.receiver.addresses, str(token_file)).items():
            tables.setdefault(name, {}).update(keys)
        if self.case.tls:
            tables["tls"] = {"ca_file": str(self._certificate.cert_file)}
        return AgentProcess(self.folder / f"agent-{number}", tables, self.sls, codec=self.case.codec)


def measure(stage: Stage, plan: Plan, start: Callable[[int], Shipper]) -> list[Run]:
    """Measure a shipper on a stage.

    Args:
        stage: entered.
        plan: how long and how often.
        start: starts the shipper; given the number of the run, from 1.

    Raises:
        RigError: the shipper ended, or delivers nothing.
    """
    return [_measure_once(stage, plan, start, number) for number in range(1, plan.runs + 1)]


def _measure_once(stage: Stage, plan: Plan, start: Callable[[int], Shipper], number: int) -> Run:
    arrived_before = stage.arrived()
    with ExitStack() as stack:
        with starting_children():
            shipper = stack.enter_context(start(number))
        _await_arrival(stage, shipper, arrived_before)
        pause(plan.warmup_s)
        first = _Reading(stage, shipper)
        pause(plan.seconds)
        last = _Reading(stage, shipper)
        shipper.check()
    events = last.events - first.events
    return Run(
        events=events,
        raw_mb=events * stage.case.raw_bytes_per_log / 1e6,
        cpu_s=last.usage.cpu_s - first.usage.cpu_s,
        wall_s=last.at_s - first.at_s,
        peak_bytes=last.usage.peak_bytes,
    )


class _Reading:
    """All meters at one moment."""

    def __init__(self, stage: Stage, shipper: Shipper) -> None:
        self.usage = shipper.usage()
        self.at_s = time.monotonic()
        self.events = stage.arrived()


def _await_arrival(stage: Stage, shipper: Shipper, before: int) -> None:
    deadline = time.monotonic() + FIRST_EVENT_S
    while stage.arrived() == before:
        shipper.check()
        if time.monotonic() > deadline:
            raise RigError(f"{stage.case.name}: nothing has arrived within {FIRST_EVENT_S:g} s")
        pause(_LOOK_S)
