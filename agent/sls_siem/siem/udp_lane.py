"""One shard's way to a syslog receiver over UDP: one frame a datagram, settled when the kernel took it (RFC 5426)."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Sequence
from typing import Optional

from sls_siem.codec.model import Payload
from sls_siem.config.urls import SYSLOG_PORTS, parse_address
from sls_siem.net.deadline import Deadline
from sls_siem.net.resolve import resolve
from sls_siem.siem.advice import advice
from sls_siem.siem.output import Gate, ProbeResult, Rejection, Report, Token
from sls_siem.siem.rotation import Attempts, Failure

RESOLVE_TIMEOUT_S = 10.0
ROOM_LOOK_S = 1.0
SEND_BUFFER_BYTES = 1 << 20


class UdpLane:
    """Implements `Lane`.

    Args:
        urls: every address.
        attempts: this lane's, at them.
        clock: seconds of a monotonic clock.
        gate: asked before each datagram.
    """

    def __init__(self, urls: Sequence[str], attempts: Attempts, *, clock: Callable[[], float], gate: Gate) -> None:
        self._addresses = [parse_address(url, SYSLOG_PORTS) for url in urls]
        self._attempts = attempts
        self._clock = clock
        self._gate = gate
        self._index = 0
        self._generation = 0
        self._sock: Optional[socket.socket] = None

    def send(self, payload: Payload, token: Token) -> Report:
        """Send one datagram; see `Lane`."""
        while not self._sent(payload):
            pass
        return Report(settled=(token,))

    def poll(self) -> Report:
        """See `Lane`."""
        return Report()

    def next_poll_s(self) -> Optional[float]:
        """See `Lane`."""
        return None

    def finish(self, deadline_s: float) -> Report:  # noqa: ARG002 - nothing is ever pending
        """See `Lane`."""
        return Report()

    def close(self) -> None:
        """See `Lane`."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def _sent(self, payload: Payload) -> bool:
        """Try once; waits where that has to wait."""
        try:
            sock = self._connected()
            if sock is None:
                return False
            self._generation = self._attempts.generation(self._index)
            self._gate.before_send()
            sock.send(payload.data)
        except BlockingIOError:
            self._wait_for_room()
            return False
        except OSError as exc:
            if exc.errno == errno.EMSGSIZE:
                words = f"{len(payload.data)} bytes do not fit into a datagram; lower syslog.max_bytes, or use tcp"
                self._gate.reject(Rejection(payload, 0, "too-large", words))
                return True
            self._fail(exc)
            return False
        self._attempts.worked(self._index)
        return True

    def _connected(self) -> Optional[socket.socket]:
        if self._sock is not None:
            return self._sock
        choice = self._attempts.choose(0)
        if choice.wait_s > 0:
            self._gate.wait(choice.wait_s, f"{self._attempts.url(choice.index)}: {choice.why}")
            return None
        self._index = choice.index
        self._generation = self._attempts.generation(choice.index)
        address = self._addresses[choice.index]
        self._gate.busy(RESOLVE_TIMEOUT_S, f"resolving {address.host}")
        first = resolve(address.host, address.port, Deadline(RESOLVE_TIMEOUT_S))[0]
        sock = socket.socket(first.family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            # A connected socket hears of ICMP errors: that nobody listens shows on the next datagram.
            sock.connect(first.sockaddr)
        except OSError:
            sock.close()
            raise
        self._sock = sock
        return sock

    def _wait_for_room(self) -> None:
        assert self._sock is not None
        self._gate.busy(ROOM_LOOK_S, "the network takes no more datagrams")
        poller = select.poll()
        poller.register(self._sock, select.POLLOUT)
        poller.poll(ROOM_LOOK_S * 1000)

    def _fail(self, exc: OSError) -> None:
        self.close()
        address = self._addresses[self._index]
        text = advice(exc, address.host, address.port, name=address.host)
        self._attempts.failed(self._index, self._generation, Failure("connect", text))
        self._gate.retried("connect")


def probe_datagrams(url: str, timeout_s: float) -> ProbeResult:
    """Resolve the name: more than that cannot be found out without an event."""
    address = parse_address(url, SYSLOG_PORTS)
    try:
        found = resolve(address.host, address.port, Deadline(timeout_s))
    except OSError as exc:
        return ProbeResult(False, url, advice(exc, address.host, address.port, name=address.host))
    text = f"resolves to {found[0].sockaddr[0]}; UDP has no answer, so anything can be lost unnoticed: prefer tls"
    return ProbeResult(True, url, text)
