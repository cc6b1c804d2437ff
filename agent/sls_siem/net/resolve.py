"""Name resolution with a deadline.

`getaddrinfo` cannot be interrupted and may hang for as long as resolv.conf says, so it runs on a daemon thread that
the caller waits for no longer than its deadline. Whoever asks for the same name meanwhile waits for the same thread,
so that a resolver that hangs holds one thread per name, not one per attempt.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from sls_siem.net.deadline import Deadline, DeadlineExceeded

MOST_THREADS = 16

GetAddrInfo = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Address:
    """Where a TCP connection can go: the address family and what `socket.connect` takes for it."""

    family: int
    sockaddr: tuple[Any, ...]


class _Lookup:
    """One call of `getaddrinfo` under way, for everyone who waits for it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.addresses: tuple[Address, ...] = ()
        self.failure: Optional[OSError] = None


class Resolver:
    """Looks names up aside; thread-safe.

    Args:
        getaddrinfo: as in `socket`.
        most_threads: so many names may be looked up at the same time, later ones wait for their turn.
    """

    def __init__(self, *, getaddrinfo: GetAddrInfo = socket.getaddrinfo, most_threads: int = MOST_THREADS) -> None:
        self._getaddrinfo = getaddrinfo
        self._turns = threading.Semaphore(most_threads)
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, int], _Lookup] = {}

    def resolve(self, host: str, port: int, deadline: Deadline) -> tuple[Address, ...]:
        """Find every address of a host, at least one; a literal address needs no thread.

        Raises:
            socket.gaierror: there is none.
            DeadlineExceeded: the resolver has not answered in time.
        """
        literal = _literal(host, port)
        if literal:
            return literal
        lookup = self._join_or_start(host, port, deadline)
        if not lookup.done.wait(deadline.remaining()):
            raise DeadlineExceeded(f"the resolver has not answered for {host} within {deadline.seconds:.3g} s")
        if lookup.failure is not None:
            raise type(lookup.failure)(*lookup.failure.args) from lookup.failure
        return lookup.addresses

    def _join_or_start(self, host: str, port: int, deadline: Deadline) -> _Lookup:
        with self._lock:
            lookup = self._under_way.get((host, port))
        if lookup is not None:
            return lookup
        if not self._turns.acquire(timeout=deadline.remaining()):
            raise DeadlineExceeded(f"other names keep the resolver busy: {host} not resolved")
        with self._lock:
            lookup = self._under_way.get((host, port))
            if lookup is not None:
                self._turns.release()
                return lookup
            lookup = self._under_way[host, port] = _Lookup()
        self._start(host, port, lookup)
        return lookup

    def _start(self, host: str, port: int, lookup: _Lookup) -> None:
        thread = threading.Thread(target=self._run, args=(host, port, lookup), name=f"resolve-{host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            self._finish(host, port, lookup, OSError(f"no thread to resolve {host}: {exc}"))

    def _run(self, host: str, port: int, lookup: _Lookup) -> None:
        failure: Optional[OSError] = None
        try:
            lookup.addresses = _addresses(self._getaddrinfo(host, port, 0, socket.SOCK_STREAM))
            if not lookup.addresses:
                failure = socket.gaierror(socket.EAI_NONAME, f"no address for {host}")
        except OSError as exc:
            failure = exc
        except UnicodeError as exc:
            failure = socket.gaierror(socket.EAI_NONAME, f"not a host name: {exc}")
        except Exception as exc:  # noqa: BLE001 - the top of a thread that others wait for
            failure = OSError(f"the resolver failed over {host}: {exc!r}")
        self._finish(host, port, lookup, failure)

    def _finish(self, host: str, port: int, lookup: _Lookup, failure: Optional[OSError]) -> None:
        lookup.failure = failure
        with self._lock:
            del self._under_way[host, port]
        lookup.done.set()
        self._turns.release()


def _literal(host: str, port: int) -> tuple[Address, ...]:
    """Read a literal IPv4 or IPv6 address, zone included; empty when `host` is a name."""
    try:
        return _addresses(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST))
    except (socket.gaierror, UnicodeError):
        return ()


def _addresses(found: list[tuple[Any, ...]]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys(Address(entry[0], entry[4]) for entry in found))


_shared = Resolver()


def resolve(host: str, port: int, deadline: Deadline) -> tuple[Address, ...]:
    """Find every address of a host through the process's one resolver (see `Resolver.resolve`)."""
    return _shared.resolve(host, port, deadline)
