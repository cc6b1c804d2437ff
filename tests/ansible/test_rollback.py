"""Which version `rollback.yml` goes back to, by what is installed on the hosts and what was noted there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.pretended import play, survey
from tests.ansible.test_gate import rendered


def seen(host: str, version: str, *noted: str) -> dict[str, Any]:
    return {"host": host, "version": version, "noted": list(noted)}


# The fleet, the version to go back to, and why there is none. The good version is 2, the bad one 3.
CASES: dict[str, tuple[list[dict[str, Any]], str, str]] = {
    "nothing-changed": ([seen("a", "2"), seen("b", "2")], "", "No host has changed its version yet"),
    "canary-only": ([seen("a", "3", "2", "3", "20"), seen("b", "2", "1", "2", "10")], "2", ""),
    "all": ([seen("a", "3", "2", "3", "20"), seen("b", "3", "2", "3", "21")], "2", ""),
    "cut-short": ([seen("a", "2", "2", "3", "20"), seen("b", "3", "2", "3", "21")], "2", ""),
    "finished": ([seen("a", "2", "2", "3", "20"), seen("b", "2", "1", "2", "10")], "2", ""),
    "with-a-host-that-was-new": ([seen("a", "3", "2", "3", "20"), seen("b", "3")], "2", ""),
    "with-a-host-that-was-removed": ([seen("a", "3", "2", "3", "20"), seen("b", "", "8", "9", "30")], "2", ""),
    "from-two-versions": (
        [seen("a", "3", "2", "3", "20"), seen("b", "3", "1", "3", "21")],
        "",
        "The hosts came to 3 from different versions: a from 2, b from 1",
    ),
    "left-for-another": (
        [seen("a", "1", "2", "3", "20"), seen("b", "1", "2", "3", "21")],
        "",
        "The last change was from 2 to 3, which no host has any more; they have 1",
    ),
}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cases = {name: {"__sls_siem_fleet": fleet} for name, (fleet, _, _) in CASES.items()}
    return rendered(tmp_path_factory.mktemp("rollback"), "previous.json.j2", cases)


@pytest.mark.parametrize("name", CASES)
def test_a_rollback_leaves_the_version_that_came_last_for_the_one_before(chosen, name: str) -> None:
    _, version, why_not = CASES[name]

    assert {"version": version, "why_not": why_not} == json.loads(chosen[name])


HALF_WAY = {
    "alpha": survey("0.2.0", noted="0.2.0 0.3.0 1800000000"),
    "beta": survey("0.3.0", noted="0.2.0 0.3.0 1800000100"),
    "gamma": "",
}


def test_a_rollback_that_was_cut_short_is_finished_and_a_bare_host_stays_bare(command: str, tmp_path: Path) -> None:
    run = play(tmp_path, "rollback", HALF_WAY, command=command)

    assert 0 == run.status, run.output
    assert ["0.2.0 would be installed over 0.3.0"] == run.found(r"sls-siem-agent (.* would be installed .*)")
    assert "Back to 0.2.0" in run.output
    assert "sls-siem-agent is not installed here" in run.output


@pytest.mark.parametrize(
    ("noted", "version"), [("../0.2.0 0.3.0 1800000000", ""), ("0.2.0 0.3.0", ""), ("0.2.0 0.3.0 1", "0.2.0; reboot")]
)
def test_what_is_no_version_is_not_gone_back_to(noted: str, version: str, tmp_path: Path) -> None:
    asked = ["-e", json.dumps({"sls_siem_version": version})] if version else []
    run = play(tmp_path, "rollback", {"alpha": survey(noted=noted)}, *asked)

    assert 2 == run.status
    assert "Name one with -e sls_siem_version=0.1.0" in run.output
    assert "would be installed" not in run.output


def test_an_installation_that_was_cut_short_is_taken_back_too(tmp_path: Path) -> None:
    hosts = {"alpha": survey("0.3.0", state="iFR", noted="0.2.0 0.3.0 1800000000")}
    run = play(tmp_path, "rollback", hosts)

    assert 0 == run.status, run.output
    assert "0.2.0 would be installed over 0.3.0" in run.output


def test_an_upgrade_does_not_install_on_a_bare_host(tmp_path: Path) -> None:
    run = play(tmp_path, "upgrade", {"alpha": survey("0.2.0"), "beta": ""})

    assert 0 == run.status, run.output
    assert ["0.3.0 would be installed over 0.2.0"] == run.found(r"sls-siem-agent (.* would be installed .*)")
