"""Bodies of PullLogs: what the service compresses with, undone without trusting the size it claims.

lz4 is a raw block, deflate and gzip are both sent in zlib's format: `aliyun.log.compress` of the SDK.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Optional

import lz4.block


class DecompressError(Exception):
    """The body cannot be decompressed, or is not as long as it says; the message says which."""


def decompress(body: bytes, *, codec: str, raw_size: int) -> bytes:
    """Undo the compression of a body; never allocates much more than `raw_size`.

    Args:
        body: as it came.
        codec: value of `x-log-compresstype`, empty for none.
        raw_size: value of `x-log-bodyrawsize`, already found to be acceptable.

    Raises:
        DecompressError: see there.
    """
    undo = _CODECS.get(codec.lower())
    if undo is None:
        raise DecompressError(f"it is compressed with {codec[:20]!r}, which was not asked for")
    raw = undo(body, raw_size)
    if len(raw) != raw_size:
        raise DecompressError(f"x-log-bodyrawsize says {raw_size} bytes, the body has {_size(raw, raw_size)}")
    return raw


def zstd_available() -> bool:
    """Tell whether this interpreter can undo zstd (Python 3.14 can, older ones with the package zstandard)."""
    return _zstd is not None


def _size(raw: bytes, raw_size: int) -> str:
    return f"{len(raw)}" if len(raw) < raw_size else "more"


def _plain(body: bytes, _raw_size: int) -> bytes:
    return body


def _lz4(body: bytes, raw_size: int) -> bytes:
    try:
        return bytes(lz4.block.decompress(body, uncompressed_size=raw_size))
    except lz4.block.LZ4BlockError as exc:
        raise DecompressError(f"lz4: {exc}") from exc


def _zlib(body: bytes, raw_size: int) -> bytes:
    try:
        # wbits 47: zlib's or gzip's header, whichever is there. One byte more shows that there is too much.
        return zlib.decompressobj(47).decompress(body, raw_size + 1)
    except zlib.error as exc:
        raise DecompressError(f"deflate: {exc}") from exc


def _find_zstd() -> Optional[Callable[[bytes, int], bytes]]:
    try:
        standard: Any = importlib.import_module("compression.zstd")
    except ImportError:
        return _find_zstandard()

    def undo(body: bytes, raw_size: int) -> bytes:
        try:
            return bytes(standard.ZstdDecompressor().decompress(body, raw_size + 1))
        except (standard.ZstdError, EOFError) as exc:
            raise DecompressError(f"zstd: {exc}") from exc

    return undo


def _find_zstandard() -> Optional[Callable[[bytes, int], bytes]]:
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


_zstd = _find_zstd()
_CODECS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "": _plain,
    "lz4": _lz4,
    "deflate": _zlib,
    "gzip": _zlib,
    **({} if _zstd is None else {"zstd": _zstd}),
}
