"""What is counted is told as prometheus_client tells its own counters."""

from __future__ import annotations

import re
import threading

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from sls_siem.metrics import Metrics, Total


def test_a_total_is_told_as_a_counter_of_the_library_is() -> None:
    told = []
    for kind in (Counter, Total):
        registry = CollectorRegistry()
        counted = kind("sls_siem_things", "Things.", registry=registry)
        counted.inc()
        counted.inc(2**40)
        told.append(
            re.sub(r"(?m)^(sls_siem_things_created) [0-9.e+]+$", r"\1 then", generate_latest(registry).decode())
        )

    assert told[0] == told[1]
    assert "\nsls_siem_things_total " in told[1]


def test_nothing_that_many_threads_count_is_lost() -> None:
    total = Total("sls_siem_things", "Things.", registry=CollectorRegistry())

    def count() -> None:
        for _ in range(20_000):
            total.inc(3)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [4 * 20_000 * 3] == [family.samples[0].value for family in total.collect()]


def test_the_status_repeats_the_totals() -> None:
    metrics = Metrics()
    metrics.pulled_logs.inc(5)
    metrics.delivered_events.inc(3)
    metrics.retries.labels(reason="timeout").inc()
    metrics.retries.labels(reason="busy").inc(2)

    assert {"pulled": 5, "delivered": 3, "retried": 3, "dead_lettered": 0} == metrics.totals()
