"""Bodies of requests come back whole from any other gzip, with ISA-L and without it."""

from __future__ import annotations

import gzip
import importlib
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sls_siem.emulator.generate import LogSource
from sls_siem.siem import compression

pieces = st.lists(st.tuples(st.binary(max_size=30), st.integers(1, 2000)), max_size=20)
bodies = pieces.map(lambda found: b"".join(piece * times for piece, times in found))


@pytest.fixture(params=["isal", "zlib"])
def compress(request: pytest.FixtureRequest) -> Callable[[bytes], bytes]:
    if request.param == "isal":
        pytest.importorskip("isal")
    return compression.gzip_body if request.param == "isal" else compression._by_zlib


@given(bodies)
def test_any_other_gzip_undoes_it(data: bytes) -> None:
    for packed in (compression.gzip_body(data), compression._by_zlib(data)):
        undo = zlib.decompressobj(31)

        assert undo.decompress(packed) == data
        assert (undo.eof, undo.unused_data) == (True, b"")
        assert gzip.decompress(packed) == data


@pytest.mark.parametrize("profile", ["nginx", "actiontrail", "waf"])
def test_logs_become_about_as_small_as_by_zlib_s_fastest_level(
    compress: Callable[[bytes], bytes], profile: str
) -> None:
    data = b"".join(LogSource(profile, seed=2).groups(2000, logs_per_group=100))[: 1 << 20]
    packed = compress(data)

    assert gzip.decompress(packed) == data
    assert len(packed) < 1.08 * len(zlib.compress(data, 1))


def test_incompressible_bytes_grow_by_little(compress: Callable[[bytes], bytes]) -> None:
    state, noise = 1, bytearray()
    while len(noise) < 300_000:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        noise.append(state >> 56)
    packed = compress(bytes(noise))

    assert gzip.decompress(packed) == noise
    assert len(packed) < 1.001 * len(noise) + 100


def test_without_the_package_zlib_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)

    assert compression._find() is compression._by_zlib
