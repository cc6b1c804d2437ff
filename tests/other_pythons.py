"""Run the unit tests on the oldest and the newest Python that the package supports, as far as this machine has them.

    python tests/other_pythons.py [--coverage] WHEEL

With --coverage: the tests of the package on each of them, the slow ones too, and how many of its branches they take.
Which versions are supported is said once, in the classifiers of pyproject.toml. Each Python gets a virtual
environment of its own (`.venv-3.9` …) with the wheel in it. With CI=true, a missing oldest Python is a failure.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[1]
# What runs the package's own code; the rest is about packages, hosts and other tools.
COVERING = ("tests/unit", "tests/contract", "tests/e2e", "tests/bench")
IDENTIFY = "import sys, ensurepip, venv; print(*sys.version_info[:2])"

Version = tuple[int, int]


def supported() -> list[Version]:
    """Read the versions that the installed package's classifiers name, the oldest first."""
    classifiers = metadata.metadata("sls-siem-agent").get_all("Classifier") or []
    found = (re.fullmatch(r"Programming Language :: Python :: (\d+)\.(\d+)", one) for one in classifiers)
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def interpreter(version: Version) -> Optional[Path]:
    """Find a Python of that version that starts and can make virtual environments."""
    return next((path for path in _candidates(version) if _identify(path) == version), None)


def _candidates(version: Version) -> Iterator[Path]:
    name = f"python{version[0]}.{version[1]}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    for folder in ("/usr/bin", "/usr/local/bin"):
        yield Path(folder, name)
    # Version managers put a starter on the path that may lead nowhere; behind it are the real ones.
    for pattern in (".pyenv/versions/*/bin", ".local/share/uv/python/*/bin"):
        yield from sorted(Path.home().glob(f"{pattern}/{name}"))


def _identify(path: Path) -> Optional[Version]:
    try:
        answer = subprocess.run(
            [str(path), "-c", IDENTIFY], capture_output=True, text=True, check=True, timeout=30
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return int(answer[0]), int(answer[1])


def run_on(version: Version, python: Path, wheel: Path, *, coverage: bool) -> bool:
    """Install the wheel for that Python and run the tests there."""
    name = ".".join(map(str, version))
    venv = ROOT / f".venv-{name}"
    # The compiled codec, where make has built it, is one wheel for all Pythons.
    wheels = [str(wheel), *map(str, (ROOT / "build" / "codec").glob("*.whl"))]
    print(f"== {'coverage' if coverage else 'unit tests'} on Python {name} ({python})", flush=True)
    # The documentation site is built by one Python for all.
    pytest = ["pytest", "-q", "-n", "4", "-p", "no:cacheprovider", "--ignore=tests/unit/docs/test_site.py"]
    steps = [
        [str(python), "-m", "venv", str(venv)],
        [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", f"{wheel}[test]"],
        # The version did not change, but what is in the wheel may have.
        [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", *wheels],
    ]
    environ = {**os.environ, "SLS_SIEM_TEST_WHEEL": "1"}
    if coverage:
        environ["COVERAGE_FILE"] = str(ROOT / f".coverage.on-{name}")
        steps += [
            [f"{venv}/bin/python", "-m", *step]
            for step in (
                ["coverage", "erase"],
                ["coverage", "run", "-m", *pytest, "--dist", "loadfile", "-m", "not alone", *COVERING],
                ["coverage", "combine", "--quiet"],
            )
        ]
        steps.append([f"{venv}/bin/python", str(ROOT / "tests" / "branch_coverage.py")])
    else:
        steps.append([f"{venv}/bin/python", "-m", *pytest, "tests/unit"])
    return all(subprocess.run(step, cwd=ROOT, env=environ, check=False).returncode == 0 for step in steps)


def main(wheel: Path, *, coverage: bool = False) -> int:
    """Test on the oldest and the newest; return an exit status."""
    here = sys.version_info[:2]
    oldest, *newer = supported()
    found = {version: path for version in (oldest, *newer) if (path := interpreter(version))}
    if oldest != here and oldest not in found:
        print(f"== no Python {oldest[0]}.{oldest[1]} on this machine: the oldest supported one is not tested")
        if os.environ.get("CI") == "true":
            return 1
    chosen = [version for version in sorted({oldest, max(found, default=oldest)}) if version in found]
    failed = [
        version
        for version in chosen
        if version != here and not run_on(version, found[version], wheel, coverage=coverage)
    ]
    return 1 if failed else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--coverage", action="store_true")
    arguments.add_argument("wheel", type=Path)
    options = arguments.parse_args()
    sys.exit(main(options.wheel.resolve(), coverage=options.coverage))
