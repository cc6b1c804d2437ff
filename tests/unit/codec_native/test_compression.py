"""lz4 and zstd of the compiled codec: everything comes back, and nonsense is a typed error."""

from __future__ import annotations

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.codec_native.compare import library

pieces = st.lists(st.tuples(st.binary(max_size=30), st.integers(1, 40)), max_size=20)
bodies = pieces.map(lambda found: b"".join(piece * times for piece, times in found))


@given(bodies)
def test_lz4_blocks_are_undone(data):
    packed = lz4.block.compress(data, store_size=False)

    assert bytes(library()._library.lz4_decompress(packed, len(data))) == data
    with pytest.raises(ValueError, match="lz4"):
        library()._library.lz4_decompress(packed, len(data) + 1)


@given(bodies)
def test_zstd_frames_are_undone(data):
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress(data)

    assert bytes(library()._library.zstd_decompress(packed, len(data))) == data
    with pytest.raises(ValueError, match="zstd"):
        library()._library.zstd_decompress(packed, len(data) + 1)


@given(st.binary(max_size=80), st.integers(0, 300))
def test_nonsense_is_a_typed_error(junk, size):
    for undo in (library()._library.lz4_decompress, library()._library.zstd_decompress):
        try:
            undone = undo(junk, size)
        except ValueError:
            continue
        assert len(undone) == len(bytes(undone)) == size
