from __future__ import annotations

import platform

import pytest

from sls_siem.service.memory import limit_hoarding


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_glibc_takes_every_setting() -> None:
    assert limit_hoarding()
