"""What `status.json`, `systemctl status`, `/healthz` and `/readyz` say about this process."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Optional

from sls_siem.delivery.shard import ShardStatus
from sls_siem.siem.output import EndpointState


@dataclass(frozen=True)
class Snapshot:
    """Everything that is told about the process at one moment.

    Args:
        version: of the agent.
        instance: its number.
        consumer: its consumer name.
        state: `starting`, `running`, `holding` or `draining`.
        since: epoch seconds at which the state began.
        generation: counts the configurations that were loaded.
        config_read: epoch seconds just before the configuration in force was read: files changed later are not in it.
        needs_restart: keys whose new value waits for a restart.
        output: `hec` or `syslog`.
        endpoints: addresses of the SIEM.
        shards: one row a shard.
        totals: pulled, delivered, retried, dead_lettered.
        last_heartbeat: epoch seconds of the last answered one.
        holds: who waits for what.
        errors: the first and the newest.
        last_error_at: epoch seconds of the newest one.
        dead_letter_bytes: of the dead letters that wait on disk.
    """

    version: str
    instance: int
    consumer: str
    state: str
    since: float
    generation: int
    config_read: float
    needs_restart: tuple[str, ...]
    output: str
    endpoints: tuple[EndpointState, ...]
    shards: tuple[ShardStatus, ...]
    totals: dict[str, int]
    last_heartbeat: Optional[float]
    holds: dict[str, str]
    errors: list[str]
    last_error_at: Optional[float]
    dead_letter_bytes: int

    def document(self) -> dict[str, object]:
        """Render as the interface's `status.json`."""
        return {
            "version": self.version,
            "instance": self.instance,
            "consumer": self.consumer,
            "state": self.state,
            "since": self.since,
            "config_generation": self.generation,
            "config_read": self.config_read,
            "needs_restart": list(self.needs_restart),
            "siem": {
                "output": self.output,
                "endpoints": [
                    {"url": endpoint.url, "up": endpoint.up, "last_error": endpoint.last_error}
                    for endpoint in self.endpoints
                ],
            },
            "shards": [
                {
                    "shard": row.shard,
                    "position": row.position,
                    "saved": row.saved,
                    "lag_s": None if row.lag_s is None else round(row.lag_s, 3),
                    "unsettled_bytes": row.unsettled_bytes,
                    "mb_per_s": round(row.mb_per_s, 3),
                }
                for row in self.shards
            ],
            "totals": self.totals,
            "dead_letter_bytes": self.dead_letter_bytes,
            "last_heartbeat": self.last_heartbeat,
            "holding": self.holds,
            "errors": self.errors,
            "last_error_at": self.last_error_at,
            "written": time.time(),
        }

    def sentence(self) -> str:
        """One line for `systemctl status`."""
        rate = sum(row.mb_per_s for row in self.shards)
        lags = [row.lag_s for row in self.shards if row.lag_s is not None]
        text = f"{self.state}: {len(self.shards)} shards, {rate:.1f} MB/s, lag {max(lags, default=0.0):.0f} s"
        if self.holds:
            who, why = next(iter(self.holds.items()))
            text += f"; {who}: {why}"
        return text
