"""The alert rules and the scrape example, by Prometheus' own promtool, and their metrics by the agent's registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from sls_siem.metrics import Metrics, Total
from tests.receivers.install import Installed, require

pytestmark = pytest.mark.contract
HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs" / "monitoring"
RULES = (DOCS / "alerts.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def prometheus() -> Installed:
    return require("prometheus")


def promtool(prometheus: Installed, *arguments: str) -> str:
    done = subprocess.run(
        [str(prometheus.program.with_name("promtool")), *arguments],
        env=prometheus.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )

    assert 0 == done.returncode, done.stdout
    return done.stdout


def metric_names() -> set[str]:
    """Every metric of the agent, as Prometheus names its samples."""
    families = [
        value.collect()[0] for value in vars(Metrics()).values() if isinstance(value, (MetricWrapperBase, Total))
    ]
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_promtool_finds_the_rules_right(prometheus: Installed) -> None:
    assert "SUCCESS: 12 rules found" in promtool(prometheus, "check", "rules", str(DOCS / "alerts.yml"))


def test_each_alert_comes_when_it_should_and_only_then(prometheus: Installed) -> None:
    assert "SUCCESS" in promtool(prometheus, "test", "rules", str(HERE / "alerts.test.yml"))


def test_promtool_finds_the_scrape_example_right(prometheus: Installed) -> None:
    assert "SUCCESS" in promtool(prometheus, "check", "config", str(DOCS / "scrape.yml"))


def test_every_alert_is_tested_both_ways() -> None:
    tests = (HERE / "alerts.test.yml").read_text(encoding="utf-8")
    quiet, _, loud = tests.partition("  - name: the agents are gone")
    for alert in re.findall(r"- alert: (\w+)", RULES):
        assert f"alertname: {alert}}}" in quiet
        assert re.search(rf"alertname: {alert}\n +exp_alerts:", loud), alert


def test_the_rules_use_metrics_that_exist() -> None:
    used = set(re.findall(r"\bsls_siem_\w+", RULES))

    assert used
    assert set() == used - metric_names()
