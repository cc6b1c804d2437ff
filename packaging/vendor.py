"""Make the private tree of libraries that the packages carry: pinned by hash, for every supported Python side by side.

`vendor.py tree FOLDER` needs pip with an index, downloads what `vendor.lock` names, and unpacks it. Nothing that was
built on the way gets into the tree; but pip runs the two sdists' setup.py, with build tools it picks, for metadata.
`vendor.py lock` writes the lock anew from PINS. It knows nothing of deb and rpm, which take the finished tree.
"""

from __future__ import annotations

import argparse
import fnmatch
import functools
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
import kept

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LOCK = HERE / "vendor.lock"
NOTICES = HERE / "notices"
CACHE = kept.CACHE / "vendor"
ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
OLDEST_GLIBC = (2, 31)  # Debian 11

# Resolved on the lowest Python, so that one set runs on all of them.
PINS = {
    "pure": (
        "certifi==2026.10.18",
        "charset-normalizer==3.5.2",
        "idna==3.20",
        "jmespath==1.1.0",
        "prometheus-client==0.26.0",
        "python-dateutil==3.0.0",
        "requests==2.32.5",
        "six==1.17.0",
        "tomli==2.5.0",
        "urllib3==2.6.3",
    ),
    "binary": ("isal==1.9.1", "lz4==4.4.5", "protobuf==5.29.6"),
    "source": ("aliyun-log-python-sdk==0.9.52", "sdnotify==0.3.2"),
}

# SPDX expressions of what is in each wheel, and compiled into it, for the bill of materials, the rpm's tag and
# debian/copyright. Metadata says it in too many ways.
LICENCES = {
    "aliyun-log-python-sdk": "MIT",
    "certifi": "MPL-2.0",
    "charset-normalizer": "MIT",
    "idna": "BSD-3-Clause",
    "isal": "PSF-2.0 AND BSD-3-Clause",  # with Intel's ISA-L
    "jmespath": "MIT",
    "lz4": "BSD-3-Clause AND BSD-2-Clause",  # with the LZ4 library
    "prometheus-client": "Apache-2.0 AND BSD-2-Clause",
    "protobuf": "BSD-3-Clause AND MIT",  # with utf8_range
    "python-dateutil": "(Apache-2.0 AND BSD-3-Clause) OR BSD-3-Clause",
    "requests": "Apache-2.0",
    "sdnotify": "MIT",
    "six": "MIT",
    "sls-siem-codec": "Apache-2.0",
    "tomli": "MIT",
    "urllib3": "MIT",
}
# Folders of NOTICES: what wheels have compiled in without its text.
COMPILED_IN = {"lz4": "lz4-library", "protobuf": "utf8_range"}

# What `import sls_siem` never reaches; tests/packaging imports every module of the agent from the finished tree.
PRUNED = (
    "*.pyi",
    "*.c",
    "*.h",
    "*.so.debug",
    "*/py.typed",
    "*/tests/*",
    "*.data/*",
    "*.egg-info/requires.txt",
    "aliyun/log/_proto_py2/*",
    "aliyun/log/es_migration/*",
    "aliyun/log/ext/*",
    "charset_normalizer/cli/*",
    "dateutil/zoneinfo/*",
    "google/protobuf/compiler/*",
    "google/protobuf/testdata/*",
    "google/protobuf/util/*",
    "isal/igzip.py",
    "isal/igzip_threaded.py",
    "isal/isa-l/*.md",
    "isal/isa-l/*.txt",
    "isal/isal_zlib.*",
    "lz4/frame/*",
    "lz4/stream/*",
    "prometheus_client/bridge/*",
    "prometheus_client/twisted/*",
    "urllib3/contrib/emscripten/*",
)
METADATA_KEPT = re.compile(r"(METADATA|PKG-INFO|LICEN[CS]E.*|COPYING.*|NOTICE.*|AUTHORS.*)$", re.IGNORECASE)


class Pin(NamedTuple):
    """One line of the lock."""

    name: str
    version: str
    hashes: frozenset[str]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    lock = commands.add_parser("lock", help="download for every platform and write vendor.lock")
    lock.set_defaults(run=lambda _options: write_lock())
    tree = commands.add_parser("tree", help="make the tree")
    tree.add_argument("folder", type=Path)
    tree.add_argument("--arch", choices=sorted(ARCHITECTURES), default="amd64")
    tree.add_argument("--codec", type=Path, help="what codec.py built, to be part of it")
    tree.set_defaults(run=lambda options: make_tree(options.folder, options.arch, options.codec))
    options = parser.parse_args(arguments)
    options.run(options)
    return 0


# --- downloads --------------------------------------------------------------------------------------------------------


def _pip(folder: Path, kind: str, requirements: list[str], extra: Iterable[str] = ()) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--dest", str(folder), *extra]
    command += ["--no-binary=:all:"] if kind == "source" else ["--only-binary=:all:"]
    subprocess.run([*command, *requirements], check=True, timeout=600)


def _targets(kind: str, machine: str) -> list[list[str]]:
    if kind == "source":
        return [[]]
    if kind == "pure":
        return [["--platform=any", "--implementation=py", "--abi=none", "--python-version=3.9"]]
    platforms = [f"--platform=manylinux2014_{machine}", f"--platform=manylinux_2_28_{machine}", "--implementation=cp"]
    return [
        [*platforms, f"--python-version={python}", f"--abi=cp{python.replace('.', '')}", "--abi=abi3"]
        for python in PYTHONS
    ]


def write_lock() -> None:
    """Pin what the index has for PINS now."""
    pins: dict[str, set[str]] = {}
    for kind, requirements in PINS.items():
        for requirement in requirements:
            folder = CACHE / "lock" / requirement
            folder.mkdir(parents=True, exist_ok=True)
            for machine in ARCHITECTURES.values():
                for target in _targets(kind, machine):
                    _pip(folder, kind, [requirement], target)
            pins[requirement] = {_sha256(path) for path in folder.iterdir()}
    lines = ["# Written by `packaging/vendor.py lock`: the libraries in the packages, for amd64 and arm64."]
    lines += [
        " \\\n".join([requirement, *(f"    --hash=sha256:{digest}" for digest in sorted(hashes))])
        for requirement, hashes in sorted(pins.items())
    ]
    LOCK.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_lock() -> dict[str, Pin]:
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    pins = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement, *hashes = line.split()
            name, version = requirement.split("==")
            pins[requirement] = Pin(name, version, frozenset(text.rpartition(":")[2] for text in hashes))
    return pins


def _downloaded(arch: str) -> list[tuple[Pin, Path]]:
    """Return every file of the lock for one architecture, checked; downloads what the cache lacks."""
    found = []
    lock = read_lock()
    for kind, requirements in PINS.items():
        for requirement in requirements:
            pin = lock[requirement]
            folder = CACHE / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12] / arch / requirement
            kept.folder(folder, functools.partial(_download, kind=kind, requirement=requirement, arch=arch))
            for path in sorted(folder.iterdir()):
                if _sha256(path) not in pin.hashes:
                    raise SystemExit(f"{path}: its hash is not in {LOCK.name}; remove the file and try again")
                found.append((pin, path))
    return found


def _download(folder: Path, kind: str, requirement: str, arch: str) -> None:
    wanted = folder / "requirement.txt"
    pin = read_lock()[requirement]
    wanted.write_text(" ".join([requirement, *(f"--hash=sha256:{digest}" for digest in sorted(pin.hashes))]) + "\n")
    for target in _targets(kind, ARCHITECTURES[arch]):
        _pip(folder, kind, ["--require-hashes", "-r", str(wanted)], target)
    wanted.unlink()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the tree ---------------------------------------------------------------------------------------------------------


def make_tree(folder: Path, arch: str, codec: Path | None = None) -> None:
    """Fill `folder`, which must not exist, with the libraries, their licences and `sbom.cdx.json`.

    Args:
        folder: for the tree.
        arch: a key of ARCHITECTURES.
        codec: what codec.py built.
    """
    folder.mkdir(parents=True)
    components = []
    for pin, path in _downloaded(arch):
        _unpack(path, folder, pin)
        components.append((pin, path))
    for name, notice in COMPILED_IN.items():
        (info,) = folder.glob(f"{name}-*.dist-info")
        shutil.copytree(NOTICES / notice, info / "licenses" / notice, copy_function=shutil.copyfile)
    crates = _add_codec(codec, folder, components) if codec else []
    _strip(folder, arch)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    bill = _sbom(components, crates)
    (folder / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")


def _add_codec(codec: Path, folder: Path, components: list[tuple[Pin, Path]]) -> list[dict[str, str]]:
    """Add the compiled codec with its licence and those of the crates in it; returns the crates."""
    (wheel,) = codec.glob("*.whl")
    _unpack(wheel, folder, None)
    name, version = wheel.name.split("-")[:2]
    components.append((Pin(name.replace("_", "-"), version, frozenset()), wheel))
    info = folder / f"{name}-{version}.dist-info"
    shutil.copyfile(ROOT / "LICENSE", info / "LICENSE")
    shutil.copytree(codec / "licences", info / "licenses", copy_function=shutil.copyfile)
    crates: list[dict[str, str]] = json.loads((codec / "crates.json").read_text(encoding="utf-8"))
    return crates


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each file's name, below the place where packages lie, and its content."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir():
                    yield entry.filename, wheel.read(entry)
        return
    with tarfile.open(archive) as source:
        for member in source.getmembers():
            stream = source.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name.partition("/")[2], stream.read()


def _unpack(archive: Path, folder: Path, pin: Pin | None) -> None:
    for name, data in _members(archive):
        place = _place(name, archive, pin)
        if place is None:
            continue
        target = (folder / place).resolve()
        if folder.resolve() not in target.parents:
            raise SystemExit(f"{archive.name}: {name} lies outside of the tree")
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.read_bytes() != data and not _is_metadata(place):
            raise SystemExit(f"{archive.name}: {place} differs between two wheels")
        # Nothing in the tree is a program: the interpreter lines would only mislead.
        target.write_bytes(re.sub(rb"\A#![^\n]*\n", b"\n", data) if place.endswith(".py") else data)
        target.chmod(0o644)


def _is_metadata(place: str) -> bool:
    return ".dist-info/" in place


def _place(name: str, archive: Path, pin: Pin | None) -> str | None:
    """Where a file goes; None when it is left out."""
    if any(fnmatch.fnmatch(name, pattern) for pattern in PRUNED):
        return None
    if ".dist-info/" in name:
        return name if METADATA_KEPT.search(name) else None
    if archive.suffix == ".whl":
        # Texts of licences belong beside the others, also of what a wheel has compiled in.
        if pin is not None and name == "isal/isa-l/LICENSE":
            return f"{pin.name}-{pin.version}.dist-info/licenses/isa-l/LICENSE"
        return name
    assert pin is not None
    info = f"{pin.name.replace('-', '_')}-{pin.version}.dist-info"
    if "/" in name and not name.startswith((f"{pin.name.split('-')[0]}/",)):
        return None
    if "/" not in name:
        return f"{info}/{'METADATA' if name == 'PKG-INFO' else name}" if METADATA_KEPT.search(name) else None
    return name


def _strip(folder: Path, arch: str) -> None:
    machine = ARCHITECTURES[arch]
    strip = shutil.which(f"{machine}-linux-gnu-strip")
    objdump = shutil.which(f"{machine}-linux-gnu-objdump")
    if strip is None or objdump is None:
        raise SystemExit(
            f"{machine}-linux-gnu-strip is missing: apt-get install binutils-{machine.replace('_', '-')}-linux-gnu"
        )
    for library in sorted(folder.rglob("*.so")):
        subprocess.run([strip, "--strip-unneeded", "--remove-section=.comment", str(library)], check=True, timeout=60)
        symbols = subprocess.run([objdump, "-T", str(library)], check=True, capture_output=True, text=True, timeout=60)
        versions = [tuple(map(int, text.split("."))) for text in re.findall(r"GLIBC_(\d+\.\d+)", symbols.stdout)]
        if max(versions, default=(0, 0)) > OLDEST_GLIBC:
            raise SystemExit(
                f"{library.name} needs glibc {max(versions)}, the oldest supported system has {OLDEST_GLIBC}"
            )


def _sbom(components: list[tuple[Pin, Path]], crates: list[dict[str, str]]) -> dict[str, object]:
    """Describe the libraries in CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/)."""
    by_name: dict[str, dict[str, object]] = {}
    for pin, path in components:
        entry = by_name.setdefault(
            pin.name,
            {
                "type": "library",
                "name": pin.name,
                "version": pin.version,
                "purl": f"pkg:pypi/{pin.name}@{pin.version}",
                "licenses": [{"expression": licence_of(pin.name)}],
                "properties": [],
            },
        )
        properties = entry["properties"]
        assert isinstance(properties, list)
        properties.append({"name": f"file:{path.name}", "value": f"sha256:{_sha256(path)}"})
    entries = [by_name[name] for name in sorted(by_name)]
    entries += [
        {
            "type": "library",
            "name": crate["name"],
            "version": crate["version"],
            # The standard library comes with the compiler, from no registry.
            **({} if crate["name"] == "std" else {"purl": f"pkg:cargo/{crate['name']}@{crate['version']}"}),
            "licenses": [{"expression": crate["license"]}],
        }
        for crate in crates
    ]
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": entries}


def licence_of(name: str) -> str:
    """Return the SPDX expression of a library."""
    if name not in LICENCES:
        raise SystemExit(f"{name} has no licence in LICENCES of vendor.py: read the texts in its wheel and add it")
    return LICENCES[name]


if __name__ == "__main__":
    sys.exit(main())
