"""Ready-made bodies of PullLogs: joined, filtered, compressed once, then served from memory.

This is what lets the emulator serve a benchmark without being its limit. It must not know HTTP.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import lz4.block

from sls_siem.emulator.loggroups import encode_list, split_list
from sls_siem.emulator.sls.settings import Settings
from sls_siem.emulator.sls.shard import Extent, Shard
from sls_siem.emulator.sls.spl import Filter, apply
from sls_siem.emulator.sls.zstd import zstd_available, zstd_compress


@dataclass(frozen=True)
class Prepared:
    """One body of PullLogs.

    Args:
        body: as it goes over the wire.
        raw_bytes: its size before compression.
        groups: log groups in it.
        read_logs: logs read; -1 without a query.
        kept_logs: logs that the query left; -1 without a query.
    """

    body: bytes
    raw_bytes: int
    groups: int
    read_logs: int = -1
    kept_logs: int = -1


def _lz4(raw: bytes) -> bytes:
    return bytes(lz4.block.compress(raw, store_size=False))


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "lz4": _lz4,
    **({"zstd": zstd_compress} if zstd_available else {}),
    "deflate": zlib.compress,
    "": lambda raw: raw,
}


def choose_codec(accept_encoding: str) -> Optional[str]:
    """Choose what an Accept-Encoding header allows; the empty name is no compression, None means nothing fits."""
    wanted = [part.partition(";")[0].strip().lower() for part in accept_encoding.split(",")]
    if wanted in ([""], ["identity"]):
        return ""
    return next((name for name in wanted if name and name in CODECS), None)


class Answers:
    """A cache of prepared bodies, bounded by `settings.cache_bytes`, the least recently used first to go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._bytes = 0
        self._kept: OrderedDict[Any, Prepared] = OrderedDict()

    def get(self, shard: Shard, extent: Extent, *, codec: str, query: Optional[Filter] = None) -> Prepared:
        """Make, or find, the body that holds an extent of a shard."""
        # A shard's base is its own in the whole emulator, and groups never change.
        key = (shard.base, extent.first, extent.last, codec, query)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        prepared = self._prepare(shard, extent, codec=codec, query=query)
        with self._lock:
            self._keep(key, prepared)
        return prepared

    def _prepare(self, shard: Shard, extent: Extent, *, codec: str, query: Optional[Filter]) -> Prepared:
        raw = shard.body(extent)
        if query is None:
            return Prepared(CODECS[codec](raw), len(raw), extent.groups)
        filtered = apply(query, split_list(raw))
        raw = encode_list(filtered.groups)
        body = CODECS[codec](raw) if raw else b""
        return Prepared(body, len(raw), len(filtered.groups), filtered.read_logs, filtered.kept_logs)

    def _keep(self, key: object, prepared: Prepared) -> None:
        if key in self._kept:
            return
        self._kept[key] = prepared
        self._bytes += len(prepared.body)
        while self._bytes > self._settings.cache_bytes and self._kept:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest.body)
