"""Makes rsyslog, syslog-ng, Prometheus and libfaketime usable without installing them.

Debian's `rsyslog` and `syslog-ng-core` conflict: installing one removes the other, and `prometheus` would start a
service. So each is downloaded with every
library it needs, unpacked into a folder of its own below `.cache/receivers/` (named after its version) and run from
there. Nothing of the system changes; root is not needed: where the system's package lists are missing or stale, lists
are fetched into the cache folder. To get a newer version, delete `.cache/receivers/`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "receivers"
STEP_TIMEOUT_S = 100
READY = "ready"

PACKAGES = {
    "rsyslog": ("rsyslog", "rsyslog-gnutls", "rsyslog-openssl", "rsyslog-relp"),
    "syslog-ng": ("syslog-ng-core",),
    "prometheus": ("prometheus",),
    "faketime": ("libfaketime",),
}
PROGRAM = {"rsyslog": "usr/sbin/rsyslogd", "syslog-ng": "usr/sbin/syslog-ng", "prometheus": "usr/bin/prometheus"}
# The C library must be the one of the dynamic loader, which is the system's.
_FROM_THE_SYSTEM = {"libc6", "libgcc-s1", "libcrypt1"}
_NOTHING_INSTALLED = ("-o", "Dir::State::status=/dev/null")


class UnavailableError(Exception):
    """The receiver cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Installed:
    """A receiver ready to run.

    Args:
        name: `rsyslog`, `syslog-ng` or `prometheus`.
        root: folder that its packages were unpacked into.
    """

    name: str
    root: Path

    @property
    def program(self) -> Path:
        return self.root / PROGRAM[self.name]

    @property
    def modules(self) -> Path:
        """Folder of its loadable modules."""
        pattern = "usr/lib/*/rsyslog" if self.name == "rsyslog" else "usr/lib/syslog-ng/[0-9]*"
        return next(self.root.glob(pattern))

    @property
    def version(self) -> str:
        return self.root.name.split("_")[1]

    def environment(self) -> dict[str, str]:
        """Environment that makes the program find its own libraries, and nothing of the test's."""
        folders = sorted({str(library.parent) for library in self.root.rglob("*.so*") if library.is_file()})
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(folders)}

    def check(self) -> None:
        """Run the program once.

        Raises:
            UnavailableError: it does not start.
        """
        if self.name in PROGRAM:
            _run([str(self.program), "-v" if self.name == "rsyslog" else "--version"], env=self.environment())


def require(name: str) -> Installed:
    """Return the receiver, or skip the test; with `CI=true` fail instead, so that no layer is skipped unseen."""
    try:
        return install(name)
    except UnavailableError as exc:
        message = f"real {name} is not available: {exc}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


def install(name: str, cache: Path = CACHE) -> Installed:
    """Download and unpack a receiver, or find the one unpacked before.

    Args:
        name: `rsyslog`, `syslog-ng` or `prometheus`.
        cache: folder to keep it in.

    Raises:
        UnavailableError: no Debian tools, no network, or a program that does not run here.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} is missing; the receivers come from Debian's packages")
    with _locked(cache):
        found = _newest(name, cache) or _build(name, cache)
        found.check()
        return found


def _newest(name: str, cache: Path) -> Installed | None:
    ready = sorted(cache.glob(f"{name}_*/{READY}"), key=lambda marker: marker.stat().st_mtime)
    return Installed(name, ready[-1].parent) if ready else None


def _build(name: str, cache: Path) -> Installed:
    """Unpack everything beside the final place first, so that a broken download leaves nothing that looks ready."""
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{name}-") as work:
        debs, root = Path(work, "debs"), Path(work, "root")
        debs.mkdir()
        root.mkdir()
        versions = _download(PACKAGES[name], debs, cache / "apt")
        for deb in sorted(debs.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(deb), str(root)])
        (root / READY).write_text("".join(f"{package}={version}\n" for package, version in sorted(versions.items())))
        version = re.sub(r"[^0-9A-Za-z.+~-]", "-", versions[PACKAGES[name][0]])
        final = cache / f"{name}_{version}"
        shutil.rmtree(final, ignore_errors=True)
        root.rename(final)
        return Installed(name, final)


def _download(packages: Sequence[str], into: Path, private: Path) -> dict[str, str]:
    """Fetch the packages and their libraries; on any failure once more with package lists of our own."""
    try:
        return _download_with([], packages, into)
    except UnavailableError:
        options = _private_lists(private)
        _run(["apt-get", "-qq", "update", *options])
        return _download_with(options, packages, into)


def _download_with(options: Sequence[str], packages: Sequence[str], into: Path) -> dict[str, str]:
    versions = _closure(options, packages)
    # As root apt would hand the download to a user who may not write here.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    wanted = [f"{package}={version}" for package, version in versions.items()]
    _run(["apt-get", "-qq", "download", *options, *sandbox, *wanted], cwd=into)
    return versions


def _closure(options: Sequence[str], packages: Sequence[str]) -> dict[str, str]:
    """Ask apt what the packages would need on a machine that has nothing yet: the answer is the same everywhere."""
    answer = _run(
        ["apt-get", "-s", "-qq", "install", "--no-install-recommends", *options, *_NOTHING_INSTALLED, *packages]
    )
    versions = dict(re.findall(r"^Inst (\S+) \((\S+)", answer, flags=re.MULTILINE))
    return {
        package: version
        for package, version in versions.items()
        if package in packages
        or (package.startswith("lib") and not package.startswith("libjs-") and package not in _FROM_THE_SYSTEM)
    }


def _private_lists(folder: Path) -> list[str]:
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    return [
        *("-o", f"Dir::State::Lists={folder}/lists"),
        *("-o", f"Dir::Cache={folder}"),
        *("-o", f"Dir::Cache::Archives={folder}/archives"),
        *(["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []),
    ]


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "lock").open("w")
    except OSError as exc:
        raise UnavailableError(f"the cache folder cannot be written: {exc}") from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, capture_output=True, text=True, timeout=STEP_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UnavailableError(f"{command[0]}: {exc}") from exc
    if done.returncode != 0:
        raise UnavailableError(
            f"`{' '.join(command)[:200]}` ended with {done.returncode}: {done.stderr.strip()[-500:]}"
        )
    return done.stdout
