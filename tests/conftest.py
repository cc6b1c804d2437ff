"""What every test shares: which copy of the package is tested, and how Hypothesis behaves."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]


def _fall_back_to_the_checkout() -> None:
    """Without an installed wheel, test `agent/`, in this process and in those it starts.

    `make test` never comes here: it installs the wheel, and says so in SLS_SIEM_TEST_WHEEL (`unit/test_wheel.py`).
    """
    if importlib.util.find_spec("sls_siem") is None:
        source = str(ROOT / "agent")
        sys.path.insert(0, source)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))


def pytest_configure() -> None:
    """Refuse to test an installed wheel that is not what `agent/` holds now, unless it was broken on purpose."""
    import sls_siem

    if os.environ.get("SLS_SIEM_TEST_BROKEN") == "1":
        return

    installed, source = Path(sls_siem.__file__).resolve().parent, ROOT / "agent" / "sls_siem"
    names = [path.relative_to(source) for path in source.rglob("*.py")]
    stale = [name for name in names if not _same(source / name, installed / name)] if installed != source else []
    if stale:
        pytest.exit(f"the installed wheel is older than agent/ ({stale[0]}): run `make venv`", returncode=2)


def pytest_sessionfinish() -> None:
    """Write what this process has measured before it says that it has finished.

    pytest-xdist ends a worker that takes ten seconds to leave, which on a busy machine is soon; what it has measured
    would be lost without a word.
    """
    coverage = sys.modules.get("coverage")
    measured = coverage.Coverage.current() if coverage is not None else None
    if measured is not None:
        measured.save()


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


_fall_back_to_the_checkout()

# A slow machine is no failure of a property; the same examples every time in CI, so that red means a change.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own SLS account and the service manager's directories out of the tests."""
    for name in list(os.environ):
        if name.startswith("SLS_") and not name.startswith("SLS_SIEM_TEST_"):
            monkeypatch.delenv(name)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the fault schedules run alone: their agents live with time-outs of seconds."""
    for item in items:
        if ROOT / "tests" / "faults" in item.path.parents:
            item.add_marker("alone")
