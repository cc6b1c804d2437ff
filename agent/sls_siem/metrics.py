"""Every metric the agent has, by the names of the interface; one registry per process."""

from __future__ import annotations

import threading
import time
from typing import Union

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest


class Total:
    """A counter without labels for what is counted with every payload; thread-safe.

    To add to prometheus_client's own takes five calls in each other: a tenth of all that are made for a payload.
    """

    def __init__(self, name: str, text: str, *, registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._lock = threading.Lock()
        self._count = 0
        self._created = time.time()
        registry.register(self)

    def inc(self, amount: int = 1) -> None:
        """Add to it; `amount` is not negative."""
        with self._lock:
            self._count += amount

    def collect(self) -> list[CounterMetricFamily]:
        """Give the one sample, and when counting began; as prometheus_client asks."""
        return [CounterMetricFamily(self._name, self._text, value=self._count, created=self._created)]


class Metrics:
    """The process's metrics (Prometheus text exposition)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.pulled_logs = Total("sls_siem_pulled_logs", "Logs pulled from SLS.", registry=registry)
        self.pulled_bytes = Total("sls_siem_pulled_bytes", "Decompressed bytes pulled from SLS.", registry=registry)
        self.delivered_events = Total(
            "sls_siem_delivered_events", "Events that the SIEM took (settled).", registry=registry
        )
        self.delivered_bytes = Total(
            "sls_siem_delivered_bytes", "Uncompressed bytes that the SIEM took (settled).", registry=registry
        )
        self.filtered_logs = Total(
            "sls_siem_filtered_logs", "Logs that a filter left out (settled, never sent).", registry=registry
        )
        self.retries = Counter("sls_siem_retries", "Sends tried again, by reason.", ["reason"], registry=registry)
        self.dead_letters = Counter(
            "sls_siem_dead_letters", "Events written to the dead letters, by reason.", ["reason"], registry=registry
        )
        self.expired_groups = Counter(
            "sls_siem_expired_groups", "Log groups that retention removed unread.", ["shard"], registry=registry
        )
        self.log_lines_dropped = Counter(
            "sls_siem_log_lines_dropped", "Log lines of the agent dropped because stderr blocked.", registry=registry
        )
        self.unsettled_bytes = Gauge(
            "sls_siem_unsettled_bytes", "Bytes handed to the SIEM that are not settled.", registry=registry
        )
        self.shards_held = Gauge("sls_siem_shards_held", "Shards that this consumer works on.", registry=registry)
        self.shard_lag = Gauge(
            "sls_siem_shard_lag_seconds",
            "Now minus the time of receipt of the oldest log group not settled; 0 at the end of the shard.",
            ["shard"],
            registry=registry,
        )
        self.retention_left = Gauge(
            "sls_siem_retention_left_seconds",
            "Time until retention removes the oldest log group not settled.",
            ["shard"],
            registry=registry,
        )
        self.last_heartbeat = Gauge(
            "sls_siem_last_heartbeat_timestamp_seconds", "When the last heartbeat was answered.", registry=registry
        )
        self.last_checkpoint = Gauge(
            "sls_siem_last_checkpoint_timestamp_seconds", "When a checkpoint was saved.", ["shard"], registry=registry
        )
        self.holding = Gauge(
            "sls_siem_holding", "Parts that cannot go on, each with its reason in the status.", registry=registry
        )
        self.dead_letter_bytes = Gauge(
            "sls_siem_dead_letter_bytes", "Dead letters that wait on disk for retry or purge.", registry=registry
        )
        self.certificate_end = Gauge(
            "sls_siem_certificate_expiry_timestamp_seconds",
            "When the certificate ends: of an address of the SIEM, or `client`, the agent's own.",
            ["certificate"],
            registry=registry,
        )
        self.siem_up = Gauge(
            "sls_siem_siem_up", "1 while the last exchange with the SIEM worked.", ["endpoint"], registry=registry
        )
        self.build_info = Gauge(
            "sls_siem_build_info", "Always 1; carries the version.", ["version", "codec"], registry=registry
        )

    def forget_shard(self, shard: int) -> None:
        """Drop the gauges of a shard that is no longer held."""
        for gauge in (self.shard_lag, self.retention_left, self.last_checkpoint):
            gauge.remove(str(shard))

    def forget_siem(self) -> None:
        """Drop the gauges of the SIEM's addresses: a reload may have replaced them."""
        self.siem_up.clear()
        self.certificate_end.clear()

    def totals(self) -> dict[str, int]:
        """The counters that `status.json` repeats."""
        return {
            "pulled": counted(self.pulled_logs),
            "delivered": counted(self.delivered_events),
            "retried": counted(self.retries),
            "dead_lettered": counted(self.dead_letters),
        }

    def text(self) -> bytes:
        """Render the registry in the text exposition format."""
        return generate_latest(self.registry)


def counted(counter: Union[Counter, Total]) -> int:
    """Add up a counter over its labels."""
    return int(
        sum(sample.value for family in counter.collect() for sample in family.samples if sample.name.endswith("_total"))
    )
