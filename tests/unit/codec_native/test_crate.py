"""The crate's own tests and properties, its form and its lints; the other tests here only see what the library does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CRATE = Path(__file__).resolve().parents[3] / "agent" / "native"
BUILD_S = 600

pytestmark = pytest.mark.timeout(BUILD_S + 20)


def cargo(*arguments: str) -> str:
    """Run cargo on the crate; what it says when it finds nothing wrong."""
    found = shutil.which("cargo")
    if found is None:
        pytest.skip("there is no cargo")
    done = subprocess.run(
        [found, *arguments],
        cwd=CRATE,
        env={**os.environ, "CARGO_TERM_COLOR": "never"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BUILD_S,
    )
    if done.returncode != 0:
        pytest.fail(f"cargo {arguments[0]}:\n{done.stdout[-6000:]}", pytrace=False)
    return done.stdout


def component(name: str) -> None:
    """Go on only where this part of the toolchain is installed; CI has it."""
    if shutil.which(f"cargo-{name}") is None and os.environ.get("CI") != "true":
        pytest.skip(f"cargo {name} is not installed")


def test_its_tests_and_properties_pass():
    said = cargo("test", "--locked", "--quiet")

    # Units, properties, and the examples of the documentation, of which there are none.
    assert said.count("test result: ok") == 3
    assert "0 passed" not in said.rsplit("running", 1)[0]


def test_it_is_formatted():
    component("fmt")
    cargo("fmt", "--check")


def test_clippy_finds_nothing():
    component("clippy")
    cargo("clippy", "--locked", "--quiet", "--all-targets", "--all-features", "--", "-D", "warnings")
