"""Linters are tests: `pytest` alone tells the truth.

A tool that is not installed is skipped on a developer's machine and fails with `CI=true`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300

pytestmark = pytest.mark.timeout(TIMEOUT_S + 20)


def _tool(name: str) -> str:
    """Find a tool beside this Python or on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        message = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def _cargo(part: str) -> list[str]:
    """Find a part of cargo, which may lack although cargo is there, as `_tool` does; the command for the crate."""
    cargo = _tool("cargo")
    if subprocess.run([cargo, part, "--version"], capture_output=True, check=False, timeout=30).returncode != 0:
        _tool(f"cargo {part}")
    return [cargo, part, "--manifest-path", "agent/native/Cargo.toml"]


def _files(*patterns: str) -> list[str]:
    """List the repository's files that match, or the folder's where there is no repository."""
    answer = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [name for name in answer.stdout.splitlines() if (ROOT / name).is_file()]


def _assert_silent(command: list[str], **environ: str) -> None:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    if done.returncode != 0:
        pytest.fail(f"{Path(command[0]).name} found:\n{done.stdout}", pytrace=False)


def _shell_scripts() -> list[str]:
    def is_shell(name: str) -> bool:
        with (ROOT / name).open("rb") as stream:
            return re.match(rb"#!.*\b(ba|da)?sh\b", stream.readline(100)) is not None

    return [name for name in _files() if name.endswith(".sh") or is_shell(name)]


def test_ruff_finds_nothing() -> None:
    _assert_silent([_tool("ruff"), "check", "--no-cache", "."])


def test_the_code_is_formatted() -> None:
    _assert_silent([_tool("ruff"), "format", "--no-cache", "--check", "."])


def test_the_types_hold() -> None:
    _assert_silent([_tool("mypy")])


def test_an_import_goes_down_only() -> None:
    _assert_silent([_tool("lint-imports"), "--no-cache"], PYTHONPATH=str(ROOT / "agent"))


def test_shell_scripts_are_sound() -> None:
    scripts = _shell_scripts()

    assert ".ci/run" in scripts
    _assert_silent([_tool("shellcheck"), *scripts])


def test_the_crate_is_formatted() -> None:
    _assert_silent([*_cargo("fmt"), "--check"])


def test_clippy_finds_nothing() -> None:
    lint = [*_cargo("clippy"), "--locked", "--quiet", "--all-targets", "--all-features", "--", "-D", "warnings"]

    _assert_silent(lint)


def test_words_are_spelled() -> None:
    _assert_silent([_tool("codespell"), *_files()])


def test_yaml_files_are_sound() -> None:
    _assert_silent([_tool("yamllint"), "--strict", *_files("*.yml", "*.yaml")])


def test_role_and_playbooks_are_fit_for_production() -> None:
    """The profile is in ansible/.ansible-lint.yml."""
    if sys.version_info < (3, 10):
        pytest.skip("ansible-lint wants Python 3.10")
    _assert_silent([_tool("ansible-lint"), "--offline", "--project-dir", "ansible", "-c", "ansible/.ansible-lint.yml"])


@pytest.mark.parametrize("name", _files("agent/sls_siem/*.py"))
def test_a_module_is_no_longer_than_one_can_read(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").count("\n")

    assert lines <= 400
