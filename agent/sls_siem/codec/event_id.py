"""Name an event so that it keeps its name through retries, takeover, replay and a split of its shard.

`<shard>-<position>-<index>`, the position of the event's log group and the place in it; where the service regroups,
`<shard>-x<32 hex digits>`, the first 16 bytes of SHA-256 over, in this order (numbers big-endian, unsigned):

- 4 bytes `Time`; then the byte 1 and 4 bytes `Time_ns`, or the byte 0 when it is absent;
- topic, then source: the byte 1, 4 bytes length, the value; or the byte 0 when it is absent;
- 4 bytes number of tags, then of each its key and its value: 4 bytes length and the bytes, in the order of the wire;
- 4 bytes number of contents, then of each likewise.

Values are the bytes from the wire. Nothing else goes in, so equal logs share their name.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Optional

from sls_siem.codec.wire import GroupMeta, Log


def hash_id(shard: int, meta: GroupMeta, log: Log) -> bytes:
    """Name an event of a regrouped answer."""
    ns = b"\x00" if log.ns is None else b"\x01" + _number(log.ns)
    parts = [_number(log.time), ns, _optional(meta.topic), _optional(meta.source), _number(len(meta.tags))]
    parts += map(_sized, (part for tag in meta.tags for part in tag))
    parts += _contents(log)
    return b"%d-x%b" % (shard, sha256(b"".join(parts)).hexdigest()[:32].encode())


def _contents(log: Log) -> Iterable[bytes]:
    yield _number(len(log.keys))
    for key, value in zip(log.keys, log.values):
        yield _sized(key)
        yield _sized(value)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _optional(value: Optional[bytes]) -> bytes:
    return b"\x00" if value is None else b"\x01" + _sized(value)
