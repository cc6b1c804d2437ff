"""A network that nothing else is in: a hub with a bridge, and a namespace for every host on it.

The hub is a network namespace, too. What tests start in it (servers, Ansible) reaches the hosts and is reached by them;
nobody there reaches this machine's network. All of it is gone when the block ends. It knows nothing of hosts' insides.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
PREFIX = 24
NAMESPACES = Path("/run/netns")
OWN = Path("/proc/thread-self/ns/net")
NOWHERE = "02:00:00:00:00:99"


def missing() -> str:
    """Say what is lacking on this machine, or nothing."""
    return "" if shutil.which("ip") else "ip (iproute2)"


class Network:
    """The hub with its bridge; a context manager.

    Args:
        addresses: of the hub, on the bridge.
    """

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._label = f"fleet{os.getpid() % 100000}"
        self.hub = f"{self._label}-hub"
        self._hosts: list[str] = []

    def __enter__(self) -> Network:
        try:
            _ip("netns", "add", self.hub)
            self._hub("link", "set", "lo", "up")
            self._hub("link", "add", "bridge", "type", "bridge", "forward_delay", "0")
            for address in self._addresses:
                self._hub("address", "add", f"{address}/{PREFIX}", "dev", "bridge")
            self._hub("link", "set", "bridge", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        # The pairs of interfaces go with their namespaces.
        for name in [*self._hosts, self.hub]:
            with contextlib.suppress(subprocess.SubprocessError):
                _ip("netns", "delete", name)

    def add(self, host: str, address: str) -> str:
        """Make a host's namespace, connected and with its address; returns the namespace's file."""
        name = f"{self._label}-{host}"
        _ip("netns", "add", name)
        self._hosts.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        self._hub("link", "add", host, "type", "veth", "peer", "name", "host0", "netns", name)
        self._hub("link", "set", host, "master", "bridge", "up")
        _ip("-n", name, "address", "add", f"{address}/{PREFIX}", "dev", "host0")
        _ip("-n", name, "link", "set", "host0", "up")
        return str(NAMESPACES / name)

    def unplug(self, host: str) -> None:
        """Pull the host's cable: nothing comes or goes, and nobody is told."""
        self._hub("link", "set", host, "down")

    def plug(self, host: str) -> None:
        """Put it back."""
        self._hub("link", "set", host, "up")

    def cut(self, host: str, address: str) -> None:
        """Let everything that the host sends to one address vanish silently."""
        _ip(
            *("-n", f"{self._label}-{host}", "neigh", "replace", address),
            *("lladdr", NOWHERE, "nud", "permanent", "dev", "host0"),
        )

    def heal(self, host: str, address: str) -> None:
        """Undo `cut`."""
        _ip("-n", f"{self._label}-{host}", "neigh", "delete", address, "dev", "host0")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Put this thread, and the processes that it starts, into the hub while the block runs."""
        with OWN.open("rb") as before, (NAMESPACES / self.hub).open("rb") as hub:
            _enter(hub.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def _hub(self, *arguments: str) -> None:
        _ip("-n", self.hub, *arguments)


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        ["ip", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False
    )
    if done.returncode != 0:
        raise subprocess.SubprocessError(f"ip {' '.join(arguments)}: {done.stdout}")


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
