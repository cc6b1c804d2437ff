"""The repository that the fleet installs from, with versions that work and one that does not, and the fleet itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet import network
from tests.fleet.fleet import FULL, Fleet
from tests.system.conftest import build, why_not

OLD, NEW, BROKEN = "0.0.8", "0.0.9", "0.0.10"
TOOLS = ("ansible-playbook", "ssh")
TEST_S = 1500


def _why_not() -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return why_not() or network.missing() or ", ".join(tool for tool in TOOLS if shutil.which(tool, path=path) is None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = _why_not()
    asked = os.environ.get("SLS_SIEM_TEST_FLEET")
    for item in items:
        if "tests/fleet/" in str(item.path):
            item.add_marker(pytest.mark.timeout(TEST_S))
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.alone)
            if not asked:
                item.add_marker(pytest.mark.skip("set SLS_SIEM_TEST_FLEET to `part` or `full`: three hosts are booted"))
            elif why and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(f"fleet tests need root and their tools; missing: {why}"))


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An apt repository with an old version, a new one, and one whose heartbeats hang."""
    if why := _why_not():
        pytest.fail(f"fleet tests need root and their tools; missing: {why}")
    folder = tmp_path_factory.mktemp("repository")
    debs = folder / "debs"
    # The compiled codec takes longer to build than a light load needs it.
    build("build_deb.py", "--out", str(debs), "--version", OLD, "--codec", "auto" if FULL else "none")
    old = next(debs.glob("*.deb"))
    _repack(old, debs, NEW, broken=False)
    _repack(old, debs, BROKEN, broken=True)
    build("apt_repo.py", "--debs", str(debs), "--out", str(folder / "apt"), "--url", "http://unused")
    return folder / "apt"


def _repack(deb: Path, debs: Path, version: str, *, broken: bool) -> None:
    """Make another version of a package: the same files but for the number, and a fault when asked for."""
    tree = debs.parent / version
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True, timeout=60)
    app = tree / "usr" / "lib" / "sls-siem-agent" / "app" / "sls_siem"
    _replace(tree / "DEBIAN" / "control", f"Version: {OLD}", f"Version: {version}")
    _replace(app / "version.py", f'"{OLD}"', f'"{version}"')
    if broken:
        _replace(
            app / "membership" / "member.py",
            "    def _beat(self, pulse: Pulse) -> float:\n",
            "    def _beat(self, pulse: Pulse) -> float:\n        threading.Event().wait()\n",
        )
    (tree / "DEBIAN" / "md5sums").unlink()
    target = debs / deb.name.replace(OLD, version)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", tree, target],
        check=True,
        capture_output=True,
        timeout=60,
    )
    shutil.rmtree(tree)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, path
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def fleet(repository: Path) -> Iterator[Fleet]:
    with Fleet(repository, OLD) as made:
        yield made
