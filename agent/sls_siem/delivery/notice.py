"""The notice `sls_siem_notice`: tells the SIEM, as an ordinary event, that one event became a dead letter.

It carries the id, the reason and the host, never the content.
"""

from __future__ import annotations

from sls_siem.codec.model import Batch
from sls_siem.dead_letter import DeadLetter

TOPIC = "sls_siem_notice"


def notice_batch(letter: DeadLetter, host: str) -> Batch:
    """Make a batch of one log that announces the letter.

    It counts as regrouped, so that its event id is a hash and can never equal the id of a log of the shard.
    """
    contents = {"kind": "dead-letter", "id": letter.event_id, "reason": letter.reason, "host": host}
    log = _number(1, int(letter.time)) + b"".join(
        _text(2, _text(1, key.encode()) + _text(2, value.encode())) for key, value in contents.items()
    )
    group = _text(1, log) + _text(3, TOPIC.encode()) + _text(4, host.encode())
    return Batch(letter.shard, 0, 0, 1, _text(1, group), regrouped=True)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
