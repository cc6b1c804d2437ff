"""Build the compiled codec that the packages carry: the same bytes each time, for every supported glibc.

`codec.py SOURCE FOLDER` takes the crate in SOURCE/agent/native, with the crates that its Cargo.lock names and the tools
that codec.lock names. zig links, since it can link against an older glibc than this machine's, and for another machine.
FOLDER gets the wheel, `crates.json` (what the bill of materials says of the crates) and their licences. It needs cargo,
and rustup where the library of another machine is not there yet.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import kept

HERE = Path(__file__).resolve().parent
LOCK = HERE / "codec.lock"
CRATE = Path("agent") / "native"
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# The tag says the glibc: older than Debian 11's (2.31), Ubuntu 22.04's (2.35) and EL 9's (2.34).
MANYLINUX = "manylinux_2_28"
LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|UNLICENSE)[^/]*$", re.IGNORECASE)
BUILD_S = 3000


def why_not(arch: str) -> str:
    """Say why the codec cannot be built for an architecture; nothing when it can."""
    if shutil.which("cargo") is None:
        return "cargo is not there"
    target = _target(arch)
    libraries = Path(_run(["rustc", "--print", "sysroot"]).strip()) / "lib" / "rustlib"
    if not (libraries / target).is_dir() and not _add_target(target):
        return f"rustc has no library for {target}: rustup target add {target}"
    return ""


def _add_target(target: str) -> bool:
    if shutil.which("rustup") is None:
        return False
    done = subprocess.run(["rustup", "target", "add", target], check=False, capture_output=True, timeout=600)
    return done.returncode == 0


def _target(arch: str) -> str:
    return f"{MACHINES[arch]}-unknown-linux-gnu"


def built(source: Path, arch: str, epoch: int) -> Path:
    """Return the folder that `build` fills; the same source is built once on this machine.

    Args:
        source: the repository's root.
        arch: `amd64` or `arm64`.
        epoch: seconds, the date of the source.
    """
    parts = hashlib.sha256()
    for path in sorted(path for path in (source / CRATE).rglob("*") if path.is_file()):
        parts.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    for text in (LOCK.read_bytes(), Path(__file__).read_bytes(), _run(["rustc", "-vV"]).encode()):
        parts.update(text + b"\0")
    place = kept.CACHE / "codec" / f"{arch}-{parts.hexdigest()[:16]}"
    return kept.folder(place, lambda folder: build(source, folder, arch=arch, epoch=epoch))


def build(source: Path, folder: Path, *, arch: str, epoch: int) -> None:
    """Build into an empty folder.

    Args:
        source: the repository's root.
        folder: gets the wheel, `crates.json` and `licences/`.
        arch: `amd64` or `arm64`.
        epoch: seconds, the date of the source.
    """
    target, tools, crate = _target(arch), _tools(), source / CRATE
    packages = list(_crates(crate, target))
    prefixes = {str(crate.resolve()): "/usr/src/sls-siem-codec"}
    prefixes |= {str(Path(package["manifest_path"]).parents[1]): "/usr/src/crates" for package in packages}
    environ = {
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(f"--remap-path-prefix={old}={new}" for old, new in prefixes.items()),
        "CFLAGS": " ".join(f"-ffile-prefix-map={old}={new}" for old, new in prefixes.items()),
        "CARGO_TARGET_DIR": str(folder / "target"),
        "CARGO_ZIGBUILD_ZIG_PATH": str(tools / "ziglang" / "zig"),
        "SOURCE_DATE_EPOCH": str(epoch),
    }
    command = [tools / "bin" / "maturin", "build", "--release", "--locked", "--zig", "--target", target]
    command += ["--compatibility", MANYLINUX, "--manifest-path", crate / "Cargo.toml", "--out", folder]
    _run([str(part) for part in command], environ)
    shutil.rmtree(folder / "target")
    _write_licences(packages, folder)


def _tools() -> Path:
    digest = hashlib.sha256(LOCK.read_bytes() + platform.machine().encode()).hexdigest()[:12]

    def install(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--require-hashes", "--only-binary=:all:", "--target", str(folder), "-r", str(LOCK)])

    return kept.folder(kept.CACHE / "codec" / f"tools-{digest}", install)


def _crates(crate: Path, target: str) -> Iterator[dict[str, Any]]:
    """Yield what cargo knows of each crate that is linked in: neither macros nor what only builds need."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", "--features=python"]
    command += ["--filter-platform", target, "--manifest-path", str(crate / "Cargo.toml")]
    known = json.loads(_run(command))
    packages = {package["id"]: package for package in known["packages"]}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    open_, seen = [known["resolve"]["root"]], set()
    while open_:
        name = open_.pop()
        if name in seen or any("proc-macro" in part["kind"] for part in packages[name]["targets"]):
            continue
        seen.add(name)
        linked = (part for part in nodes[name]["deps"] if any(kind["kind"] is None for kind in part["dep_kinds"]))
        open_ += [part["pkg"] for part in linked]
    yield from (packages[name] for name in sorted(seen - {known["resolve"]["root"]}))


def _write_licences(packages: list[dict[str, Any]], folder: Path) -> None:
    entries = []
    for package in packages:
        name, version = package["name"], package["version"]
        entries.append({"name": name, "version": version, "license": package["license"]})
        home = Path(package["manifest_path"]).parent
        texts = [path for path in sorted(home.rglob("*")) if path.is_file() and LICENCE.match(path.name)]
        if not texts:
            raise SystemExit(f"{name} {version} ({package['license']}) comes without the text of its licence")
        for text in texts:
            place = folder / "licences" / f"{name}-{version}" / text.relative_to(home)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(text, place)
    release = _run(["rustc", "--version"]).split()[1]
    # Apache-2.0 is the one of its licences that is used; its text is the codec's own.
    entries.append({"name": "std", "version": release, "license": "MIT OR Apache-2.0"})
    (folder / "crates.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def _run(command: list[str], environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **(environ or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_S,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", choices=sorted(MACHINES), default="amd64")
    parser.add_argument("--epoch", type=int, default=0, help="seconds, the date of the source")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    build(options.source, options.folder.resolve(), arch=options.arch, epoch=options.epoch)


if __name__ == "__main__":
    main()
