"""What the demo feeds into the embedded SLS service: mostly web access logs, some of everything else, some hostile."""

from __future__ import annotations

from typing import Any

from sls_siem.cli.demo_rig import RigError
from sls_siem.emulator.generate import LogSource
from sls_siem.emulator.sls import SlsControl

SHARES = {"nginx": 0.86, "actiontrail": 0.09, "waf": 0.03, "hostile": 0.02}
"""Share of the logs by profile (see `emulator.generate`)."""
GROUP_SIZES = {"nginx": 100, "actiontrail": 20, "waf": 10, "hostile": 10}
"""Logs in a log group."""
_SAMPLE = 3000  # one hostile log in some hundreds is large
_LATEST = 3.0
"""A machine that cannot feed that fast is given so many times the time, then feeding ends."""


class Traffic:
    """A mix of logs at an even speed.

    Args:
        seconds: how long.
        mb_per_s: raw megabytes (10**6) a second.
    """

    def __init__(self, seconds: float, mb_per_s: float) -> None:
        self.seconds = seconds
        self.longest_s = _LATEST * seconds + 5
        self._mb_per_s = mb_per_s
        self._sizes = {profile: _mean_bytes(profile) for profile in SHARES}
        mean = sum(share * self._sizes[profile] for profile, share in SHARES.items())
        self._wanted = seconds * mb_per_s * 1e6 / mean
        self.logs = sum(self._logs(profile) for profile in SHARES)

    @property
    def profiles(self) -> tuple[str, ...]:
        """Kinds of logs in it."""
        return tuple(SHARES)

    def start(self, control: SlsControl) -> list[int]:
        """Start to feed; returns the numbers of the feeds."""
        return [self._start_feed(control, profile) for profile in SHARES]

    def _start_feed(self, control: SlsControl, profile: str) -> int:
        logs = self._logs(profile)
        speed = logs * self._sizes[profile] / 1e6 / self.seconds
        plan = {"profile": profile, "logs": logs, "logs_per_group": GROUP_SIZES[profile], "mb_per_s": speed}
        return int(control.post("feed", **plan)["feed"])

    def _logs(self, profile: str) -> int:
        return max(1, round(self._wanted * SHARES[profile]))


def fed(control: SlsControl, feeds: list[int]) -> tuple[int, int, bool]:
    """Tell how many logs, and raw bytes of them, these feeds have appended, and whether one still does.

    Raises:
        RigError: a feed broke.
    """
    rows: list[dict[str, Any]] = [row for row in control.get("feeds") if row["feed"] in feeds]
    for row in rows:
        if row["error"]:
            raise RigError(f"feeding {row['profile']} logs failed: {row['error']}")
    running = any(row["running"] for row in rows)
    return sum(row["appended"] for row in rows), sum(row["appended_bytes"] for row in rows), running


def end_feeds(control: SlsControl, feeds: list[int]) -> None:
    """Append nothing more."""
    for feed in feeds:
        control.post("stop-feed", feed=feed)


def _mean_bytes(profile: str) -> float:
    """Raw bytes of a log of this profile, its share of the log group's own included."""
    groups = LogSource(profile).groups(_SAMPLE, logs_per_group=GROUP_SIZES[profile])
    return sum(map(len, groups)) / _SAMPLE
