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


@pytest.fixture
def vendor(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "packaging" / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
