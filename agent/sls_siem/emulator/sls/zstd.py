"""Zstandard, where Python has it: its own module from 3.14 on, else the package `zstandard` when it is installed."""

from __future__ import annotations

import importlib
from typing import Any, Optional


def _find(*names: str) -> Optional[Any]:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


_module = _find("compression.zstd", "zstandard")
zstd_available = _module is not None


def zstd_compress(raw: bytes) -> bytes:
    assert _module is not None
    return bytes(_module.compress(raw, 1))


def zstd_decompress(data: bytes) -> bytes:
    """Decompress one frame.

    Raises:
        ValueError: it is none.
    """
    assert _module is not None
    try:
        return bytes(_module.decompress(data))
    except _module.ZstdError as exc:
        raise ValueError(str(exc)) from exc
