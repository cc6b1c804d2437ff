"""Cursors: base64 of a position in decimal, as the service's own look like (`MTQ0NzI5OTYwNjg5NjYzMjM1Ng==`)."""

from __future__ import annotations

import base64
import binascii
from typing import Optional


def to_cursor(position: int) -> str:
    return base64.b64encode(b"%d" % position).decode()


def to_position(cursor: str) -> Optional[int]:
    """Read a cursor; None when it is none."""
    try:
        digits = base64.b64decode(cursor.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None
    if not digits.isdigit() or len(digits) > 19:
        return None
    return int(digits)
