"""Without the real receivers their tests are skipped on a developer's machine, and fail with `CI=true`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.receivers import UnavailableError, install, require

pytestmark = pytest.mark.contract


@pytest.mark.parametrize("name", ["rsyslog", "syslog-ng"])
def test_the_two_stand_side_by_side_and_stay(name: str) -> None:
    first = require(name)
    second = require(name)

    assert first == second
    assert first.program.is_file()
    assert first.modules.is_dir()


def test_a_machine_without_debian_tools_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnavailableError, match="apt-get is missing"):
        install("rsyslog", tmp_path)


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("false", pytest.skip.Exception)])
def test_only_ci_insists(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)

    with pytest.raises(outcome, match="real rsyslog is not available"):
        require("rsyslog")
