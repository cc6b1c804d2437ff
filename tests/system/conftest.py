"""Hosts that can install the package from the repository just built, and servers on this machine for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.system.nspawn import ROOT, Host, missing
from tests.system.world import World

BUILD_S = 300
BUILD_TOOLS = ("dpkg-buildpackage", "dh", "apt-ftparchive", "gpg")
OLD_VERSION = "0.0.9"


class Packages(NamedTuple):
    """Repositories: one with an older version, one with the older and the present one."""

    old: Path
    new: Path


def why_not() -> str:
    """Say what building packages and booting hosts lacks here, or nothing."""
    from shutil import which

    tools = [tool for tool in BUILD_TOOLS if which(tool) is None]
    return missing() or ", ".join(tools)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = why_not()
    for item in items:
        if "tests/system/" in str(item.path):
            item.add_marker(pytest.mark.timeout(400))
            item.add_marker(pytest.mark.slow)
            if why and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip(f"system tests need root and their tools; missing: {why}"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    if why := why_not():
        pytest.fail(f"system tests need root and their tools; missing: {why}")
    folder = tmp_path_factory.mktemp("packages")
    found = []
    for name, versions in (("old", (OLD_VERSION,)), ("new", (OLD_VERSION, None))):
        for version in versions:
            arguments = ["--out", str(folder / "debs"), *(["--version", version] if version else [])]
            if not (version and list(folder.glob("debs/*.deb"))):
                build("build_deb.py", *arguments)
        build("apt_repo.py", "--debs", str(folder / "debs"), "--out", str(folder / name), "--url", f"file:/srv/{name}")
        found.append(folder / name)
    return Packages(*found)


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


@pytest.fixture(scope="module", params=os.environ.get("SLS_SIEM_TEST_RELEASES", "bookworm").split())
def world(request: pytest.FixtureRequest, packages: Packages) -> Iterator[World]:
    with Host(request.param) as host, World(host) as made:
        made.add_repository("old", packages.old)
        made.add_repository("new", packages.new)
        yield made
