from __future__ import annotations

import gzip
import tracemalloc
import zlib

import lz4.block
import pytest
import zstandard

from sls_siem.codec.compiled import load
from sls_siem.codec.factory import FORCED
from sls_siem.errors import ConfigError
from sls_siem.sls import decompress as module
from sls_siem.sls.decompress import DecompressError, decompress, zstd_available

RAW = b"some log text, some log text, some log text" * 100


def lz4_block(raw):
    return lz4.block.compress(raw, store_size=False)


PACKED = {
    "": RAW,
    "lz4": lz4_block(RAW),
    "LZ4": lz4_block(RAW),
    "deflate": zlib.compress(RAW),
    "gzip": gzip.compress(RAW),
    "zstd": zstandard.compress(RAW),
}


@pytest.fixture(params=["compiled", "reference"], autouse=True)
def undone_by(request, monkeypatch):
    """Every test runs with the compiled codec, where it is, and without it."""
    if request.param == "compiled" and load() is None:
        pytest.skip("the compiled codec is not installed")
    monkeypatch.setenv(FORCED, request.param)
    module._undo_for.cache_clear()
    yield request.param
    module._undo_for.cache_clear()


@pytest.mark.parametrize("codec", PACKED)
def test_gives_back_what_was_compressed(codec):
    assert bytes(decompress(PACKED[codec], codec=codec, raw_size=len(RAW))) == RAW


@pytest.mark.parametrize("codec", PACKED)
def test_what_the_codec_may_decompress_later_is_the_same(codec):
    assert bytes(decompress(PACKED[codec], codec=codec, raw_size=len(RAW), whole=False)) == RAW


def test_only_the_compiled_codec_decompresses_lz4_later(undone_by):
    garbled = b"\xff" * 100
    if undone_by == "compiled":
        assert len(decompress(garbled, codec="lz4", raw_size=1000, whole=False)) == 1000
    else:
        with pytest.raises(DecompressError):
            decompress(garbled, codec="lz4", raw_size=1000, whole=False)
    for codec in ("deflate", "gzip", "zstd"):
        with pytest.raises(DecompressError):
            decompress(garbled, codec=codec, raw_size=1000, whole=False)


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_body_of_another_size_than_it_says_is_refused(codec, change):
    with pytest.raises(DecompressError):
        decompress(PACKED[codec], codec=codec, raw_size=len(RAW) + change)


@pytest.mark.parametrize("codec", ["lz4", "deflate", "gzip", "zstd"])
@pytest.mark.parametrize(
    "spoil", [lambda body: body[: len(body) // 2], lambda body: b"\xff" * len(body), lambda _: b""]
)
def test_a_spoilt_body_is_refused(codec, spoil):
    with pytest.raises(DecompressError):
        decompress(spoil(PACKED[codec]), codec=codec, raw_size=len(RAW))


@pytest.mark.parametrize("codec", ["deflate", "gzip", "zstd", "lz4"])
def test_a_bomb_takes_no_more_memory_than_it_says(codec):
    bomb = {"deflate": zlib.compress, "gzip": gzip.compress, "zstd": zstandard.compress, "lz4": lz4_block}[codec](
        bytes(100_000_000)
    )
    tracemalloc.start()
    try:
        with pytest.raises(DecompressError):
            decompress(bomb, codec=codec, raw_size=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


def test_what_was_not_asked_for_is_named():
    with pytest.raises(DecompressError, match="'snappy', which was not asked for"):
        decompress(b"x", codec="snappy", raw_size=1)


def test_zstd_is_there_with_the_package_or_the_compiled_codec():
    assert zstd_available() is True


def test_only_the_compiled_codec_knows_zstd_without_a_package(monkeypatch, undone_by):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)

    assert zstd_available() is (undone_by == "compiled")
    if undone_by == "compiled":
        assert bytes(decompress(PACKED["zstd"], codec="zstd", raw_size=len(RAW))) == RAW


def test_a_wish_for_an_unknown_codec_is_a_mistake_of_the_configuration(monkeypatch):
    monkeypatch.setenv(FORCED, "fast")
    with pytest.raises(ConfigError, match="'fast' is no codec"):
        decompress(PACKED["lz4"], codec="lz4", raw_size=len(RAW))


class StandardZstd:
    """What Python 3.14 has as compression.zstd, over the package."""

    ZstdError = zstandard.ZstdError

    class ZstdDecompressor:
        def decompress(self, body, most):
            return zstandard.ZstdDecompressor().stream_reader(body).read(most)


def test_the_standard_library_of_python_3_14_is_preferred(monkeypatch):
    asked = []

    def found(name):
        asked.append(name)
        return StandardZstd

    monkeypatch.setattr(module.importlib, "import_module", found)
    undo = module._find_zstd()

    assert (undo(PACKED["zstd"], len(RAW)), asked) == (RAW, ["compression.zstd"])
    with pytest.raises(DecompressError, match="zstd: "):
        undo(b"spoilt", len(RAW))
