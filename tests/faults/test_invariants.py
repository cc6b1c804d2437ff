"""The invariants of the design, each shown by the agent as a process; each docstring says how to see the test fail.

Invariant 3 is `tests/e2e/test_pipe.py`, the process stopped beyond its lease. All of them together, under random
faults, are `test_schedules`. `python -m tests.faults.broken` breaks each and sees these tests fail.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.hec import HecEmulator, HecToken
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import Fault, SlsEmulator
from sls_siem.emulator.store import Comparison
from tests.e2e.harness import GROUP, KEY_ID, KEY_SECRET, AgentProcess, Oracle, Trickle, hec_tables, until
from tests.faults.oracle import Obligations

pytestmark = pytest.mark.e2e
MIB = 1024 * 1024
WINDOW_BYTES = 16 * MIB
STALL_S = float(os.environ.get("SLS_SIEM_TEST_STALL_S", "60"))


@pytest.fixture
def sls():
    with SlsEmulator(project="p", logstore="ls", shards=2) as emulator:
        emulator.add_key(KEY_ID, KEY_SECRET)
        yield emulator


@pytest.fixture
def hec():
    with HecEmulator(tokens=(HecToken(use_ack=True),), keep_bytes=True) as emulator:
        yield emulator


@pytest.fixture
def agent_of(tmp_path: Path, sls: SlsEmulator, hec: HecEmulator):
    made: list[AgentProcess] = []
    token_file = tmp_path / "hec-token"
    token_file.write_text(hec.token)

    def make(*, environ: dict[str, str] | None = None, **changes: dict[str, object]) -> AgentProcess:
        hec_keys = {"acknowledge": True, "ack_timeout_s": 3, "batch_bytes": 65536, "timeout_s": 2}
        changes["hec"] = {**hec_keys, **changes.get("hec", {})}
        made.append(AgentProcess(tmp_path, hec_tables(sls, [hec.url], token_file, **changes), environ=environ))
        return made[-1].start()

    yield make
    for agent in made:
        agent.kill()
        print(agent.log()[-3000:])


def first_positions(sls: SlsEmulator) -> bool:
    group = sls.store.consumer_groups.get(GROUP)
    return group is not None and all(group.checkpoint(shard).position is not None for shard in (0, 1))


def fill(sls: SlsEmulator, groups: int, *, shard: int | None = None, logs: int = 20) -> None:
    source = LogSource("nginx")
    for number in range(groups):
        sls.store.append(shard, [source.group(logs * number, logs, 1_700_000_000)])


def test_invariant_0_a_shard_born_while_no_consumer_lives_is_read_from_its_begin(sls, hec, agent_of) -> None:
    """To see it fail: let `ShardWorker._first_position` ask for the cursor "end" of a shard without a checkpoint."""
    agent = agent_of(sls={"start": "end"})
    until(lambda: first_positions(sls))
    fill(sls, 10)
    agent.kill()
    sls.store.split(0)
    fill(sls, 10)
    successor = agent_of(sls={"start": "end"})
    expected = Oracle(sls, successor.config_path).expected()

    until(lambda: not hec.store.compare(expected).missing, 40, "the arrival of every log")


def test_invariant_0_a_process_that_dies_before_its_first_periodic_checkpoint_loses_nothing(sls, hec, agent_of) -> None:
    """And its successor begins where the group began: not before, not after.

    To see it fail: let `FirstStart._save_missing` save nothing, or only the maker of the group leave it out; or let
    `ShardWorker._first_position` start at "end" whatever checkpoint is stored.
    """
    changes = {"sls": {"start": "end"}, "delivery": {"checkpoint_s": 60}}
    for shard in (0, 1):
        fill(sls, 5, shard=shard)
    hec.inject("black_hole")
    agent = agent_of(**changes)
    before = Oracle(sls, agent.config_path).ids()
    until(lambda: [beat for beat in sls.history.heartbeats if not beat.refused])
    until(agent.shards)
    fill(sls, 10)
    until(hec.strikes)
    agent.kill()
    hec.clear_faults()
    successor = agent_of(**changes)
    expected = Oracle(sls, successor.config_path).expected()
    wanted = {event_id: digest for event_id, digest in expected.items() if event_id not in before}

    until(lambda: not hec.store.compare(wanted).missing, 40, "the arrival of every log")
    assert () == hec.store.compare(wanted).unknown


def test_invariant_1_no_checkpoint_passes_a_log_that_is_not_indexed(sls, hec, agent_of, tmp_path) -> None:
    """At every save, while indexers crash and acknowledgements fail to come.

    To see it fail: let `Ledger.position` return the frontier's, or `HecLane.send` report its token settled at once.
    """
    hec.configure(index_delay_s=0.3)
    agent = agent_of()
    obligations = Obligations(sls, hec.store, [agent.folder], patient=False)
    obligations.configure(agent.config_path)
    source = LogSource("nginx")
    with Trickle(lambda number: obligations.append(None, source.group(20 * number, 20, 1_700_000_000)), 0.01):
        until(lambda: obligations.saves > 5)
        for _ in range(4):
            hec.crash(forget_unacknowledged=True)
            hec.inject("ack_never", count=2)
            time.sleep(0.5)
    until(obligations.all_saved, 60, "the last checkpoint")
    obligations.look(at_end=True)

    assert obligations.violations == []
    assert hec.counters.lost_in_crash > 0
    assert obligations.in_flight() == 0


def test_invariant_2_what_arrives_is_what_the_encoder_makes(sls, hec, agent_of) -> None:
    """To see it fail: let `HecLane._body` drop or change a byte."""
    for profile in ("hostile", "actiontrail"):
        sls.feed(sls.store, profile=profile, logs=500, mb_per_s=None).join(30)
    agent = agent_of()
    expected = Oracle(sls, agent.config_path).expected()
    until(lambda: len(hec.store) >= len(expected), 40)

    assert 0 == agent.stop()
    assert Comparison() == hec.store.compare(expected)


@pytest.mark.slow
@pytest.mark.timeout(240 + int(STALL_S))
def test_invariant_4_memory_stays_below_the_window_and_a_constant(tmp_path: Path) -> None:
    """Ten shards, the window full for a minute (`SLS_SIEM_TEST_STALL_S`), and logs of the most awkward sizes.

    To see it fail: let `Window.reserve` return True at once.
    """
    awkward = [
        make_group([{"big": "x" * 1000} for _ in range(9_000)], time=1_700_000_000),
        make_group([{"control": "\x01" * MIB}], time=1_700_000_000),
        make_group([{"i": "1"} for _ in range(100_000)], time=1_700_000_000),
    ]
    with SlsEmulator(project="p", logstore="ls", shards=10) as sls, HecEmulator() as hec:
        sls.add_key(KEY_ID, KEY_SECRET)
        token_file = tmp_path / "token"
        token_file.write_text(hec.token)
        for shard in range(10):
            fill(sls, 100, shard=shard, logs=200)
        for group in awkward:
            sls.store.append(0, [group])
        hec.inject("black_hole", delay_s=600)
        tables = hec_tables(sls, [hec.url], token_file, delivery={"window_bytes": WINDOW_BYTES})
        with AgentProcess(tmp_path, tables) as agent:
            until(hec.strikes, 30)
            peaks = [agent.resident_bytes()]
            until_at = time.monotonic() + STALL_S
            while time.monotonic() < until_at:
                peaks.append(agent.resident_bytes())
                time.sleep(0.2)
            hec.clear_faults()
            hec.drop_connections()
            expected = 10 * 100 * 200 + 9_000 + 1 + 100_000
            until(lambda: peaks.append(agent.resident_bytes()) or len(hec.store) >= expected, 150, "the arrival")

    print(f"stalled for {STALL_S:g} s: at most {max(peaks) / 1e6:.1f} MB resident")

    assert max(peaks) <= WINDOW_BYTES + 80 * MIB


class ServiceManager:
    """What systemd is to the agent: a socket for its notifications."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)
        self.heard: list[tuple[float, str]] = []

    def environ(self, watchdog_s: float) -> dict[str, str]:
        return {"NOTIFY_SOCKET": str(self._path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append((time.monotonic(), self._socket.recv(4096).decode()))

    def wait(self, seconds: float) -> None:
        """Listen for so long: a sender waits when nobody reads."""
        until_at = time.monotonic() + seconds
        while time.monotonic() < until_at:
            self.listen()
            time.sleep(0.05)

    def times_of(self, word: str) -> list[float]:
        self.listen()
        return [at for at, text in self.heard if word in text]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path):
    made = ServiceManager(tmp_path)
    yield made
    made.close()


def test_invariant_5_neither_an_absent_service_nor_an_absent_siem_delays_readiness_or_ends_the_process(
    sls, hec, agent_of, manager
) -> None:
    """To see it fail: let `Agent.start` wait for the first answered heartbeat."""
    sls.stop_listening()
    hec.stop_listening()
    began = time.monotonic()
    agent = agent_of(environ=manager.environ(60))
    ready = until(lambda: manager.times_of("READY=1"), 10)
    fill(sls, 10)
    manager.wait(3)

    assert ready[0] - began < 8
    assert agent.running()
    sls.start_listening()
    manager.wait(2)
    assert agent.running()
    hec.listen_again()
    until(lambda: manager.listen() or len(hec.store) == 200, 60)
    agent.signal(signal.SIGTERM)
    until(lambda: manager.listen() or not agent.running(), 30)
    assert 0 == agent.wait(1)


@pytest.mark.slow
def test_invariant_6_the_watchdog_is_fed_through_outages_that_the_agent_waits_out(sls, hec, agent_of, manager) -> None:
    """The other half, a thread that hangs starves the watchdog, is `tests/unit/test_health.py`.

    To see it fail: let `ShardGate.busy` announce nothing.
    """
    agent = agent_of(environ=manager.environ(4), hec={"timeout_s": 90})
    until(lambda: first_positions(sls))
    hec.inject("black_hole", delay_s=600)
    sls.faults.add(Fault("black_hole", call="save_checkpoint", times=2))
    fill(sls, 10)
    until(hec.strikes)
    began = time.monotonic()
    # Longer than a thread may be silent without having announced a wait.
    manager.wait(36)
    fed = [began, *(at for at in manager.times_of("WATCHDOG=1") if at > began), time.monotonic()]

    assert agent.running()
    assert max(later - earlier for earlier, later in zip(fed, fed[1:])) < 4
    assert "not fed" not in agent.log()


def test_invariant_7_no_secret_leaves_the_process_but_in_requests(sls, hec, agent_of) -> None:
    """Refused keys, refused tokens and refused events, at the level debug; searched for wherever anything is written.

    To see it fail: let `siem.hec_route.redact` and `Redactor.__call__` return their text as it is.
    """
    agent = agent_of()
    until(lambda: first_positions(sls))
    sls.faults.add(Fault("status", status=401, code="SignatureNotMatch", message=f"no: {KEY_SECRET}", times=6))
    hec.inject("answer", code=4, count=2, text=f"no such token {hec.token}")
    hec.inject("answer", code=6, at_fraction=0.5, sticky=True, count=1, text=f"refused, {hec.token}")
    fill(sls, 10)
    letters = agent.folder / "state" / "dead-letters.jsonl"
    until(letters.exists, 40)
    until(agent.status)
    command = Path(f"/proc/{agent.process.pid}/cmdline").read_text()
    assert 0 == agent.stop()
    texts = [path.read_text() for path in agent.folder.rglob("*") if path.is_file() and path != agent.config_path]

    assert len(texts) >= 3
    for text in [command, *texts]:
        assert KEY_SECRET not in text
        assert hec.token not in text
