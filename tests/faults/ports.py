"""Ports for the agents of a world, which no other schedule takes while they are down."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from random import Random

HOST = "127.0.0.1"


@contextlib.contextmanager
def free_ports() -> Iterator[int]:
    """A port whose ten successors are free too, out of the kernel's reach for outgoing connections.

    It stays taken meanwhile, so that no other takes its successors while agents are down.

    Raises:
        RuntimeError: there were none.
    """
    for _ in range(200):
        base = 20_000 + 12 * Random(f"{os.getpid()}/{time.monotonic_ns()}").randrange(900)
        with contextlib.ExitStack() as taken:
            if _bind(taken, base) and _are_free(range(base + 1, base + 11)):
                yield base
                return
    raise RuntimeError("no free ports")


def _are_free(ports: range) -> bool:
    with contextlib.ExitStack() as stack:
        return all(_bind(stack, port) for port in ports)


def _bind(stack: contextlib.ExitStack, port: int) -> bool:
    """Bind it until the stack is closed; tells whether that went."""
    sock = stack.enter_context(contextlib.closing(socket.socket()))
    try:
        sock.bind((HOST, port))
    except OSError:
        return False
    return True
