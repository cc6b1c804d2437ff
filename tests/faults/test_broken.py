"""The ways to break the agent fit the agent as it is; that each is noticed shows `python -m tests.faults.broken`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.broken import BREAKS, ROOT, Break, broken_copy


@pytest.mark.parametrize("one", BREAKS, ids=lambda one: one.name)
def test_each_way_to_break_it_fits_the_agent_as_it_is(one: Break, tmp_path: Path) -> None:
    broken = broken_copy(one, tmp_path) / "sls_siem" / one.path
    sound = ROOT / "agent" / "sls_siem" / one.path

    assert sound.read_text() != broken.read_text()
    compile(broken.read_text(), one.path, "exec")


def test_every_invariant_has_a_way_to_break_it() -> None:
    assert {str(number) for number in range(8)} == {one.name[0] for one in BREAKS}


def test_each_test_that_must_notice_exists() -> None:
    for one in BREAKS:
        path, _, name = one.test.partition("::")

        assert f"def {name}(" in (ROOT / path).read_text()
