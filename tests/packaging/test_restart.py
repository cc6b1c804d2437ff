"""The end of an upgrade: which instances restart, one after the other, and which are left as they are."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "packaging" / "restart-instances"
UNITS = [f"sls-siem@{number}.service" for number in (1, 2, 3)]

# Each stands for a program of systemd: writes down what it is asked, and refuses where the test says so.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>"$ASKED"
case "$1" in
    list-units) for number in 1 2 3; do echo "sls-siem@$number.service loaded active running"; done ;;
    show) echo 'SLS_PROJECT=p "SLS_AK_KEY=very-secret" SLS_AK_ID=an-id' ;;
    try-restart) test "$2" != "$REFUSES" ;;
esac
"""
SYSTEMD_RUN = """#!/bin/sh
echo "systemd-run $*" >>"$ASKED"
cat
echo 'warning: without a secret' >&2
for number; do :; done
test "$number" != "$INVALID" || { echo 'agent.toml: siem.output: wrong'; exit 78; }
"""


class Outcome(NamedTuple):
    """What the script asked of systemd, and said."""

    asked: list[str]
    said: str

    @property
    def restarted(self) -> list[str]:
        return [line.split()[-1] for line in self.asked if " try-restart " in line]


@pytest.fixture
def restart(tmp_path):
    """Run the script between the stand-ins; `hold` is whether the file that forbids restarts exists."""

    def run(*, invalid: str = "", refuses: str = "", hold: bool = False, bus: bool = True) -> Outcome:
        asked, hold_file, bus_file = tmp_path / "asked", tmp_path / "no-restart", tmp_path / "bus"
        asked.touch()
        for name, text in (("systemctl", SYSTEMCTL), ("systemd-run", SYSTEMD_RUN)):
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        if hold:
            hold_file.touch()
        text = SCRIPT.read_text()
        for place, instead in (
            ("/run/sls-siem-agent.no-restart", hold_file),
            ("/run/dbus/system_bus_socket", bus_file),
            ("deb-systemd-invoke", "no-such-program"),
        ):
            assert place in text
            text = text.replace(place, str(instead))
        with socket.socket(socket.AF_UNIX) as listener:
            if bus:
                listener.bind(str(bus_file))
            done = subprocess.run(
                ["sh", "-c", text],
                env={
                    "PATH": f"{tmp_path}:{os.environ['PATH']}",
                    "ASKED": str(asked),
                    "INVALID": invalid,
                    "REFUSES": refuses,
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
        # Whatever happens, the package's installation goes on.
        assert (0, "") == (done.returncode, done.stdout)
        return Outcome(asked.read_text().splitlines(), done.stderr)

    return run


def test_each_instance_is_checked_as_its_unit_would_run_it_and_then_restarted(restart) -> None:
    outcome = restart()
    (check, *_others) = [line for line in outcome.asked if line.startswith("systemd-run ")]

    assert UNITS == outcome.restarted
    assert "" == outcome.said
    assert check.endswith("/usr/bin/sls-siem check --instance 1")
    assert "--uid=sls-siem" in check
    assert "EnvironmentFile=-/etc/default/sls-siem-agent" in check
    assert 'Environment=SLS_PROJECT=p "SLS_AK_KEY=none" SLS_AK_ID=none' in check


def test_an_instance_whose_configuration_is_refused_goes_on_as_it_is(restart) -> None:
    outcome = restart(invalid="2")

    assert [UNITS[0], UNITS[2]] == outcome.restarted
    assert "siem.output: wrong" in outcome.said
    assert "sls-siem@2.service was not restarted: it runs as before" in outcome.said


def test_the_first_restart_that_fails_is_the_last(restart) -> None:
    outcome = restart(refuses=UNITS[1])

    assert UNITS[:2] == outcome.restarted
    assert "systemctl status sls-siem@2.service" in outcome.said


def test_nothing_is_restarted_while_the_file_forbids_it(restart) -> None:
    outcome = restart(hold=True)

    assert [] == outcome.asked
    assert "no-restart exists, so no instance was restarted" in outcome.said


def test_without_d_bus_the_restart_is_not_held_up(restart) -> None:
    outcome = restart(bus=False, invalid="2")

    assert UNITS == outcome.restarted
