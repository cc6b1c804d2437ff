"""A clean copy of the committed repository with the libraries in it: what both package formats are built from."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
import codec as compiled

ROOT = Path(__file__).resolve().parents[1]
CODEC = ("auto", "none", "required")
VERSION_FILE = "agent/sls_siem/version.py"
LONGEST_S = 1200


class Staged(NamedTuple):
    """What a package is named and dated by.

    Args:
        version: of the agent.
        epoch: seconds of the commit, the date of every file.
        licences: SPDX expressions, each with the names of the libraries in `vendor/` that are under it.
    """

    version: str
    epoch: int
    licences: dict[str, list[str]]


def make(folder: Path, *, arch: str, version: str | None = None, commit: str = "HEAD", codec: str = "auto") -> Staged:
    """Fill `folder`, which must not exist.

    Args:
        folder: for the copy.
        arch: `amd64` or `arm64`.
        version: written into the copy instead of its own.
        commit: what to copy.
        codec: whether the compiled one is part of it: `required`, `none`, or `auto`: where it can be built.
    """
    os.umask(0o022)
    archive = _git("archive", "--format=tar", commit)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder)  # noqa: S202 - git's own output
    path = folder / VERSION_FILE
    text = path.read_text(encoding="utf-8")
    if version is not None:
        text = re.sub(r'(__version__ = )"[^"]+"', rf'\1"{version}"', text)
        path.write_text(text, encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found is not None
    vendor = [sys.executable, str(ROOT / "packaging" / "vendor.py"), "tree", str(folder / "vendor"), "--arch", arch]
    epoch = int(_git("log", "-1", "--format=%ct", commit))
    if codec != "none" and (why := compiled.why_not(arch)):
        if codec == "required":
            raise SystemExit(f"the compiled codec cannot be built: {why}")
        print(f"{arch}: without the compiled codec, so slower: {why}", file=sys.stderr)
    elif codec != "none":
        vendor += ["--codec", str(compiled.built(folder, arch, epoch))]
    run(vendor, cwd=ROOT)
    return Staged(found[1], epoch, _licences(folder / "vendor" / "sbom.cdx.json"))


def _licences(bill: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in json.loads(bill.read_text(encoding="utf-8"))["components"]:
        found.setdefault(part["licenses"][0]["expression"], []).append(part["name"])
    return found


def licence_of_all(expressions: Collection[str]) -> str:
    """Return one SPDX expression for the agent, which is under Apache-2.0, with libraries under `expressions`.

    Where there is a choice, one that others make necessary anyway is chosen.
    """
    several = [text for text in expressions if " OR " in text]
    needed = {"Apache-2.0"}.union(*(text.split(" AND ") for text in expressions if text not in several))
    needed |= {f"({text})" for text in several if needed.isdisjoint(text.split(" OR "))}
    return " AND ".join(sorted(needed))


def machine_architecture() -> str:
    """Return Debian's name of what this machine is."""
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def run(command: list[str], *, cwd: Path, environ: dict[str, str] | None = None) -> str:
    """Run a build step with the same environment everywhere; returns its output.

    Raises:
        subprocess.CalledProcessError: it failed; `output` holds what it said.
    """
    kept = {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(environ or {})}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=kept,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
    )
    return done.stdout


def move(source: Path, target: Path) -> str:
    """Move a file, over whatever is there."""
    target.unlink(missing_ok=True)
    return str(shutil.move(str(source), str(target)))


def _git(*arguments: str) -> bytes:
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout
