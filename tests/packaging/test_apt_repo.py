"""The apt repository: what was in it stays, and a build that fails leaves it as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.test_packages import import_from_packaging, needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def repository():
    needs("dpkg-deb", "apt-ftparchive", "gpg", "gpgconf")
    return import_from_packaging("apt_repo")


def deb(folder: Path, version: str, description: str = "for a test") -> Path:
    """Build a package that contains nothing."""
    control = folder / f"tree-{version}" / "DEBIAN" / "control"
    control.parent.mkdir(parents=True, exist_ok=True)
    control.write_text(
        f"Package: sls-siem-agent\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@example.com>\n"
        f"Description: {description}\n"
    )
    path = folder / f"sls-siem-agent_{version}_amd64.deb"
    command = ["dpkg-deb", "--root-owner-group", "--build", str(control.parents[1]), str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


def packages(out: Path) -> str:
    return (out / "dists/stable/main/binary-amd64/Packages").read_text()


def test_a_version_that_was_in_it_stays_and_the_same_version_is_replaced(repository, tmp_path) -> None:
    out = tmp_path / "apt"
    repository.make(out, [deb(tmp_path, "1.0"), deb(tmp_path, "1.1")])
    # As after a run that was killed while it put the new one in place.
    out.rename(tmp_path / "apt.old")
    repository.make(out, [deb(tmp_path, "1.1")])
    repository.make(out, [deb(tmp_path, "1.1", "built again"), deb(tmp_path, "1.2")])

    assert ["1.0", "1.1", "1.2"] == [
        line.split()[1] for line in packages(out).splitlines() if line.startswith("Version: ")
    ]
    assert "Description: built again" in packages(out)
    assert f"URIs: {out.as_uri()}\n" in (out / "sls-siem-agent.sources").read_text()
    assert [] == list(tmp_path.glob("apt.*"))


def test_it_stays_as_it_is_when_it_cannot_be_signed(repository, tmp_path) -> None:
    out = tmp_path / "apt"
    repository.make(out, [deb(tmp_path, "1.0")])
    before = (out / "dists/stable/InRelease").read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        repository.make(out, [deb(tmp_path, "1.1")], key="nobody-has-this-key")

    assert before == (out / "dists/stable/InRelease").read_bytes()
    assert "Version: 1.1" not in packages(out)
