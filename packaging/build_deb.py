"""Build the deb from what is committed, into `dist/`; two builds of one commit give the same bytes."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import stage

CHANGELOG = "debian/changelog"
COPYRIGHT = "debian/copyright"
PLACE_OF_LICENCES = " @licences@"


def build(out: Path, *, arch: str, version: str | None = None, commit: str = "HEAD", codec: str = "auto") -> Path:
    """Build one package.

    Args:
        out: folder for the deb.
        arch: `amd64` or `arm64`.
        version: instead of the agent's own, to try an upgrade.
        commit: what to build.
        codec: whether the compiled codec is part of it, one of stage.CODEC.

    Returns:
        The deb.
    """
    with tempfile.TemporaryDirectory(prefix="sls-siem-deb-") as name:
        source = Path(name) / "sls-siem-agent"
        staged = stage.make(source, arch=arch, version=version, commit=commit, codec=codec)
        (source / "packaging" / "debian").rename(source / "debian")
        for kind in ("sysusers", "tmpfiles"):
            (source / "systemd" / f"sls-siem-agent.{kind}").rename(source / "debian" / f"sls-siem-agent.{kind}")
        _set_version(source / CHANGELOG, staged.version)
        _list_licences(source / COPYRIGHT, staged.licences)
        command = ["dpkg-buildpackage", "--build=binary", "--no-sign", f"--host-arch={arch}"]
        if arch != stage.machine_architecture():
            command.append("--no-check-builddeps")
        stage.run(command, cwd=source, environ={"SOURCE_DATE_EPOCH": str(staged.epoch)})
        built = Path(name) / f"sls-siem-agent_{staged.version}_{arch}.deb"
        out.mkdir(parents=True, exist_ok=True)
        return Path(stage.move(built, out / built.name))


def _set_version(changelog: Path, version: str) -> None:
    lines = changelog.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[0] = f"sls-siem-agent ({version}) stable; urgency=medium\n"
    changelog.write_text("".join(lines), encoding="utf-8")


def _list_licences(copyright_file: Path, licences: dict[str, list[str]]) -> None:
    entries = [f"{expression}: {', '.join(names)}." for expression, names in sorted(licences.items())]
    lines = [textwrap.fill(entry, 78, initial_indent=" ", subsequent_indent=" ") for entry in entries]
    text = copyright_file.read_text(encoding="utf-8")
    assert PLACE_OF_LICENCES in text
    copyright_file.write_text(text.replace(PLACE_OF_LICENCES, "\n .\n".join(lines)), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=("amd64", "arm64"), default=stage.machine_architecture())
    parser.add_argument("--out", type=Path, default=stage.ROOT / "dist")
    parser.add_argument("--version", help="instead of the agent's own, to try an upgrade")
    parser.add_argument("--commit", default="HEAD", help="what to build")
    parser.add_argument("--codec", choices=stage.CODEC, default="auto", help="default: compiled where it can be built")
    options = parser.parse_args()
    try:
        made = build(
            options.out.resolve(),
            arch=options.arch,
            version=options.version,
            commit=options.commit,
            codec=options.codec,
        )
        print(made)
    except subprocess.CalledProcessError as exc:
        print(f"{exc.cmd[0]} failed with {exc.returncode}:\n{exc.output}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
