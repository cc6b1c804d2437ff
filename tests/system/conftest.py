"""Hosts that can install the package from the repository just built, and servers on this machine for them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.nspawn import ROOT, Host, missing
from tests.system.world import World

BUILD_S = 1500  # with the compiled codec, on a busy machine
BUILD_TOOLS = ("dpkg-buildpackage", "dh", "apt-ftparchive", "gpg", "rpmbuild")
OLD_VERSION = "0.0.9"
# Each is a host of its own.
RELEASES = os.environ.get("SLS_SIEM_TEST_RELEASES", "bookworm").split()
# What tests need on a host beside what is always there.
TOOLBOX = "autopkgtest,dpkg-dev,rpm"
CODEC = "compiled" if shutil.which("cargo") else "reference"

pytest.register_assert_rewrite("tests.system.life")


def logs_for(release: str) -> int:
    """Say how many logs go through a host at least: a million through the first, fewer through the others."""
    return int(os.environ.get("SLS_SIEM_TEST_LOGS", "1000000" if release == RELEASES[0] else "200000"))


class Packages(NamedTuple):
    """Repositories: one with an older version without the compiled codec, one with both versions; and the rpms.

    Args:
        old: used by file:.
        new: used by http:.
        rpms: the older version and the present one.
    """

    old: Path
    new: Path
    rpms: Path


def why_not() -> str:
    """Say what building packages and booting hosts lacks here, or nothing."""
    tools = [tool for tool in BUILD_TOOLS if shutil.which(tool) is None]
    return missing() or ", ".join(tools)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = why_not()
    for item in items:
        if "tests/system/" in str(item.path):
            # Without the time that the fixtures take to build packages.
            item.add_marker(pytest.mark.timeout(1200, func_only=True))
            item.add_marker(pytest.mark.slow)
            if why and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(f"system tests need root and their tools; missing: {why}"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    if why := why_not():
        pytest.fail(f"system tests need root and their tools; missing: {why}")
    if kept := os.environ.get("SLS_SIEM_TEST_PACKAGES"):
        # While tests are written: what a run before this one built.
        folder = Path(kept)
        return Packages(folder / "old", folder / "new", folder / "rpms")
    temporary = tmp_path_factory.getbasetemp()
    folder = (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "packages"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # The workers of one run share them.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "built").exists():
            _build_all(folder)
            (folder / "built").touch()
    return Packages(folder / "old", folder / "new", folder / "rpms")


def _build_all(folder: Path) -> None:
    for kind in ("deb", "rpm"):
        out = str(folder / f"{kind}s")
        build(f"build_{kind}.py", "--out", out, "--version", OLD_VERSION, "--codec", "none")
        if kind == "deb":
            _publish(folder, "old", "file:/srv/old")
        build(f"build_{kind}.py", "--out", out)
    _publish(folder, "new", "http://127.0.0.1:80")


def _publish(folder: Path, name: str, url: str) -> None:
    build("apt_repo.py", "--debs", str(folder / "debs"), "--out", str(folder / name), "--url", url)


def build(script: str, *arguments: str) -> None:
    """Run one of the build scripts."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "packaging" / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, packages: Packages) -> Iterator[World]:
    release = request.module.RELEASE
    if release not in RELEASES:
        pytest.skip(f"{release} is not in SLS_SIEM_TEST_RELEASES")
    with Host(release) as host, World(host) as made:
        made.add_repository("old", packages.old)
        made.serve_repository("new", packages.new)
        yield made
        if folder := os.environ.get("SLS_SIEM_TEST_JOURNALS"):
            (Path(folder) / f"{release}.txt").write_text(host.journal("-o", "short-precise"))
