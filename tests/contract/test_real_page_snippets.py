"""The receivers' side in docs/siem/generic.md: the real programs find nothing wrong with it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.receivers import require

pytestmark = pytest.mark.contract

PAGE = Path(__file__).resolve().parents[2] / "docs" / "siem" / "generic.md"


def snippet(start: str) -> str:
    found = re.findall(rf"```text\n({start}.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    assert len(found) == 1
    return str(found[0])


def check(name: str, configuration: Path, *options: str) -> None:
    installed = require(name)
    command = [str(installed.program), "-f", str(configuration), *options, str(installed.modules)]
    done = subprocess.run(command, env=installed.environment(), capture_output=True, timeout=60, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, done.stdout + done.stderr), done.stderr.decode()


def test_rsyslog_takes_the_snippet(tmp_path: Path) -> None:
    file = tmp_path / "rsyslog.conf"
    file.write_text(snippet(r"module\(load"))

    check("rsyslog", file, "-N1", "-M")


def test_syslog_ng_takes_the_snippet(tmp_path: Path) -> None:
    version = re.match(r"\d+\.\d+", require("syslog-ng").version)
    assert version
    for name in ("key.pem", "cert.pem"):
        (tmp_path / name).touch()
    text = snippet("source s_sls").replace("/etc/syslog-ng", str(tmp_path))
    file = tmp_path / "syslog-ng.conf"
    file.write_text(f"@version: {version[0]}\n{text}\nlog {{ source(s_sls); }};\n")

    check("syslog-ng", file, "--syntax-only", "--no-caps", "--module-path")
