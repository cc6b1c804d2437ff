"""Installation into a root where no systemd runs, as image builders do it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import Packages
from tests.system.nspawn import ENVIRONMENT, root_of


def in_root(root: Path, *command: str) -> str:
    done = subprocess.run(
        ["chroot", str(root), *command],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_a_root_without_systemd_running_takes_it_and_gives_it_back(release, packages: Packages, tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", root_of(release)], check=True, timeout=200)
    deb = max((packages.new / "pool" / "main").glob("*.deb"))
    shutil.copy(deb, root / "srv")
    (root / "etc/apt/sources.list").write_text("")
    in_root(root, "apt-get", "-q", "-y", "install", f"/srv/{deb.name}")
    problems = in_root(root, "sls-siem", "check", "--config", "/usr/share/doc/sls-siem-agent/examples/agent.toml")

    assert "sls-siem " in in_root(root, "sls-siem", "version")
    assert "error" not in problems
    assert (root / "etc/systemd/system/multi-user.target.wants/sls-siem.target").is_symlink()
    in_root(root, "apt-get", "-q", "-y", "purge", "sls-siem-agent")
    assert not (root / "usr/lib/sls-siem-agent").exists()
    assert not (root / "etc/sls-siem").exists()
