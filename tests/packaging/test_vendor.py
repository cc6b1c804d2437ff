"""The private tree's downloads."""

from __future__ import annotations

import importlib.util
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENT = "six==1.17.0"


def imported(name: str):
    """Import a module of packaging/ anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "packaging" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def vendor(monkeypatch, tmp_path):
    module = imported("vendor")
    monkeypatch.setattr(module, "CACHE", tmp_path)
    monkeypatch.setattr(module, "PINS", {"pure": (REQUIREMENT,)})
    return module


def test_builds_side_by_side_download_each_file_once(vendor, monkeypatch) -> None:
    content = b"the wheel"
    digest = vendor.hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(vendor, "read_lock", lambda: {REQUIREMENT: vendor.Pin("six", "1.17.0", frozenset({digest}))})
    both = threading.Barrier(2)
    downloads = []

    def slow_download(folder: Path, *_arguments: object) -> None:
        downloads.append(folder)
        time.sleep(0.2)  # while the other build comes along
        (folder / "six.whl").write_bytes(content)

    def build() -> list[str]:
        both.wait(timeout=10)
        return [path.name for _pin, path in vendor._downloaded("amd64")]

    monkeypatch.setattr(vendor, "_pip", slow_download)
    with ThreadPoolExecutor(2) as builds:
        found = [build.result(timeout=30) for build in [builds.submit(build) for _ in range(2)]]

    assert (found, len(downloads)) == ([["six.whl"], ["six.whl"]], 1)


def test_every_library_has_an_entry_for_its_licence() -> None:
    vendor = imported("vendor")
    names = {requirement.split("==")[0] for requirements in vendor.PINS.values() for requirement in requirements}

    assert names | {"sls-siem-codec"} == set(vendor.LICENCES)
    with pytest.raises(SystemExit, match="somebody-elses has no licence in LICENCES"):
        vendor.licence_of("somebody-elses")


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        ([], "Apache-2.0"),
        (["MIT", "PSF-2.0 AND BSD-3-Clause"], "Apache-2.0 AND BSD-3-Clause AND MIT AND PSF-2.0"),
        (["Zlib OR MIT", "MIT OR Apache-2.0", "MIT"], "Apache-2.0 AND MIT"),
        (["Zlib OR MIT"], "(Zlib OR MIT) AND Apache-2.0"),
    ],
)
def test_one_licence_stands_for_all_of_them(expressions, expected) -> None:
    assert expected == imported("stage").licence_of_all(expressions)
