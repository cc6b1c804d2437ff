"""What is tested is what is shipped."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import pytest

import sls_siem

ROOT = Path(__file__).resolve().parents[2]
TESTING_THE_WHEEL = os.environ.get("SLS_SIEM_TEST_WHEEL") == "1"

wheel = pytest.mark.skipif(not TESTING_THE_WHEEL, reason="not started by make: the checkout is tested, not the wheel")


@wheel
def test_the_package_comes_from_the_wheel() -> None:
    place = Path(sls_siem.__file__).resolve()

    assert ROOT / "agent" not in place.parents
    assert "site-packages" in place.parts


@wheel
def test_the_wheel_has_every_module_and_marks_its_types() -> None:
    shipped = {str(file) for file in importlib.metadata.files("sls-siem-agent") or () if file.suffix == ".py"}
    source = {str(file.relative_to(ROOT / "agent")) for file in (ROOT / "agent" / "sls_siem").rglob("*.py")}

    assert shipped == source
    assert Path(sls_siem.__file__).with_name("py.typed").exists()


@wheel
def test_the_wheel_has_the_version_of_the_package() -> None:
    assert importlib.metadata.version("sls-siem-agent") == sls_siem.__version__


@wheel
def test_the_wheel_needs_only_what_contributing_argues_for() -> None:
    needed = [line for line in importlib.metadata.requires("sls-siem-agent") or () if "extra ==" not in line]
    names = {line.partition(";")[0].split("<")[0].split(">")[0].strip().replace("_", "-") for line in needed}

    assert names == {"aliyun-log-python-sdk", "isal", "lz4", "prometheus-client", "requests", "sdnotify", "tomli"}


def test_the_version_is_three_numbers() -> None:
    numbers = sls_siem.__version__.split(".")

    assert [number.isdecimal() for number in numbers] == [True, True, True]
