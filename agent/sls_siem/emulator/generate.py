"""Realistic logs, the same for the same profile, seed and sequence number, fast enough to feed a benchmark.

A profile picks most fields from pools of values that were encoded once; a field `seq` carries the sequence number, so
that every log is unique and can be found again. It must not know who stores or ships them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Optional

from sls_siem.emulator.loggroups import Log, decode_log, encode_metadata, join_group, varint
from sls_siem.emulator.profiles import PROFILES, Profile

_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class LogSource:
    """Makes logs of one profile.

    Args:
        profile: `nginx`, `actiontrail`, `waf` or `hostile`.
        seed: the same seed gives the same logs.
    """

    def __init__(self, profile: str, seed: int = 0) -> None:
        if profile not in PROFILES:
            raise ValueError(f"no profile {profile!r}, there are {', '.join(sorted(PROFILES))}")
        self.profile = profile
        self.seed = seed
        self._make: Profile = PROFILES[profile](seed)
        self._metadata = [encode_metadata(*metadata) for metadata in self._make.metadata]

    def encoded_log(self, seq: int, time: int) -> bytes:
        """Encode the body of the log with that number.

        Args:
            seq: sequence number, from 0.
            time: epoch seconds of the log.
        """
        mixed = (seq * _MIX + self.seed * 0x2545F4914F6CDD1D) & _MASK
        mixed = ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9) & _MASK
        contents, trailer = self._make.contents(seq, mixed ^ (mixed >> 32))
        return b"\x08" + varint(time) + contents + trailer

    def log(self, seq: int, time: int) -> Log:
        """Make the log with that number, decoded: what a test compares with."""
        return decode_log(self.encoded_log(seq, time))

    def group(self, first_seq: int, logs: int, time: int) -> bytes:
        """Encode a LogGroup of `logs` logs from number `first_seq` on."""
        encoded = self.encoded_log
        metadata = self._metadata[first_seq // max(1, logs) % len(self._metadata)]
        return join_group((encoded(seq, time) for seq in range(first_seq, first_seq + logs)), metadata)

    def groups(
        self,
        logs: int,
        *,
        logs_per_group: int,
        first_seq: int = 0,
        time: int = 1_700_000_000,
        now: Optional[Callable[[], float]] = None,
    ) -> Iterator[bytes]:
        """Encode LogGroups until `logs` logs are in them.

        Args:
            logs: how many in all.
            logs_per_group: how many in a group; the last may have fewer.
            first_seq: number of the first.
            time: epoch seconds of every log, unless `now` is given.
            now: asked for the time of each group.
        """
        for start in range(first_seq, first_seq + logs, logs_per_group):
            size = min(logs_per_group, first_seq + logs - start)
            yield self.group(start, size, time if now is None else int(now()))
