"""Throw-away hosts: Debian roots by mmdebstrap, booted with systemd-nspawn, so that real systemd runs the agent.

A host shares this machine's network, so that it reaches servers on loopback here, and nothing else; or it gets a
network namespace of its own. Roots are kept in `~/.cache/sls-siem-agent/roots` (or below `$SLS_SIEM_CACHE`) for every
checkout on this machine; remove one to have it made anew. It knows nothing of the agent.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.system.journal import Downtime, downtimes

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("SLS_SIEM_CACHE") or Path.home() / ".cache" / "sls-siem-agent") / "roots"
RELEASES = {"bullseye": 247, "bookworm": 252, "trixie": 257}
TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter")
# The package's dependencies are in the root already, as on any server; so an installation needs no mirror.
PACKAGES = "systemd-sysv,dbus,python3,procps,ca-certificates,init-system-helpers"
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "PAGER": "cat",
    "SYSTEMD_COLORS": "0",
}
BUILD_S = 900
CGROUPS = Path("/sys/fs/cgroup")


def missing() -> str:
    """Say what is lacking on this machine, or nothing."""
    if os.geteuid() != 0:
        return "not root"
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def root_of(release: str, extra: str = "") -> Path:
    """Return the release's root as a tar file; made on the first call, which needs a mirror.

    Args:
        release: a key of RELEASES.
        extra: more packages, separated by commas.
    """
    packages = ",".join(filter(None, [PACKAGES, extra]))
    path = CACHE / f"{release}-{hashlib.sha256(packages.encode()).hexdigest()[:8]}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        # Several runs may want the same one at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            partial = path.with_suffix(".partial.tar")
            source = f"deb {_mirror()} {release} main"
            command = ["mmdebstrap", "--variant=apt", f"--include={packages}", release, str(partial), source]
            done = subprocess.run(
                command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_S
            )
            assert done.returncode == 0, f"mmdebstrap {release}: {done.returncode}\n{done.stdout[-2000:]}"
            partial.rename(path)
    return path


def _mirror() -> str:
    """Take the mirror that this machine's own apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    for line in answer.splitlines():
        origin, label, uri = line.split("|")
        if origin == label == "Debian":
            return uri
    raise AssertionError("this machine's apt has no Debian mirror")


class Host:
    """One booted host; a context manager.

    Args:
        release: a key of RELEASES.
        name: its host name; the release's name when empty.
        extra: more packages than every host has, separated by commas.
        namespace: file of the network namespace that it is alone in; this machine's network when empty.
        prepare: is given its root before it boots for the first time.
    """

    def __init__(
        self,
        release: str,
        *,
        name: str = "",
        extra: str = "",
        namespace: str = "",
        prepare: Callable[[Path], None] = lambda _root: None,
    ) -> None:
        self.release = release
        self.name = name or release
        self._extra = extra
        self._namespace = namespace
        self._prepare = prepare
        self.folder = Path(tempfile.mkdtemp(prefix=f"sls-siem-{release}-", dir="/var/tmp"))
        self.root = self.folder / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._cgroups: list[Path] = []
        self.leader = 0

    def __enter__(self) -> Host:
        try:
            self._unpack()
            self.boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.power_off()
        for group in self._cgroups:
            _remove_cgroup(group)
        shutil.rmtree(self.folder, ignore_errors=True)

    def power_off(self) -> None:
        """End every process at once, as if it had lost its power."""
        if self._process is None:
            return
        # Its init's end is the end of every process in it; nspawn then ends by itself.
        with contextlib.suppress(OSError):
            os.kill(self.leader or self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def _unpack(self) -> None:
        self.root.mkdir()
        subprocess.run(["tar", "-C", self.root, "-xf", root_of(self.release, self._extra)], check=True, timeout=120)
        (self.root / "etc" / "machine-id").write_text("")
        (self.root / "etc" / "hostname").write_text(f"{self.name}\n")
        (self.root / "var" / "log" / "journal").mkdir(parents=True, exist_ok=True)
        self._cgroups = _own_cgroups(self.folder.name)
        self._prepare(self.root)

    def boot(self) -> None:
        """Start its init; again, with the disk as it is, once the one before has ended."""
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "--quiet", "--boot", "--resolv-conf=off"]
        command += [f"--directory={self.root}", f"--machine={self.folder.name.replace('_', '-')[:60].strip('-')}"]
        if self.name != self.release:
            command.append(f"--hostname={self.name}")
        if self._namespace:
            command.append(f"--network-namespace-path={self._namespace}")
        enter = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self._cgroups)
        self.leader = 0
        with (self.folder / "console.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", f'{enter}exec "$@"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.leader = int(self.until(self._find_leader, 30, "nspawn's init"))
        self.until(self._is_up, 150, f"{self.name} to be up")

    def _find_leader(self) -> str:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "console.log").read_text(errors="replace")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return next((child for child in children if _is_init(child)), "")

    def _is_up(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            return self.run("systemctl", "is-system-running", check=False).strip() in {"running", "degraded"}
        return False

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> object:
        """Wait for a condition with a deadline; returns what it returned."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {seconds:g} s for {what} on {self.name}"
            time.sleep(0.1)
        return found

    def run(self, *command: str, check: bool = True, timeout: float = 120, text: str = "") -> str:
        """Run a command on the host as root; returns what it printed, on both streams."""
        environ = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", "env", "-i", *environ, *command],
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            cwd="/",
        )
        if check:
            assert done.returncode == 0, f"{' '.join(command)} on {self.name}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def sh(self, script: str, *, check: bool = True, timeout: float = 120) -> str:
        """Run a bash script on the host."""
        return self.run("bash", "-c", script, check=check, timeout=timeout)

    def write(self, path: str, text: str, *, mode: int = 0o644, group: str = "") -> None:
        """Replace a file on the host at once."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        new.write_text(text)
        new.chmod(mode)
        new.replace(target)
        if group:
            self.run("chgrp", group, path)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def journal(self, *arguments: str) -> str:
        """Return what the journal says."""
        return self.run("journalctl", "--no-pager", "-q", *arguments)

    def journal_cursor(self) -> str:
        """Return the journal's end as it is now, for `--after-cursor=`."""
        return self.run("journalctl", "-q", "-n", "0", "--show-cursor").strip().rpartition("cursor: ")[2]

    def downtimes(self, cursor: str) -> list[Downtime]:
        """Return when which unit was down and came back, since the cursor."""
        self.run("journalctl", "--sync")
        return downtimes(self.journal("-o", "json", "_PID=1", f"--after-cursor={cursor}"))


def _is_init(process: str) -> bool:
    """Tell the host's init from the helpers that nspawn starts on the way to it."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        return any(line.startswith("NSpid:") and line.split()[1:] == [process, "1"] for line in lines)
    return False


def _own_cgroups(name: str) -> list[Path]:
    """Make a control group for the host in every hierarchy, so that hosts beside each other do not share one."""
    version_2 = (CGROUPS / "cgroup.controllers").exists()
    parents = [CGROUPS] if version_2 else [CGROUPS / "systemd", CGROUPS / "unified"]
    made = []
    for parent in parents:
        with contextlib.suppress(OSError):
            (parent / name).mkdir()
            made.append(parent / name)
    return made


def _remove_cgroup(group: Path) -> None:
    def deepest() -> Iterator[Path]:
        yield from sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        yield group

    for path in deepest():
        with contextlib.suppress(OSError):
            path.rmdir()
