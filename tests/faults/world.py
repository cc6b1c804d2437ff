"""One schedule's world: the emulators, the agents between them, the feeder, and the loop that lets faults happen.

Everything but the servers' own threads runs in the thread that calls `run`: a fault is a generator that yields how
long it wants to be left alone.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Union

from sls_siem.config.rules import zstd_available
from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.relp import RelpEmulator
from sls_siem.emulator.sls import Settings, SlsEmulator
from sls_siem.emulator.store import now_s
from sls_siem.emulator.syslog import SyslogEmulator
from tests.e2e.harness import GROUP, KEY_ID, KEY_SECRET, AgentProcess, sls_tables
from tests.faults.clock import Clock
from tests.faults.nursery import Nursery
from tests.faults.oracle import Obligations
from tests.faults.ports import free_ports
from tests.faults.schedule import ANY_HEC, HEC_ACK, KINDS, PLAIN, RELP, TLS, Course, Happening, Schedule

LOGS, PULLS = 5000, 20
GROUP_TIMEOUT_S = 4.0
WINDOW_BYTES = 16 << 20
MOST_RESIDENT = WINDOW_BYTES + 80 * 1024 * 1024
TICK_S = 0.04
WATCH_S = 2.0
STALL_S = 0.5
SOURCE_SEEDS = 2
START_S, FEED_S, ALL_STRUCK_S, QUIET_S, FRESH_S, STOP_S = 25.0, 3.5, 14.0, 75.0, 20.0, 25.0
PATIENCE = float(os.environ.get("SLS_SIEM_TEST_PATIENCE", "1"))
"""Every deadline, and `settle_s`, is so much longer: for a machine that others keep busy."""
SETTLE_S = 1.5 * PATIENCE
CLONE = 9
Receiver = Union[HecEmulator, SyslogEmulator, RelpEmulator]


@lru_cache(maxsize=SOURCE_SEEDS)
def _sources(seed: int) -> list[LogSource]:
    made = {profile: LogSource(profile, seed) for profile in ("nginx", "hostile", "actiontrail")}
    return [made[profile] for profile in ("nginx", "nginx", "hostile", "actiontrail")]


@lru_cache(maxsize=4000)
def generated(seed: int, source: int, first_seq: int, logs: int) -> bytes:
    """A group of generated logs; costly to make, and the schedules of one process ask for the same ones again."""
    return _sources(seed)[source].group(first_seq, logs, 1_700_000_000 + first_seq // 100)


class Row:
    """An endless row of groups, the same for the same seed and start as long as the same sizes are asked for.

    Args:
        seed: of the schedule; there are `SOURCE_SEEDS` rows.
        first_seq: number of its first log: rows that may meet must not share numbers.
    """

    def __init__(self, seed: int, first_seq: int) -> None:
        self._seed = seed % SOURCE_SEEDS
        self._random = Random(f"row/{self._seed}/{first_seq}")
        self._seq = first_seq

    def group(self, logs: int | None = None) -> tuple[bytes, int]:
        """The next group, and how many logs are in it."""
        size = logs or self._random.choice((1, 5, 20, 40))
        first, self._seq = self._seq, self._seq + size
        return generated(self._seed, self._random.randrange(4), first, size), size


def _clock_time(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment)) + f"{moment % 1:.3f}"[1:]


class BrokenPromiseError(AssertionError):
    """The agent did not do what it promises."""


class ForkedAgent(AgentProcess):
    """An agent that begins where the imports end."""

    nursery: Nursery

    def start(self) -> AgentProcess:
        self.process = self.nursery.start(self.arguments(), self.environ(), self.log_path)
        return self


class Agents:
    """The agents of a schedule: started, watched, started again; all that they left behind.

    Args:
        folder: for their folders.
        tables: their configuration.
        seconds: between two looks at them.
        nursery: forks them; None starts each as a program.
        environ: added to their environment.
    """

    def __init__(
        self,
        folder: Path,
        tables: dict[str, dict[str, object]],
        *,
        seconds: float,
        nursery: Nursery | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        self._nursery = nursery
        self._environ = environ
        self._folder = folder
        self._tables = tables
        self._watch_s = seconds
        self._next_watch = 0.0
        self.all: dict[int, AgentProcess] = {}
        self.expected_ends: dict[int, set[int]] = {}
        self.folders: list[Path] = []
        self.trouble: list[str] = []
        self.peak_bytes = 0
        self.commands: set[str] = set()
        self.clones_allowed = False
        self.starts = 0
        self._log_from: dict[int, int] = {}

    def start(self, instance: int, consumer: int | None = None) -> AgentProcess:
        """Start an instance, for the first time or again."""
        if instance not in self.all:
            tables = {
                **self._tables,
                "sls": {**self._tables["sls"], "consumer_name": f"consumer-{consumer or instance}"},
            }
            self.all[instance] = self._make(tables, instance)
            self.folders.append(self.all[instance].folder)
        self.expected_ends[instance] = set()
        log_path = self.all[instance].log_path
        self._log_from[instance] = log_path.stat().st_size if log_path.exists() else 0
        self.starts += 1
        return self.all[instance].start()

    def _make(self, tables: dict[str, dict[str, object]], instance: int) -> AgentProcess:
        if self._nursery is None:
            return AgentProcess(self._folder, tables, instance=instance, environ=self._environ)
        made = ForkedAgent(self._folder, tables, instance=instance, environ=self._environ)
        made.nursery = self._nursery
        return made

    def running(self) -> list[int]:
        """Instances that run, clones aside."""
        return [number for number, agent in self.all.items() if number != CLONE and agent.running()]

    def settled(self) -> list[int]:
        """Instances that catch signals by now: they have said who they are."""
        return [number for number in self.running() if b" instance " in self._said(number)]

    def _said(self, instance: int) -> bytes:
        with self.all[instance].log_path.open("rb") as log:
            log.seek(self._log_from[instance])
            return log.read(100_000)

    def kill(self, instance: int) -> None:
        self.expected_ends[instance].add(-signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            self.all[instance].kill()

    def terminate(self, instance: int) -> None:
        """Send SIGTERM; while Python starts or ends, it still ends by the signal; a second one ends at once."""
        expected = self.expected_ends[instance]
        expected |= {143, -signal.SIGTERM} if 0 in expected else set()
        expected |= {0} if instance in self.settled() else {0, -signal.SIGTERM}
        with contextlib.suppress(ProcessLookupError):
            self.all[instance].signal(signal.SIGTERM)

    def watch(self) -> None:
        """Note ends that nobody asked for, and how much memory is in use."""
        for number, agent in self.all.items():
            status = agent.process.poll() if agent.process is not None else None
            allowed = self.expected_ends[number] | ({78} if self.clones_allowed else set())
            if status is not None and status not in allowed:
                self.trouble.append(f"agent {number} ended with {status}: {agent.log()[-1500:]}")
                self.expected_ends[number].add(status)
        if time.monotonic() >= self._next_watch:
            self._next_watch = time.monotonic() + self._watch_s
            for agent in self.all.values():
                if agent.running():
                    with contextlib.suppress(OSError, AssertionError):
                        self.peak_bytes = max(self.peak_bytes, agent.peak_bytes())
                        self.commands.add(Path(f"/proc/{agent.process.pid}/cmdline").read_text())
                        self.commands.update(told_to_children(agent.process.pid))

    def close(self) -> None:
        for agent in self.all.values():
            if agent.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    agent.process.send_signal(signal.SIGCONT)
            agent.kill()


def told_to_children(pid: int) -> set[str]:
    """What a process has handed to those that it started: command line and environment of each that runs."""
    found: set[str] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                found |= {Path(f"/proc/{child}/{name}").read_text(errors="replace") for name in ("cmdline", "environ")}
    return found


class World:
    """Runs one schedule.

    Args:
        schedule: what happens.
        folder: for everything on disk; it is left behind.
        nursery: forks the agents; None starts each as a program.
    """

    def __init__(self, schedule: Schedule, folder: Path, nursery: Nursery | None = None) -> None:
        self._nursery = nursery
        self.clock = Clock(folder / "clock")
        self.schedule = schedule
        self.output = schedule.output
        self._random = Random(f"feed/{schedule.seed}/{schedule.attempt}")
        self._stack = contextlib.ExitStack()
        self._folder = folder
        settings = Settings(expired_cursor=schedule.expired_cursor)
        self.sls = SlsEmulator(project="p", logstore="ls", shards=schedule.shards, settings=settings)
        self.sls.add_key(KEY_ID, KEY_SECRET)
        self.certificates = Certificates(folder / "pki")
        self.siem: Receiver = self._make_siem()
        self._feed_row = Row(schedule.seed, 0)
        self._single_row = Row(schedule.seed, 1 << 24)
        self._samples: list[tuple[float, int]] = []
        self._courses: list[tuple[float, Happening, Course]] = []
        self.boot_s = now_s() - time.monotonic()
        self.receiver_busy = False
        self.disk_spoiled = False
        self.stalls: list[tuple[float, float]] = []
        self.continued_s: list[float] = []  # when processes that had been stopped went on
        self._began_s = self._ticked_s = now_s()
        self.quiet_from_s = self._ticked_s
        self.hec_token = HecToken(use_ack=self.output == HEC_ACK)
        self.metrics_text = ""
        self.letters = 0

    def _make_siem(self) -> Receiver:
        if self.output in ANY_HEC:
            return HecEmulator(
                tokens=(HecToken(use_ack=self.output == HEC_ACK),),
                index_delay_s=self._random.choice((0.0, 0.1, 0.4)) if self.output == HEC_ACK else 0.0,
                ack_partial=self.schedule.seed % 2 == 0,
                keep_bytes=True,
            )
        if self.output == RELP:
            return RelpEmulator(rfc="5424", keep_bytes=True)
        tls = server_context(self.certificates.server) if self.output == TLS else None
        return SyslogEmulator(framing="octet-counting" if tls else "lf", rfc="5424", tls=tls, keep_bytes=True)

    # --- configuration ---

    def _tables(self) -> dict[str, dict[str, object]]:
        sls = sls_tables(self.sls, start="end", group_timeout_s=int(GROUP_TIMEOUT_S), heartbeat_s=1)
        # Only the compiled codec undoes zstd, before Python 3.14.
        sls["compression"] = self.schedule.compression if zstd_available() else "lz4"
        tables: dict[str, dict[str, object]] = {
            "sls": sls,
            "delivery": {"checkpoint_s": 0.2, "drain_s": 4, "window_bytes": WINDOW_BYTES, "unsettled_s": 60},
            "log": {"level": "debug"},
            "metrics": {"port": self._stack.enter_context(free_ports())},
        }
        if self.output in ANY_HEC:
            token_file = self._folder / "hec-token"
            token_file.write_text(self.siem.token + "\n")
            hec = {"urls": [self.siem.url], "token_file": str(token_file), "timeout_s": 2, "batch_age_s": 0.1}
            hec |= {"batch_bytes": 65536, "acknowledge": self.output == HEC_ACK, "ack_timeout_s": 3}
            return {**tables, "siem": {"output": "hec"}, "hec": hec}
        syslog: dict[str, object] = {"url": self.siem.url, "settle_s": SETTLE_S, "max_bytes": 1_000_000}
        if self.output == TLS:
            tables["tls"] = {"ca_file": str(self.certificates.ca_file), "server_name": "localhost"}
        return {**tables, "siem": {"output": "syslog"}, "syslog": syslog}

    # --- the course of a schedule ---

    def run(self) -> None:
        """Run it to its end.

        Raises:
            BrokenPromiseError: a promise was broken, said in full.
        """
        with self._stack:
            self._stack.enter_context(self.sls)
            self._stack.enter_context(self.siem)
            self.agents = self._make_agents()
            self._stack.callback(self.agents.close)
            self.obligations = Obligations(self.sls, self.siem.store, self.agents.folders, patient=self.output in PLAIN)
            self._begin()
            self._let_happen()
            self.quiet_from_s = now_s()
            self._quiet()
            self._fresh()
            self._stop()

    def _make_agents(self) -> Agents:
        if any(fault.kind == "clock-stepped" for fault in self.schedule.faults):
            return Agents(self._folder, self._tables(), seconds=WATCH_S, environ=self.clock.environ())
        return Agents(self._folder, self._tables(), seconds=WATCH_S, nursery=self._nursery)

    def _begin(self) -> None:
        for instance in range(1, self.schedule.agents + 1):
            self.agents.start(instance)
        self.obligations.configure(self.agents.all[1].config_path)
        self.until(lambda: self._first_positions() == self.schedule.shards, START_S, "the first positions")

    def _first_positions(self) -> int:
        group = self.sls.store.consumer_groups.get(GROUP)
        if group is None:
            return 0
        return sum(group.checkpoint(shard).position is not None for shard in range(self.schedule.shards))

    def _let_happen(self) -> None:
        began = time.monotonic()
        waiting = sorted(self.schedule.faults, key=lambda happening: happening.at_s)
        self._courses = [
            (
                began + happening.at_s,
                happening,
                KINDS[happening.kind].begin(self, self.schedule.random(happening.number), happening),
            )
            for happening in waiting
        ]
        while True:
            elapsed = time.monotonic() - began
            fed = self.obligations.appended >= LOGS
            if elapsed > ALL_STRUCK_S or (fed and elapsed >= FEED_S and not self._courses):
                break
            self._feed(elapsed)
            self._tick()
        for _, happening, course in self._courses:
            course.close()
            happening.ended_s = None if happening.lasting else now_s()
        self._courses = []

    def _feed(self, elapsed: float) -> None:
        due = min(LOGS * 1.05 * elapsed / FEED_S, LOGS * 1.05) + 150 * max(0.0, elapsed - FEED_S)
        while self.obligations.appended < due:
            group, logs = self._feed_row.group()
            self.obligations.append(None, group, logs=logs)

    def append(self, logs: int, shard: int | None = None) -> tuple[int, int]:
        """Store one group of generated logs."""
        group, _ = self._single_row.group(logs)
        return self.obligations.append(shard, group, logs=logs)

    def _tick(self) -> None:
        now = time.monotonic()
        if now_s() - self._ticked_s > STALL_S:
            self.stalls.append((self._ticked_s, now_s()))
        self._ticked_s = now_s()
        self._samples.append((self._ticked_s, self.obligations.in_flight()))
        courses = []
        for due, happening, course in self._courses:
            if now < due:
                courses.append((due, happening, course))
                continue
            pause = next(course, None)
            if pause is None:
                happening.ended_s = None if happening.lasting else now_s()
            else:
                courses.append((now + pause, happening, course))
        self._courses = courses
        self.agents.watch()
        self.obligations.look()
        if self.obligations.violations:
            raise BrokenPromiseError(f"after {now_s() - self._began_s:.1f} s:")
        time.sleep(TICK_S)

    def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        """Let time pass until the condition holds.

        Raises:
            BrokenPromiseError: it did not come about in time.
        """
        deadline = time.monotonic() + seconds * PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise BrokenPromiseError(f"{what} did not come about within {seconds:g} s")
            self._tick()

    def struck(self, happening: Happening, at_s: float | None = None) -> None:
        """Note that a fault struck, and how many logs were not settled then."""
        happening.struck_s = now_s() if at_s is None else at_s
        before = [count for moment, count in self._samples if moment <= happening.struck_s]
        happening.in_flight = before[-1] if before else 0

    # --- the quiet phase ---

    def _quiet(self) -> None:
        self.sls.faults.clear()
        self.sls.settings.skew_s = 0.0
        self.clock.step(0.0)
        self.sls.start_listening()
        self.siem.clear_faults()
        if isinstance(self.siem, HecEmulator):
            self.siem.set_token(self.hec_token)
            self.siem.set_state("ok")
        if isinstance(self.siem, SyslogEmulator) and self.output == TLS:
            self.siem.set_tls(server_context(self.certificates.server))
        self.siem.listen_again()
        for instance, agent in self.agents.all.items():
            if agent.running():
                agent.signal(signal.SIGCONT)
                if instance == CLONE:
                    self.agents.kill(instance)
        for instance in range(1, self.schedule.agents + 1):
            if not self.agents.all[instance].running():
                self.agents.start(instance)
        self._absent = self.obligations.ids()
        try:
            self.until(self._everything_is_there, QUIET_S, "the arrival of every log and its checkpoint")
        except BrokenPromiseError as exc:
            behind = self.obligations.in_flight()
            self._absent = set(self.siem.store.missing(self._absent))
            raise BrokenPromiseError(
                f"{exc}; {len(self._absent)} missing, {sorted(self._absent)[:5]}, {behind} not saved"
            ) from exc

    def _everything_is_there(self) -> bool:
        for number in range(1, self.schedule.agents + 1):
            if self.agents.clones_allowed and not self.agents.all[number].running():
                self.agents.start(number)
        if not self.obligations.all_saved():
            return False
        self._absent = set(self.siem.store.missing(self._absent))
        if self._absent:
            self._absent -= self.obligations.gone | set(self.obligations.dead())
            self._absent -= self.obligations.stripped(self._absent)
        return not self._absent

    def _fresh(self) -> None:
        fresh = []
        for shard in [shard.number for shard in self.sls.store.shards() if not shard.read_only]:
            place = self.append(1, shard)
            fresh.append(f"{place[0]}-{place[1]}-0")
        self.until(lambda: all(event_id in self.siem.store for event_id in fresh), FRESH_S, "the arrival of fresh logs")

    def _stop(self) -> None:
        self.metrics_text = "".join(self._metrics_of(instance) for instance in self.agents.running())
        for instance in self.agents.running():
            self.agents.terminate(instance)
        self.until(lambda: not self.agents.running(), STOP_S, "the end of the agents after SIGTERM")
        self.until(self.obligations.all_saved, 0.1, "the last checkpoints")
        self.agents.watch()
        self.obligations.look(at_end=True)

    def _metrics_of(self, instance: int) -> str:
        lines = self.agents.all[instance].config_path.read_text().splitlines()
        port = next(int(line.split()[-1]) for line in lines if line.startswith("port ")) + instance
        found: list[str] = []

        def read() -> bool:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer,
            ):
                found.append(answer.read().decode())
            return bool(found)

        self.until(read, 10.0, f"the metrics of agent {instance}")
        return found[0]

    def secrets(self) -> list[str]:
        """What must be found nowhere."""
        plain = [KEY_SECRET]
        if isinstance(self.siem, HecEmulator):
            plain.append(self.siem.token)
        return plain + [base64.b64encode(secret.encode()).decode().rstrip("=") for secret in plain]

    def told(self) -> str:
        """What the service and the receiver know, a line for each thing, by the clock of the agents' logs."""
        told: list[tuple[float, str]] = []
        for fault in self.schedule.faults:
            for word, moment in (("struck", fault.struck_s), ("over", fault.ended_s)):
                told += [] if moment is None else [(moment, f"fault {fault.number} {fault.kind} {word}")]
        for save in self.sls.history.saves:
            told.append((save.at + self.boot_s, f"shard {save.shard} saved {save}"))
        told += [(strike.at_s, str(strike)) for strike in self.siem.strikes()]
        if isinstance(self.siem, HecEmulator):
            told += [(request.at_s, str(request)) for request in self.siem.requests()]
        else:
            told += [(one.at_s, f"accepted {one.number} from {one.peer}") for one in self.siem.connections()]
            told += [(one.ended_s, f"ended {dataclasses.replace(one, partial=b'')}") for one in self.siem.connections()]
        epoch_s = time.time() - now_s()
        return "".join(f"{_clock_time(moment + epoch_s)} {text[:1000]}\n" for moment, text in sorted(told))

    def an_agent(self, random: Random) -> int | None:
        """Pick a running agent; None when there is none."""
        running = self.agents.running()
        return random.choice(running) if running else None

    def in_turn(self) -> Iterator[float]:
        """Wait until no other fault of the receiver is under way, and take its place: `receiver_busy` is then set.

        Plain syslog promises nothing about bytes that a receiver has not read for `settle_s`: a fault that throws
        unread bytes away must not meet one that keeps a receiver from reading.
        """
        while self.receiver_busy:
            yield 0.05
        self.receiver_busy = True
