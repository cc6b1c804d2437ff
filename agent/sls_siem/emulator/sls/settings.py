"""The emulator's switches; they may be changed while it runs, each takes effect with the next request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass
class Settings:
    """Switches of the whole emulator.

    Args:
        verify: check signatures; False lets every request pass.
        region: the only region that a version 4 signature may name; None accepts any.
        expired_cursor: `invalid` answers 400 InvalidCursor to a cursor that retention has passed, `begin` serves from
            the oldest group left.
        max_consumer_groups: per logstore; the service's limit is 30.
        read_bytes_per_s: raw bytes per shard and second; None is no limit.
        reads_per_s: pulls per shard and second; None is no limit.
        skew_s: how far the service's idea of time is ahead of this machine's, for Date and signatures.
        cache_bytes: compressed answers kept ready.
    """

    verify: bool = True
    region: Optional[str] = None
    expired_cursor: str = "invalid"
    max_consumer_groups: int = 30
    read_bytes_per_s: Optional[float] = None
    reads_per_s: Optional[float] = None
    skew_s: float = 0.0
    cache_bytes: int = 256 * 1024 * 1024
