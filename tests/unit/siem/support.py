"""A gate that makes waiting cheap, payloads, and configurations for the tests of outputs."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Optional

from sls_siem.codec.model import Payload, Span
from sls_siem.config import Config, HecConfig, SiemConfig, SlsConfig, SyslogConfig, TlsConfig
from sls_siem.errors import Stopped
from sls_siem.siem.output import Lane, Rejection, Report, Token

SLS = SlsConfig(endpoint="http://127.0.0.1:1", project="p", logstore="ls", consumer_group="g", consumer_name="c")


class Clock:
    """A clock that stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestTime:
    """A clock on which announced waits cost only a fraction of their time."""

    __test__ = False

    def __init__(self, scale: float = 0.01) -> None:
        self.scale = scale
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped

    def pass_by(self, seconds: float) -> None:
        time.sleep(seconds * self.scale)
        self.skipped += seconds * (1 - self.scale)


class TestGate:
    """Records everything; ends a test that would wait for ever."""

    __test__ = False

    def __init__(self, clock: Optional[TestTime] = None, *, limit_s: float = 20.0) -> None:
        self.clock = clock or TestTime()
        self.waits: list[tuple[float, str]] = []
        self.retries: list[str] = []
        self.rejections: list[Rejection] = []
        self.sends = 0
        self.looks = 0
        self.open = True
        self.stopped = threading.Event()
        self.on_wait: list[Any] = []
        self._end = time.monotonic() + limit_s

    def before_send(self) -> None:
        self._look()
        self.sends += 1

    def stands_open(self) -> bool:
        self.looks += 1
        return self.open and not self.stopped.is_set()

    def wait(self, seconds: float, why: str) -> None:
        self._look()
        self.waits.append((seconds, why))
        if self.on_wait:
            self.on_wait.pop(0)()
        self.clock.pass_by(seconds)
        self._look()

    def busy(self, seconds: float, why: str) -> None:
        assert seconds > 0
        assert why

    def retried(self, reason: str) -> None:
        self.retries.append(reason)

    def reject(self, rejection: Rejection) -> None:
        self._look()
        self.rejections.append(rejection)

    def _look(self) -> None:
        if self.stopped.is_set():
            raise Stopped
        assert time.monotonic() < self._end, f"still waiting: {self.waits[-3:]}, {self.retries[-5:]}"


def hec_events(first: int, count: int, *, size: int = 0) -> list[bytes]:
    """Make envelopes with ids `0-<n>-0`."""
    pad = "x" * size
    return [
        f'{{"time":1700000000.5,"host":"h","source":"s","event":{{"n":{n},"pad":"{pad}"}},"fields":{{"sls_id":"0-{n}-0"}}}}'.encode()
        for n in range(first, first + count)
    ]


def payload_of(events: list[bytes], *, end: bytes = b"\n") -> Payload:
    data = b"".join(event + end for event in events)
    return Payload(data, Span(0, len(events), 0, len(events)), len(data))


def hec_config(*urls: str, tls: Optional[TlsConfig] = None, **changes: Any) -> Config:
    hec = HecConfig(urls=urls, **changes)
    return Config(instance=1, sls=SLS, siem=SiemConfig(output="hec"), hec=hec, tls=tls or TlsConfig())


def syslog_config(*urls: str, tls: Optional[TlsConfig] = None, **changes: Any) -> Config:
    syslog = dataclasses.replace(SyslogConfig(urls=urls), **changes)
    return Config(instance=1, sls=SLS, siem=SiemConfig(output="syslog"), syslog=syslog, tls=tls or TlsConfig())


class Ledger:
    """What a lane reported so far, in order."""

    def __init__(self) -> None:
        self.settled: list[Token] = []
        self.lost: list[Token] = []
        self.in_order = False

    def add(self, report: Report) -> Report:
        self.settled += report.settled
        self.lost += report.lost
        self.in_order = self.in_order or report.in_order
        return report


def syslog_frames(first: int, count: int, *, size: int = 20) -> list[bytes]:
    """Make RFC 5424 messages with ids `0-<n>-0`, without framing."""
    pad = "x" * size
    return [
        f'<14>1 2023-11-14T22:13:20Z h ls - - [sls@32473 id="0-{n}-0" logstore="ls"] {pad}'.encode()
        for n in range(first, first + count)
    ]


def framed(messages: list[bytes], framing: str = "lf") -> Payload:
    if framing == "lf":
        return payload_of(messages)
    return payload_of([b"%d %b" % (len(message), message) for message in messages], end=b"")


def deliver(lane: Lane, gate: TestGate, payloads: Mapping[Token, Payload], *, limit_s: float = 20.0) -> Ledger:
    """Do what the owner of a lane does: send in order, send again what was lost, first; until all is settled."""
    ledger, queue = Ledger(), deque(payloads)
    end = time.monotonic() + limit_s
    while len(ledger.settled) < len(payloads):
        assert time.monotonic() < end, f"settled {len(ledger.settled)} of {len(payloads)}, lost {len(ledger.lost)}"
        if queue:
            token = queue.popleft()
            report = lane.send(payloads[token], token)
        else:
            wait_s = lane.next_poll_s()
            assert wait_s is not None
            gate.wait(wait_s, "test")
            report = lane.poll()
        ledger.add(report)
        assert report.in_order or not report.lost
        queue.extendleft(reversed(report.lost))
    assert len(set(ledger.settled)) == len(payloads)
    return ledger
