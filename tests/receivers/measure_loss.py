"""Measures what plain TCP and TLS can prove, with real receivers: run it by hand, it takes a minute or two.

    python -m tests.receivers.measure_loss [--kills 20] [--messages 20000] [--rate 0] [--json]

Two questions, each asked of rsyslog (default queue, direct queue) and syslog-ng:

- *half-close*: after the last message the sender closes its side (over TLS: with close_notify). Does the receiver
  read to the end before it closes its own? And when it is killed (SIGKILL) at the very moment its FIN has arrived,
  how many messages were read but never written?
- *kill*: the receiver is killed over and over while messages stream in, and started again on the same port. A sender
  without any replay goes on with the next message. How many are lost although `send()` had succeeded?

docs/evidence/receivers.md holds figures that this printed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Optional, Union

from sls_siem.emulator.certificates import Certificates
from tests.receivers.install import install
from tests.receivers.model import ReceiverSettings, ServerTls
from tests.receivers.process import Receiver
from tests.receivers.rsyslog import Rsyslog
from tests.receivers.syslog_ng import SyslogNg

_PADDING = b"x" * 300
_CHUNK = 50
_CLOSE_TIMEOUT_S = 20.0
_KINDS: dict[str, type[Receiver]] = {"rsyslog": Rsyslog, "syslog-ng": SyslogNg}


@dataclass(frozen=True)
class Subject:
    """One receiver as configured: what is measured."""

    receiver: str
    transport: str = "tcp"
    direct_queue: bool = False

    @property
    def label(self) -> str:
        return self.receiver + (", direct queue" if self.direct_queue else "")


@dataclass(frozen=True)
class Ending:
    """How one half-closed connection ended.

    Args:
        answer: `FIN`, `close_notify`, or the error that came instead.
        seconds: from our close to the receiver's.
        missing: messages that were not in its file at the end.
    """

    answer: str
    seconds: float
    missing: int


@dataclass(frozen=True)
class HalfClose:
    """What a half-close showed, summed over `rounds`.

    Args:
        answer: how the receiver closed: `FIN`, `close_notify`, or the error that came instead.
        longest_s: longest time from our close to its.
        missing: messages that were not in its file after an orderly stop.
        missing_when_killed: the same when it was killed right after its close.
    """

    receiver: str
    transport: str
    rounds: int
    messages: int
    answer: str
    longest_s: float
    missing: int
    missing_when_killed: int


@dataclass(frozen=True)
class Kill:
    """What killing the receiver lost.

    Args:
        accepted: messages for which `send()` succeeded.
        lost: of these, not in the receiver's file at the end.
        worst: most of them lost by one kill.
    """

    receiver: str
    kills: int
    rate: str
    accepted: int
    lost: int
    worst: int


def main(arguments: Optional[list[str]] = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.receivers.measure_loss", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="how often each receiver is killed (20)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each half-close is tried (5)")
    parser.add_argument("--messages", type=int, default=20_000, help="messages in each half-closed connection (20000)")
    parser.add_argument("--rate", type=int, default=0, help="messages a second while killing; 0: as fast as it goes")
    parser.add_argument("--only", choices=("half-close", "kill"), help="ask one of the questions only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args(arguments)
    rows: list[Union[HalfClose, Kill]] = []
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        if options.only != "kill":
            rows += _half_closes(Path(folder), options.rounds, options.messages)
        if options.only != "half-close":
            rows += _kills(Path(folder), options.kills, options.rate)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        _print_tables(rows)
    return 0


def _half_closes(folder: Path, rounds: int, messages: int) -> Iterator[HalfClose]:
    for subject in (
        Subject("rsyslog"),
        Subject("rsyslog", direct_queue=True),
        Subject("rsyslog", "tls (OpenSSL)"),
        Subject("rsyslog", "tls (GnuTLS)"),
        Subject("syslog-ng"),
        Subject("syslog-ng", "tls (OpenSSL)"),
    ):
        answers, longest, missing = set(), 0.0, [0, 0]
        for number in range(rounds * 2):
            killed = number % 2
            ending = half_close(subject, folder / f"{time.monotonic_ns()}", messages, killed=bool(killed))
            answers.add(ending.answer)
            longest = max(longest, ending.seconds)
            missing[killed] += ending.missing
        answer = ", ".join(sorted(answers))
        yield HalfClose(subject.label, subject.transport, rounds, messages, answer, round(longest, 2), *missing)


def half_close(subject: Subject, folder: Path, messages: int, *, killed: bool = False) -> Ending:
    """Send messages, close our side, and see how the receiver closes its own.

    Args:
        subject: what to start.
        folder: an empty folder for it.
        messages: how many to send, a multiple of 50.
        killed: kill the receiver as soon as its close is here; else stop it in order.
    """
    certificates = Certificates(folder / "certificates")
    with _receiver(subject, folder, certificates) as receiver:
        with _connect(receiver, certificates, subject.transport) as connection:
            for first in range(0, messages, _CHUNK):
                connection.sendall(_frames(range(first, first + _CHUNK)))
            started = time.monotonic()
            answer = _close_our_side(connection)
            seconds = time.monotonic() - started
            if killed:
                receiver.kill()
        receiver.stop()
        return Ending(answer, seconds, messages - len(_numbers(receiver)))


def _close_our_side(connection: socket.socket) -> str:
    """Say that nothing more comes, and wait for the receiver to say the same."""
    connection.settimeout(_CLOSE_TIMEOUT_S)
    try:
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()
            return "close_notify"
        connection.shutdown(socket.SHUT_WR)
        return "FIN" if connection.recv(1) == b"" else "data"
    except ssl.SSLEOFError:
        return "FIN"
    except OSError as exc:
        return type(exc).__name__


def _kills(folder: Path, kills: int, rate: int) -> Iterator[Kill]:
    for subject in (Subject("rsyslog"), Subject("rsyslog", direct_queue=True), Subject("syslog-ng")):
        with _receiver(subject, folder / f"{time.monotonic_ns()}", None) as receiver:
            lives = [_stream_until_killed(receiver, first, rate) for first in _first_numbers(kills)]
            receiver.start()
            found = _numbers(receiver)
        lost = [len(accepted - found) for accepted in lives]
        speed = f"{rate}/s" if rate else "unlimited"
        yield Kill(subject.label, kills, speed, sum(map(len, lives)), sum(lost), max(lost))


def _first_numbers(kills: int) -> range:
    """Give each life of a receiver numbers that no other has."""
    return range(0, kills * 10_000_000, 10_000_000)


def _stream_until_killed(receiver: Receiver, first: int, rate: int) -> set[int]:
    """Send until the connection breaks; returns the numbers whose `send()` succeeded."""
    if first:
        receiver.start()
    accepted: set[int] = set()
    killer = threading.Timer(random.uniform(0.3, 1.0), receiver.kill)
    with _connect(receiver, None, "tcp") as connection, suppress(OSError):
        killer.start()
        started, pause = time.monotonic(), threading.Event()
        for start in range(first, first + 2_000_000, _CHUNK):
            numbers = range(start, start + _CHUNK)
            connection.sendall(_frames(numbers))
            accepted.update(numbers)
            ahead = len(accepted) / rate - (time.monotonic() - started) if rate else 0
            if ahead > 0:
                pause.wait(ahead)
    killer.join()
    return accepted


def _receiver(subject: Subject, folder: Path, certificates: Optional[Certificates]) -> Receiver:
    tls = None
    if subject.transport != "tcp" and certificates is not None:
        server, driver = certificates.server, "gtls" if "GnuTLS" in subject.transport else "ossl"
        tls = ServerTls(certificates.ca_file, server.cert_file, server.key_file, driver)
    settings = ReceiverSettings(tls=tls, direct_queue=subject.direct_queue)
    return _KINDS[subject.receiver](install(subject.receiver), settings, folder / "receiver")


def _connect(receiver: Receiver, certificates: Optional[Certificates], transport: str) -> socket.socket:
    connection = socket.create_connection((receiver.address, receiver.port), timeout=_CLOSE_TIMEOUT_S)
    if transport == "tcp" or certificates is None:
        return connection
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.load_cert_chain(str(certificates.client.cert_file), str(certificates.client.key_file))
    return context.wrap_socket(connection, server_hostname="localhost")


def _frames(numbers: range) -> bytes:
    head = b"<14>1 2026-01-01T00:00:00Z host app - - - "
    messages = (b"%bnumber=%d %b" % (head, number, _PADDING) for number in numbers)
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


def _numbers(receiver: Receiver) -> set[int]:
    """Return the numbers of the whole messages in the receiver's file; a kill can cut a line in the middle."""
    found = set()
    for line in receiver.lines():
        with suppress(ValueError):
            msg = receiver.parse(line[line.rfind(b'{"rawmsg"' if isinstance(receiver, Rsyslog) else b'{"pri"') :]).msg
            match = re.fullmatch(rb"number=(\d+) x{300}", msg)
            if match:
                found.add(int(match[1]))
    return found


def _print_tables(rows: list[Union[HalfClose, Kill]]) -> None:
    for kind in (HalfClose, Kill):
        table = [asdict(row) for row in rows if isinstance(row, kind)]
        if table:
            print("| " + " | ".join(name.replace("_", " ") for name in table[0]) + " |")
            print("|" + "---|" * len(table[0]))
            print("\n".join("| " + " | ".join(str(value) for value in row.values()) + " |" for row in table) + "\n")


if __name__ == "__main__":
    sys.exit(main())
