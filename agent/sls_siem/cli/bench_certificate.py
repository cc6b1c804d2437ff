"""A certificate for the TLS receiver of a benchmark, made on the spot and thrown away with its folder."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sls_siem.cli.demo_rig import RigError

_MAKE_S = 30.0


@dataclass(frozen=True)
class Certificate:
    """Self-signed for 127.0.0.1 and localhost: at the same time the authority that the agent is told to trust."""

    cert_file: Path
    key_file: Path


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate with the `openssl` command, so that no Python package is needed for it.

    Raises:
        RigError: there is no such command, or it failed.
    """
    made = Certificate(folder / "server.crt", folder / "server.key")
    command = shutil.which("openssl")
    if command is None:
        raise RigError("the command openssl is needed to make a certificate; on Debian: apt-get install openssl")
    done = subprocess.run(  # noqa: S603 - found above, fixed arguments
        [
            *(command, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(made.key_file), "-out", str(made.cert_file)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_MAKE_S,
    )
    if done.returncode != 0:
        raise RigError(f"openssl made no certificate: {done.stderr.strip()}")
    return made
