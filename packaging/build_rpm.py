"""Build the rpm from what is committed, into `dist/`; two builds of one commit give the same bytes."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import stage

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


def build(out: Path, *, arch: str, version: str | None = None, commit: str = "HEAD", codec: str = "auto") -> Path:
    """Build one package.

    Args:
        out: folder for the rpm.
        arch: `amd64` or `arm64`.
        version: instead of the agent's own, to try an upgrade.
        commit: what to build.
        codec: whether the compiled codec is part of it, one of stage.CODEC.

    Returns:
        The rpm.
    """
    with tempfile.TemporaryDirectory(prefix="sls-siem-rpm-") as name:
        source, root = Path(name) / "source", Path(name) / "root"
        staged = stage.make(source, arch=arch, version=version, commit=commit, codec=codec)
        stage.run([sys.executable, "packaging/install.py", str(root), "--accounts"], cwd=source)
        licence = root / "usr/share/licenses/sls-siem-agent/LICENSE"
        licence.parent.mkdir(parents=True)
        shutil.copyfile(source / "LICENSE", licence)
        for folder in ("etc/sls-siem/instances", "etc/sls-siem/credentials"):
            (root / folder).mkdir(parents=True)
        defines = {
            "_topdir": str(Path(name) / "rpmbuild"),
            "staged": str(root),
            "agent_version": staged.version,
            "agent_license": stage.licence_of_all(staged.licences),
            "_binary_payload": "w19.zstdio",
        }
        options = [text for key, value in defines.items() for text in ("--define", f"{key} {value}")]
        spec = source / "packaging" / "rpm" / "sls-siem-agent.spec"
        command = ["rpmbuild", "-bb", "--nodeps", f"--target={MACHINES[arch]}", *options, str(spec)]
        stage.run(command, cwd=source, environ={"SOURCE_DATE_EPOCH": str(staged.epoch)})
        built = Path(name) / "rpmbuild/RPMS" / MACHINES[arch]
        found = next(built.glob("*.rpm"))
        out.mkdir(parents=True, exist_ok=True)
        return Path(stage.move(found, out / found.name))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=sorted(MACHINES), default=stage.machine_architecture())
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
