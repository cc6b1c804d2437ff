"""The compiled codec knows time zones by their offsets, found by asking Python for each day."""

from __future__ import annotations

import importlib.resources
import zoneinfo
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.codec.compiled import zone_offsets

DAY_S = 86_400
LAST = (1 << 32) - 1
ZONES = [
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/New_York",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Etc/GMT+12",
    "Europe/Dublin",
    "Pacific/Apia",
    "UTC",
]


def offset_at(name: str, time: int) -> int:
    found = 0
    for start, offset in zone_offsets(name):
        if start <= time:
            found = offset
    return found


def offset_of(name: str, time: int) -> float:
    return datetime.fromtimestamp(time, zoneinfo.ZoneInfo(name)).utcoffset().total_seconds()


@given(st.sampled_from(ZONES), st.integers(0, LAST))
def test_any_time_has_the_offset_of_its_zone(name, time):
    assert offset_at(name, time) == offset_of(name, time)


@pytest.mark.parametrize("name", ZONES)
def test_an_offset_holds_from_the_very_second_of_its_change(name):
    for start, offset in zone_offsets(name):
        assert offset_of(name, start) == offset
        assert not start or offset_of(name, start - 1) != offset


def changes(data: bytes) -> list[tuple[int, int]]:
    """Read when offsets change from a file of the time zone database (RFC 8536), its second block."""
    assert data[:4] == b"TZif"
    if data[4:5] < b"2":
        return []
    place = 0
    for width in (4, 8):
        is_utc, is_std, leaps, times, kinds, chars = (
            int.from_bytes(data[place + at : place + at + 4], "big") for at in range(20, 44, 4)
        )
        first = place + 44
        place = first + times * width + times + kinds * 6 + chars + leaps * (width + 4) + is_std + is_utc
    moments = [int.from_bytes(data[first + 8 * at : first + 8 * at + 8], "big", signed=True) for at in range(times)]
    which = data[first + 8 * times : first + 9 * times]
    table = first + 9 * times
    offsets = [int.from_bytes(data[table + 6 * at : table + 6 * at + 4], "big", signed=True) for at in range(kinds)]
    return [(moment, offsets[kind]) for moment, kind in zip(moments, which)]


def database() -> list[bytes]:
    for folder in zoneinfo.TZPATH:
        files = [path for path in Path(folder).rglob("*") if path.is_file()] if Path(folder).is_dir() else []
        found = [data for data in (path.read_bytes() for path in files) if data[:4] == b"TZif"]
        if found:
            return found
    package = importlib.resources.files("tzdata") / "zoneinfo"
    return [path.read_bytes() for path in Path(str(package)).rglob("*") if path.is_file() and path.suffix == ""]


def test_no_zone_changes_its_offset_twice_within_two_days():
    shortest = LAST
    for data in database():
        known = None
        last = -LAST
        for moment, offset in changes(data):
            if moment > 0 and known is not None and offset != known:
                shortest = min(shortest, moment - last)
            if offset != known:
                last = moment
            known = offset

    assert 2 * DAY_S < shortest < LAST
