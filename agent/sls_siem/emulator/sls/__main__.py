"""`python -m sls_siem.emulator.sls`: the SLS emulator as a process of its own, steered through its control API."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
from collections.abc import Sequence
from typing import Optional

from sls_siem.emulator.ending import Ending
from sls_siem.emulator.sls.server import SlsEmulator
from sls_siem.emulator.sls.settings import Settings


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Serve until SIGTERM, SIGINT, or the end of standard input."""
    options = _parser().parse_args(arguments)
    # A feed must not hold up an answer for the five milliseconds that a thread may run by default.
    sys.setswitchinterval(0.0005)
    emulator = SlsEmulator(
        project=options.project,
        logstore=options.logstore,
        shards=options.shards,
        ttl_days=options.ttl_days,
        host=options.host,
        port=options.port,
        settings=Settings(verify=not options.no_verify, region=options.region),
        tls=_tls(options.tls_cert, options.tls_key),
        keep_trimmed=not options.forget_trimmed,
    )
    for key in options.key:
        key_id, _, secret = key.partition(":")
        emulator.add_key(key_id, secret)
    ending = Ending()
    with emulator:
        address = {"url": emulator.url, "host": emulator.host, "port": emulator.port, "pid": os.getpid()}
        sys.stdout.write(json.dumps(address) + "\n")
        sys.stdout.flush()
        ending.wait(with_stdin=not options.detached)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sls_siem.emulator.sls", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 lets the kernel choose")
    parser.add_argument("--project", default="emulated-project")
    parser.add_argument("--logstore", default="emulated-logstore")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--ttl-days", type=int, default=30)
    parser.add_argument("--key", action="append", default=[], metavar="ID:SECRET", help="an access key; repeatable")
    parser.add_argument("--no-verify", action="store_true", help="let every request pass, signed or not")
    parser.add_argument("--region", help="the only region that a version 4 signature may name")
    parser.add_argument("--tls-cert", metavar="FILE")
    parser.add_argument("--tls-key", metavar="FILE")
    parser.add_argument("--forget-trimmed", action="store_true", help="drop what retention removed: for long runs")
    parser.add_argument("--detached", action="store_true", help="do not end with standard input")
    return parser


def _tls(cert: Optional[str], key: Optional[str]) -> Optional[ssl.SSLContext]:
    if cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


if __name__ == "__main__":
    sys.exit(main())
