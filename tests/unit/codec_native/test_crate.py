"""The crate's own tests and properties; the other tests here only see what the library does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CRATE = Path(__file__).resolve().parents[3] / "agent" / "native"
BUILD_S = 600


@pytest.mark.timeout(BUILD_S + 20)
def test_the_crates_own_tests_and_properties_pass():
    cargo = shutil.which("cargo")
    if cargo is None:
        assert os.environ.get("CI") != "true", "without cargo nothing of the compiled codec is tested"
        pytest.skip("there is no cargo")
    command = [cargo, "test", "--locked", "--lib", "--test", "properties"]
    done = subprocess.run(command, cwd=CRATE, capture_output=True, text=True, check=False, timeout=BUILD_S)
    passed = re.findall(r"test result: ok\. (\d+) passed", done.stdout)

    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    assert len(passed) == 2
    assert "0" not in passed
