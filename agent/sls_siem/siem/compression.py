"""The one place where request bodies are compressed: by ISA-L where its package `isal` is, else by zlib.

On HEC bodies of access logs ISA-L is five times as fast as zlib's fastest level, and its output a little smaller
(docs/evidence/performance.md); its wheels are for x86-64 and arm64, zlib is everywhere.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any

LEVEL = 1
_GZIP_WINDOW = 31


def gzip_body(data: bytes) -> bytes:
    """Compress for `Content-Encoding: gzip`; releases the interpreter's lock meanwhile."""
    return _gzip(data)


def _by_zlib(data: bytes) -> bytes:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return compressor.compress(data) + compressor.flush()


def _find() -> Callable[[bytes], bytes]:
    try:
        isal: Any = importlib.import_module("isal.igzip_lib")
    except ImportError:
        return _by_zlib
    compress, frame = isal.compress, isal.COMP_GZIP
    return lambda data: bytes(compress(data, LEVEL, frame))


_gzip = _find()
