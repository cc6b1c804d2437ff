"""Installation into a root where no systemd runs, as image builders do it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import CODEC, Packages
from tests.system.nspawn import ENVIRONMENT, root_of


def in_root(root: Path, *command: str, expected: int = 0) -> str:
    done = subprocess.run(
        ["chroot", str(root), *command],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == expected, done.stdout
    return done.stdout


@pytest.fixture(params=["bookworm", "trixie"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "-xf", root_of(request.param)], check=True, timeout=200)
    shutil.rmtree(folder / "etc/apt/sources.list.d")
    (folder / "etc/apt/sources.list.d").mkdir()
    (folder / "etc/apt/sources.list").write_text("")
    return folder


def test_a_root_without_systemd_running_takes_it_and_gives_it_back(root: Path, packages: Packages) -> None:
    deb = max((packages.new / "pool" / "main").glob("*.deb"))
    shutil.copy(deb, root / "srv")
    before = files_of(root)
    in_root(root, "apt-get", "-q", "-y", "install", f"/srv/{deb.name}")
    problems = in_root(root, "sls-siem", "check", "--config", "/usr/share/doc/sls-siem-agent/examples/agent.toml")

    assert CODEC in in_root(root, "sls-siem", "version")
    assert "error" not in problems
    assert (root / "etc/systemd/system/multi-user.target.wants/sls-siem.target").is_symlink()
    # What an operator and the agent leave there.
    for place in ("etc/sls-siem/agent.toml", "etc/sls-siem/credentials/hec-token", "var/lib/sls-siem/1/letters"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text("")
    (root / "etc/default/sls-siem-agent").write_text("")
    in_root(root, "apt-get", "-q", "-y", "purge", "sls-siem-agent")
    assert [] == sorted(files_of(root) - before)


def files_of(root: Path) -> set[str]:
    """List everything, but what dpkg, apt and the accounts write for themselves."""
    places = (
        "var/lib/dpkg",
        "var/lib/apt",
        "var/cache",
        "var/log",
        "etc/passwd",
        "etc/group",
        "etc/shadow",
        "etc/gshadow",
    )
    found = {str(path.relative_to(root)) for path in root.rglob("*")}
    return {
        path for path in found if not path.startswith((*places, "var/lib/systemd/deb-systemd-helper", "proc", "dev"))
    }


def test_apt_takes_nothing_from_a_repository_that_was_tampered_with(root: Path, packages: Packages) -> None:
    repository = root / "srv" / "old"
    shutil.copytree(packages.old, repository)
    shutil.copy(repository / "sls-siem-agent.gpg", root / "usr/share/keyrings")
    shutil.copy(repository / "sls-siem-agent.sources", root / "etc/apt/sources.list.d")
    (root / "srv").chmod(0o755)
    in_root(root, "apt-get", "-q", "update")
    for signed in ("InRelease", "Release"):
        path = repository / "dists/stable" / signed
        path.write_text(path.read_text().replace("Origin: sls-siem-agent", "Origin: somebody else"))
    shutil.rmtree(root / "var/lib/apt/lists")
    said = in_root(root, "apt-get", "-q", "update", expected=100)

    assert "signatures were invalid" in said or "is not signed" in said or "BADSIG" in said
    in_root(root, "apt-get", "-q", "-y", "install", "sls-siem-agent", expected=100)
