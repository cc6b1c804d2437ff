"""What a reload sees as changed."""

from __future__ import annotations

import dataclasses

from sls_siem.service.reload import Changes, changes_between
from tests.unit.siem.support import hec_config


def test_a_value_that_another_file_gives_now_is_no_change() -> None:
    config = hec_config("http://127.0.0.1:1")
    moved = dataclasses.replace(config, given_in={"hec.urls": "instances/1.toml"}, remarks=("something",))

    assert changes_between(config, moved) == Changes(applied=(), need_restart=())
