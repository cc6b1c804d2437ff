"""Positions and cursors: a cursor is the base64 text of a decimal number, one more per log group of a shard.

Source: what the service answers to GetCursor, and `get_previous_cursor_time` of the SLS SDKs, which counts on it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Optional

_MOST_DIGITS = 19  # a signed 64-bit number


def to_cursor(position: int) -> str:
    return base64.b64encode(b"%d" % position).decode("ascii")


def to_position(cursor: object) -> Optional[int]:
    """Read a cursor; None when it is none."""
    if not isinstance(cursor, str):
        return None
    try:
        digits = base64.b64decode(cursor.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else None
