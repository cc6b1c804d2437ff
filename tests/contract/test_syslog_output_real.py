"""The syslog output against real rsyslog and syslog-ng: they are killed again and again, and nothing is lost."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sls_siem.siem import Lane, make_output
from tests.receivers import Receiver, ReceiverSettings, Rsyslog, SyslogNg, require
from tests.unit.siem.support import Ledger, TestGate, TestTime, deliver, framed, syslog_config, syslog_frames

pytestmark = pytest.mark.contract

# As rsyslog writes a message here, and as syslog-ng writes its structured data.
_WHOLE = re.compile(rb'id=\\?"0-([0-9]+)-0\\?" logstore=\\?"ls\\?"\] x{20}|"id":"0-([0-9]+)-0"')


class RsyslogRelp(Rsyslog):
    """rsyslog that answers a RELP message only when it is in the file: direct queue, no asynchronous writing."""

    def configuration(self) -> str:
        return (
            f'global(workDirectory="{self.folder}")\n'
            'module(load="imrelp")\n'
            'template(name="raw" type="string" string="%rawmsg%\\n")\n'
            f'input(type="imrelp" address="{self.address}" port="{self.port}" ruleset="arrived")\n'
            'ruleset(name="arrived" queue.type="direct") {\n'
            f'  action(type="omfile" file="{self.output}" template="raw" asyncWriting="off" flushOnTXEnd="on")\n'
            "}\n"
        )


MOST_KILLS = 20


class Killer(threading.Thread):
    """Kills a receiver with SIGKILL and starts it again, each time after 30 more payloads were sent.

    It ends after `kills` times, but not before `struck` tells that one of them met messages on their way.
    """

    def __init__(self, receiver: Receiver, *, kills: int, struck: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._receiver = receiver
        self._kills = kills
        self._struck = struck
        self._sent = threading.Semaphore(0)
        self.start()

    def runs(self) -> bool:
        return self.is_alive()

    def step(self) -> None:
        self._sent.release()

    def run(self) -> None:
        for number in range(MOST_KILLS):
            if number >= self._kills and self._struck():
                return
            for _ in range(30):
                assert self._sent.acquire(timeout=30)
            self._receiver.kill()
            self._receiver.start()


@pytest.fixture
def gate() -> TestGate:
    return TestGate(TestTime(1.0), limit_s=90.0)


@pytest.fixture
def lane_to(gate: TestGate) -> Iterator[Callable[..., Lane]]:
    lanes: list[Lane] = []

    def make(url: str, **changes: object) -> Lane:
        config = syslog_config(url, **changes)  # type: ignore[arg-type]
        lanes.append(make_output(config, clock=gate.clock, random=lambda: 0.3).lane(0, gate))
        return lanes[-1]

    yield make
    for lane in lanes:
        lane.close()


def batches(count: int, size: int, framing: str) -> dict[object, object]:
    return {n: framed(syslog_frames(n * size, size), framing) for n in range(count)}


def ids(receiver: Receiver) -> set[int]:
    """Read the ids of whole messages; SIGKILL can leave a part of one in front of another."""
    return {int(match[1] or match[2]) for line in receiver.lines() for match in _WHOLE.finditer(line)}


def test_relp_loses_nothing_when_rsyslog_is_killed(
    lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path
) -> None:
    with RsyslogRelp(require("rsyslog"), ReceiverSettings(), tmp_path / "rsyslog") as receiver:
        lane, ledger = lane_to(f"relp://127.0.0.1:{receiver.port}", framing="none"), Ledger()
        killer = Killer(receiver, kills=4, struck=lambda: ledger.in_order)
        queue: deque[int] = deque()
        count = 0
        while killer.runs() or len(ledger.settled) < count:
            if not queue and killer.runs():
                # Always something new while kills are to come, so that each strikes messages on their way.
                queue.append(count)
                count += 1
            if queue:
                n = queue.popleft()
                report = ledger.add(lane.send(framed(syslog_frames(n * 100, 100), "octet-counting"), n))
                killer.step()
            else:
                gate.wait(0.01, "test")
                report = ledger.add(lane.poll())
            queue.extendleft(reversed(report.lost))  # type: ignore[arg-type]
        killer.join()

        assert ids(receiver) == set(range(100 * count))
        assert sorted(ledger.settled) == list(range(count))  # type: ignore[type-var]
        assert ledger.in_order


@pytest.mark.parametrize("framing", ["lf", "octet-counting"])
def test_finish_leaves_nothing_unread_in_rsyslog(
    lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path, framing: str
) -> None:
    settings = ReceiverSettings(framing=framing, direct_queue=True)
    with Rsyslog(require("rsyslog"), settings, tmp_path / "rsyslog") as receiver:
        lane = lane_to(receiver.url, framing=framing, settle_s=300.0)
        for token, payload in batches(20, 500, framing).items():
            lane.send(payload, token)  # type: ignore[arg-type]
        report = lane.finish(30)
        receiver.stop()

        assert report.settled == tuple(range(20))
        assert ids(receiver) == set(range(10_000))


def test_finish_leaves_nothing_unread_in_syslog_ng(
    lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path
) -> None:
    with SyslogNg(require("syslog-ng"), ReceiverSettings(), tmp_path / "syslog-ng") as receiver:
        lane = lane_to(receiver.url, framing="octet-counting", settle_s=300.0)
        for token, payload in batches(20, 500, "octet-counting").items():
            lane.send(payload, token)  # type: ignore[arg-type]
        report = lane.finish(30)
        receiver.stop()

        assert report.settled == tuple(range(20))
        assert ids(receiver) == set(range(10_000))


def test_an_orderly_restart_of_rsyslog_loses_nothing(
    lane_to: Callable[..., Lane], gate: TestGate, tmp_path: Path
) -> None:
    # With its default queue, rsyslog throws away what it has not written 1.5 s after it was told to stop.
    settings = ReceiverSettings(direct_queue=True)
    with Rsyslog(require("rsyslog"), settings, tmp_path / "rsyslog") as receiver:
        lane = lane_to(receiver.url, framing="octet-counting", settle_s=1.0)

        def restart() -> None:
            receiver.stop()
            receiver.start()

        timer = threading.Timer(0.5, restart)
        timer.start()
        deliver(lane, gate, batches(1500, 50, "octet-counting"), limit_s=80)
        timer.join()
        receiver.stop()

        assert ids(receiver) == set(range(75_000))
