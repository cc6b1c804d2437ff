"""Bodies of PullLogs: what the service compresses with, undone without trusting the size it claims.

lz4 is a raw block, deflate and gzip are both sent in zlib's format: `aliyun.log.compress` of the SDK. lz4 is undone by
the compiled codec where it is there, since the package `lz4` copies all that came out once more, with the
interpreter's lock held.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Optional

import lz4.block

from sls_siem.codec import compiled_codec
from sls_siem.codec.model import Body

_Undo = Callable[[bytes, int], Body]


class DecompressError(Exception):
    """The body cannot be decompressed, or is not as long as it says; the message says which."""


def decompress(body: bytes, *, codec: str, raw_size: int, whole: bool = True) -> Body:
    """Undo the compression of a body; never allocates much more than `raw_size`.

    Args:
        body: as it came.
        codec: value of `x-log-compresstype`, empty for none.
        raw_size: value of `x-log-bodyrawsize`, already found to be acceptable.
        whole: now; otherwise the compiled codec, where it can, does it piece by piece while it encodes, so that the
            logs are in memory, and in the processor's cache, only in part.

    Raises:
        DecompressError: see there.
    """
    undo = _undo_for(codec.lower(), whole)
    if undo is None:
        raise DecompressError(f"it is compressed with {codec[:20]!r}, which was not asked for")
    raw = undo(body, raw_size)
    if len(raw) != raw_size:
        raise DecompressError(f"x-log-bodyrawsize says {raw_size} bytes, the body has {_size(raw, raw_size)}")
    return raw


def zstd_available() -> bool:
    """Tell whether zstd can be undone here: by Python from 3.14 on, the compiled codec, or the package zstandard."""
    return _find_zstd() is not None


@lru_cache(maxsize=8)
def _undo_for(codec: str, whole: bool) -> Optional[_Undo]:
    if codec == "lz4":
        return _find_lz4(whole)
    if codec == "zstd":
        return _find_zstd()
    return {"": _plain, "deflate": _zlib, "gzip": _zlib}.get(codec)


def _size(raw: Body, raw_size: int) -> str:
    return f"{len(raw)}" if len(raw) < raw_size else "more"


def _plain(body: bytes, _raw_size: int) -> bytes:
    return body


def _zlib(body: bytes, raw_size: int) -> bytes:
    try:
        # wbits 47: zlib's or gzip's header, whichever is there. One byte more shows that there is too much.
        return zlib.decompressobj(47).decompress(body, raw_size + 1)
    except zlib.error as exc:
        raise DecompressError(f"deflate: {exc}") from exc


def _find_lz4(whole: bool) -> _Undo:
    compiled = compiled_codec()
    if compiled is None:
        return _lz4_package
    return _compiled(compiled.lz4_decompress) if whole else compiled.lz4_packed


def _lz4_package(body: bytes, raw_size: int) -> bytes:
    try:
        return bytes(lz4.block.decompress(body, uncompressed_size=raw_size))
    except lz4.block.LZ4BlockError as exc:
        raise DecompressError(f"lz4: {exc}") from exc


def _compiled(undo: _Undo) -> _Undo:
    def undo_or_say_why(body: bytes, raw_size: int) -> Body:
        try:
            return undo(body, raw_size)
        except ValueError as exc:
            raise DecompressError(f"x-log-bodyrawsize says {raw_size} bytes: {exc}") from exc

    return undo_or_say_why


def _find_zstd() -> Optional[_Undo]:
    standard = _find_standard()
    if standard is not None:
        return standard
    compiled = compiled_codec()
    return _find_zstandard() if compiled is None else _compiled(compiled.zstd_decompress)


def _find_standard() -> Optional[_Undo]:
    try:
        standard: Any = importlib.import_module("compression.zstd")
    except ImportError:
        return None

    def undo(body: bytes, raw_size: int) -> bytes:
        try:
            return bytes(standard.ZstdDecompressor().decompress(body, raw_size + 1))
        except (standard.ZstdError, EOFError) as exc:
            raise DecompressError(f"zstd: {exc}") from exc

    return undo


def _find_zstandard() -> Optional[_Undo]:
    try:
        package: Any = importlib.import_module("zstandard")
    except ImportError:
        return None

    def undo(body: bytes, raw_size: int) -> bytes:
        try:
            # Not `decompress`, which allocates what the frame claims.
            with package.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
                return bytes(reader.read(raw_size + 1))
        except package.ZstdError as exc:
            raise DecompressError(f"zstd: {exc}") from exc

    return undo
