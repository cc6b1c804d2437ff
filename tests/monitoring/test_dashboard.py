"""The Grafana dashboard: its metrics exist, and a real Prometheus finds data of ten instances for each query."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.request
from functools import partial

import pytest

from sls_siem.emulator.certificates import Certificates, server_context
from sls_siem.emulator.hec import HecEmulator
from sls_siem.emulator.loggroups import make_group
from sls_siem.emulator.sls import SlsEmulator
from tests.e2e.harness import GROUP, KEY_ID, KEY_SECRET, AgentProcess, hec_tables, until
from tests.monitoring.prometheus import Prometheus, free_ports
from tests.monitoring.test_rules import DOCS, metric_names
from tests.receivers.install import require

DASHBOARD = json.loads((DOCS / "dashboard.json").read_text(encoding="utf-8"))
QUERIES = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]
INSTANCES = 10


def test_the_dashboard_uses_every_metric_and_no_other() -> None:
    used = {name for _, query, _ in QUERIES for name in re.findall(r"\bsls_siem_\w+", query)}

    assert metric_names() == used


def test_panels_have_places_and_numbers_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}

        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def concrete(query: str) -> str:
    """Fill in what Grafana fills in."""
    return query.replace("$__rate_interval", "15s").replace("$instance", ".*")


def troubled_service() -> SlsEmulator:
    """Ten shards: retention has eaten into one of them, and one log is such that the SIEM will refuse it."""
    sls = SlsEmulator(project="p", logstore="ls", shards=INSTANCES)
    sls.add_key(KEY_ID, KEY_SECRET)
    sls.store.create_group(GROUP, timeout_s=5, in_order=False, quota=10)
    for shard in range(INSTANCES):
        start = sls.store.shard(shard).end
        fill(sls, shard, groups=5)
        sls.store.set_checkpoint(GROUP, shard, base64.b64encode(str(start).encode()).decode())
    sls.store.trim(1, before=sls.store.shard(1).end - 2)
    return sls


def fill(sls: SlsEmulator, shard: int, *, groups: int = 1) -> None:
    for _ in range(groups):
        sls.store.append(shard, [make_group([{"seq": str(n)} for n in range(10)], time=int(time.time()))])


@pytest.mark.e2e
@pytest.mark.contract
def test_every_query_finds_data_on_ten_instances(tmp_path, agents) -> None:
    installed = require("prometheus")
    pki = Certificates(tmp_path / "pki")
    base = free_ports(INSTANCES + 1)
    with troubled_service() as sls, HecEmulator(tls=server_context(pki.server)) as hec:
        hec.poison(f"0-{sls.store.shard(0).end - 1}-3")
        hec.inject("answer", code=9, retry_after_s=0.1, count=3)
        (tmp_path / "token").write_text(hec.token)
        tables = hec_tables(sls, [hec.url], tmp_path / "token", tls={"ca_file": str(pki.ca_file)})
        tables["metrics"] = {"port": base}
        tables["log"] = {"level": "warning"}
        for instance in range(1, INSTANCES + 1):
            agent = AgentProcess(tmp_path, tables, instance=instance)
            agents.append(agent)
            agent.start()
        targets = [f"127.0.0.1:{base + instance}" for instance in range(1, INSTANCES + 1)]
        with Prometheus(installed, tmp_path / "prometheus", targets, DOCS / "alerts.yml") as prometheus:
            until(lambda: prometheus.query("sum(up) == 10"), 60, "the scraping of ten instances")
            until(lambda: prometheus.query("sum(sls_siem_shards_held) == 10"), 60, "the sharing out of ten shards")
            for shard in range(INSTANCES):
                fill(sls, shard)
            for title, query, legend in QUERIES:
                found = until(partial(prometheus.query, concrete(query)), 30, f"data for {title}: {query}")
                for label in re.findall(r"{{(\w+)}}", legend):
                    assert all(label in series["metric"] for series in found), (title, label)

            assert [] == prometheus.query("count(sls_siem_build_info) != 10")
            due = {"SlsSiemDeadLetters", "SlsSiemLogsExpired"}
            until(lambda: due <= prometheus.alerts(), 30, "the alerts that are due")
            assert not {"SlsSiemNoAgent", "SlsSiemInstanceDown", "SlsSiemSiemDown"} & prometheus.alerts()
        with urllib.request.urlopen(f"http://127.0.0.1:{base + 1}/healthz", timeout=5) as answer:
            assert b"ok\n" == answer.read()
