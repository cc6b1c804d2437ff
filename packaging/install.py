"""Lay out what a package contains, below a folder; the same for deb and rpm.

It is run in a staged copy of the repository that has the libraries in `vendor/`, and knows nothing of either format.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = "usr/lib/sls-siem-agent"
DOC = "usr/share/doc/sls-siem-agent"
# Of docs/: measurements, and what has a place of its own.
NOT_FOR_OPERATORS = ("evidence", "man")
MAN = (("sls-siem", 1), ("sls-siem.toml", 5), ("sls-siem@.service", 8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--units", default="usr/lib/systemd/system")
    parser.add_argument("--accounts", action="store_true", help="also what debhelper does itself for a deb")
    options = parser.parse_args()
    install(options.folder, options.units, accounts=options.accounts)


def install(folder: Path, units: str, *, accounts: bool) -> None:
    """Copy everything to its place.

    Args:
        folder: becomes `/`.
        units: folder of systemd's units.
        accounts: whether sysusers.d, tmpfiles.d and the preset are wanted.
    """
    for name in ("sls-siem@.service", "sls-siem.target"):
        _copy(ROOT / "systemd" / name, folder / units / name)
    _copy(ROOT / "systemd" / "reload", folder / TREE / "reload", 0o755)
    _copy(ROOT / "packaging" / "restart-instances", folder / TREE / "restart-instances", 0o755)
    if accounts:
        for kind in ("sysusers", "tmpfiles"):
            _copy(ROOT / "systemd" / f"sls-siem-agent.{kind}", folder / f"usr/lib/{kind}.d/sls-siem-agent.conf")
        preset = folder / "usr/lib/systemd/system-preset/90-sls-siem-agent.preset"
        _copy(ROOT / "systemd" / "sls-siem-agent.preset", preset)
    _copy(ROOT / "packaging" / "launcher.py", folder / "usr/bin/sls-siem", 0o755)
    _copy_tree(ROOT / "agent" / "sls_siem", folder / TREE / "app" / "sls_siem")
    _copy_tree(ROOT / "vendor", folder / TREE / "vendor")
    sbom = folder / TREE / "vendor" / "sbom.cdx.json"
    _copy(sbom, folder / DOC / "sbom.cdx.json")
    sbom.unlink()
    _copy_tree(ROOT / "docs", folder / DOC, leave_out=NOT_FOR_OPERATORS)
    _copy(ROOT / "systemd" / "allow-list.conf", folder / DOC / "examples" / "allow-list.conf")
    completion = folder / "usr/share/bash-completion/completions/sls-siem"
    _copy(ROOT / "packaging" / "bash-completion" / "sls-siem", completion)
    for name, section in MAN:
        _manual(name, section, folder / f"usr/share/man/man{section}/{name}.{section}.gz")


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _copy_tree(source: Path, target: Path, *, leave_out: tuple[str, ...] = ()) -> None:
    for path in sorted(source.rglob("*")):
        place = path.relative_to(source)
        if path.is_file() and path.suffix != ".pyc" and place.parts[0] not in leave_out:
            _copy(path, target / place)


def _manual(name: str, section: int, target: Path) -> None:
    text = (ROOT / "docs" / "man" / f"{name}.{section}").read_text(encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))
    target.chmod(0o644)


if __name__ == "__main__":
    main()
