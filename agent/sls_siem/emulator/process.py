"""Run one receiver emulator as a process: options in, one JSON line out, an end on SIGTERM or when stdin closes."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Protocol

from sls_siem.emulator.certificates import KeyPair, server_context
from sls_siem.emulator.ending import Ending


class Emulator(Protocol):
    """What every receiver emulator can do."""

    def start(self) -> Any: ...

    def stop(self) -> None: ...

    def addresses(self) -> dict[str, object]: ...


def main_of(factory: Callable[..., Emulator], arguments: Optional[Sequence[str]] = None) -> int:
    """Run the emulator that `factory(port=…, tls=…, **settings)` makes until it is told to end; returns 0."""
    options = _parser().parse_args(arguments)
    emulator = factory(host=options.host, port=options.port, tls=_tls(options), **json.loads(options.settings))
    ending = Ending()
    emulator.start()
    try:
        sys.stdout.write(json.dumps({**emulator.addresses(), "pid": os.getpid()}) + "\n")
        sys.stdout.flush()
        ending.wait()
    finally:
        emulator.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Receiver emulator on loopback; prints its addresses as JSON.")
    parser.add_argument("--settings", default="{}", help="JSON object of the emulator's settings")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 lets the kernel choose")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; turns TLS on")
    parser.add_argument("--tls-key", type=Path, help="PEM file")
    parser.add_argument("--client-ca", type=Path, help="PEM file; asks for client certificates")
    parser.add_argument("--client", choices=("optional", "required"), default="required")
    parser.add_argument("--tls-minimum", default="1.2", help="lowest TLS version")
    parser.add_argument("--tls-maximum", default=None, help="highest TLS version")
    return parser


def _tls(options: argparse.Namespace) -> Optional[ssl.SSLContext]:
    if options.tls_cert is None:
        return None
    return server_context(
        KeyPair(options.tls_cert, options.tls_key or options.tls_cert),
        client_ca=options.client_ca,
        client="none" if options.client_ca is None else options.client,
        minimum=options.tls_minimum,
        maximum=options.tls_maximum,
    )
