"""Add the debs in `dist/` to a signed apt repository in `dist/apt`, for file: and http:.

What it had before stays, so that hosts can go back to it: remove a deb from its pool to drop it.

The key is the user's own (`--key ID`, from gpg's usual home), or one that is made for this repository and thrown away:
good for trying, useless for publishing.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITE = "stable"
COMPONENT = "main"
ARCHITECTURES = ("amd64", "arm64")
KEYRING = "sls-siem-agent.gpg"
SOURCES = "sls-siem-agent.sources"
KEYRING_PLACE = f"/usr/share/keyrings/{KEYRING}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--debs", type=Path, default=ROOT / "dist", help="folder with the packages")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "apt")
    parser.add_argument("--key", default=os.environ.get("APT_KEY", ""), help="gpg key that signs; default: $APT_KEY")
    parser.add_argument("--url", default="", help="where users will find it; default: this folder, by file:")
    options = parser.parse_args()
    debs = sorted(options.debs.glob("*.deb"))
    if not debs:
        print(f"no package in {options.debs}: run `make deb` first", file=sys.stderr)
        return 1
    make(options.out.resolve(), debs, key=options.key, url=options.url)
    print(options.out.resolve())
    return 0


def make(out: Path, debs: list[Path], *, key: str = "", url: str = "") -> None:
    """Build the repository anew, with the packages that it has; it is replaced when all is done.

    Args:
        out: its folder.
        debs: more packages.
        key: gpg key that signs; empty makes one.
        url: what the .sources file says.
    """
    new, old = (out.with_name(f"{out.name}.{suffix}") for suffix in ("new", "old"))
    shutil.rmtree(new, ignore_errors=True)
    # A run that was killed between the two renames left it there.
    present = out if out.exists() else old
    pool = new / "pool" / COMPONENT
    pool.mkdir(parents=True)
    for deb in [*(present / "pool" / COMPONENT).glob("*.deb"), *debs]:
        shutil.copyfile(deb, pool / deb.name)
    _index(new, key)
    (new / SOURCES).write_text(
        "Types: deb\n"
        f"URIs: {url or out.as_uri()}\n"
        f"Suites: {SUITE}\n"
        f"Components: {COMPONENT}\n"
        f"Signed-By: {KEYRING_PLACE}\n",
        encoding="ascii",
    )
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _index(out: Path, key: str) -> None:
    suite = out / "dists" / SUITE
    for architecture in ARCHITECTURES:
        _write_index(out, suite / COMPONENT / f"binary-{architecture}", architecture)
    _write_release(suite)
    if key:
        _sign(suite, out / KEYRING, [], key)
    else:
        with tempfile.TemporaryDirectory(prefix="gpg-") as home:
            _sign_with_new_key(suite, out / KEYRING, home)


def _write_index(out: Path, folder: Path, architecture: str) -> None:
    folder.mkdir(parents=True)
    packages = _run(["apt-ftparchive", "--arch", architecture, "packages", "pool"], cwd=out)
    (folder / "Packages").write_bytes(packages)
    (folder / "Packages.gz").write_bytes(gzip.compress(packages, compresslevel=9, mtime=0))
    for name in ("Packages", "Packages.gz"):
        digest = _run(["sha256sum", name], cwd=folder).split()[0].decode("ascii")
        by_hash = folder / "by-hash" / "SHA256" / digest
        by_hash.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, by_hash)


def _write_release(suite: Path) -> None:
    fields = {
        "Origin": "sls-siem-agent",
        "Label": "sls-siem-agent",
        "Suite": SUITE,
        "Codename": SUITE,
        "Architectures": " ".join(ARCHITECTURES),
        "Components": COMPONENT,
        "Acquire-By-Hash": "yes",
    }
    options = [text for name, value in fields.items() for text in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    # Written elsewhere first, or it would list itself.
    release = _run(["apt-ftparchive", *options, "release", "."], cwd=suite)
    (suite / "Release").write_bytes(release)


def _sign_with_new_key(suite: Path, keyring: Path, home: str) -> None:
    gpg = ["--homedir", home]
    make_key = ["--passphrase", "", "--quick-generate-key", "sls-siem-agent test repository", "rsa3072", "sign", "30d"]
    try:
        _gpg([*gpg, *make_key])
        _sign(suite, keyring, gpg, "sls-siem-agent test repository")
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, timeout=30)


def _sign(suite: Path, keyring: Path, gpg: list[str], key: str) -> None:
    common = [*gpg, "--local-user", key, "--digest-algo", "SHA512"]
    _gpg([*common, "--output", str(suite / "InRelease"), "--clearsign", str(suite / "Release")])
    _gpg([*common, "--output", str(suite / "Release.gpg"), "--armor", "--detach-sign", str(suite / "Release")])
    _gpg([*gpg, "--output", str(keyring), "--export", key])


def _gpg(arguments: list[str]) -> None:
    _run(["gpg", "--batch", "--yes", "--quiet", *arguments], cwd=ROOT)


def _run(command: list[str], *, cwd: Path) -> bytes:
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, timeout=120).stdout


if __name__ == "__main__":
    sys.exit(main())
